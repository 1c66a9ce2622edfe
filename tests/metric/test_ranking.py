"""Ranking metrics against scikit-learn, trec_eval, naive sums over pairs, and simulated random orders."""

import math
from dataclasses import replace

import numpy as np
import pytest
import pytrec_eval
from sklearn.metrics import ndcg_score, roc_auc_score

from recsys.metric import num_queries, ranking
from recsys.metric.ranking import _expected_reciprocal
from recsys.seed import seed
from tests.metric import laws, samples
from tests.metric.naive import mean, pairs_of, ranked, whole

SEEDS = range(200)
JUDGED = {
    "auc": ranking.auc,
    "gauc": ranking.gauc,
    "ndcg": ranking.ndcg(3),
    "mrr": ranking.mrr,
    "recall": ranking.recall(3),
    "gauc by positives": ranking.gauc_by_positives,
    "gauc unweighted": ranking.gauc_unweighted,
    "ndcg by id": ranking.ndcg(3, "id"),
    "ndcg best": ranking.ndcg(3, "best"),
    "map": ranking.mean_average_precision,
    "precision": ranking.precision(3),
    "hit rate": ranking.hit_rate(3),
}
CATALOGUE = {
    "ndcg": ranking.ndcg_catalogue(3),
    "mrr": ranking.mrr_catalogue,
    "recall": ranking.recall_catalogue(3),
    "auc": ranking.auc_catalogue,
    "map": ranking.mean_average_precision_catalogue,
    "precision": ranking.precision_catalogue(3),
    "hit rate": ranking.hit_rate_catalogue(3),
}
EVERY = [*JUDGED.values(), *CATALOGUE.values()]


def value(metric, sample):
    return metric(sample, samples.ones(sample))[0]


def same(one, other, tolerance=1e-12):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


# ---- published values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "k", "expected"),
    [
        ([0.1, 0.2, 0.3, 4, 70], 5, 0.695694),
        ([0.05, 1.1, 1.0, 0.5, 0.0], 5, 0.493680),
        ([0.05, 1.1, 1.0, 0.5, 0.0], 4, 0.352024),
        ([1, 1, 1, 1, 1], 5, 0.690979),  # tie-averaged
    ],
)
def test_ndcg_of_the_scikit_learn_documentation(score, k, expected):
    sample = samples.make([0] * 5, score, [10, 0, 0, 1, 5])
    assert value(ranking.ndcg(k), sample) == pytest.approx(expected, abs=1e-6)


def test_gauc_of_the_recbole_tests():
    # AUC per user 1, .5, .5 with 2, 3, 5 impressions: 0.6 weighted by impressions (DIN), not 0.58333 by positives
    sample = samples.make(
        [0, 0, 1, 1, 1, 2, 2, 2, 2, 2],
        [2, 1, 3, 1, 2, 5, 4, 3, 2, 1],
        [1, 0, 1, 1, 0, 0, 1, 1, 1, 0],
    )
    same(value(ranking.gauc, sample), 0.6)


@pytest.mark.parametrize(
    ("relevant", "reciprocal_rank", "gain"), [("d3", 1, 1), ("d1", 1 / 3, 0.5)], ids=["last name", "first name"]
)
def test_trec_eval_breaks_ties_by_name_and_we_average(relevant, reciprocal_rank, gain):
    # pytrec_eval#56: of three tied documents the one with the greatest name comes first
    run = {"q": {"d1": 1.0, "d2": 1.0, "d3": 1.0}}
    result = pytrec_eval.RelevanceEvaluator({"q": {relevant: 1}}, {"recip_rank", "ndcg"}).evaluate(run)["q"]
    assert (result["recip_rank"], result["ndcg"]) == pytest.approx((reciprocal_rank, gain), abs=1e-4)
    sample = samples.make([0, 0, 0], [1, 1, 1], [1, 0, 0])
    same(value(ranking.mrr, sample), (1 + 1 / 2 + 1 / 3) / 3)
    same(value(ranking.ndcg(3), sample), (1 + 1 / math.log2(3) + 1 / 2) / 3)


# ---- independent implementations on random samples ------------------------------------------------------------------


@samples.each(SEEDS)
def test_auc_agrees_with_scikit_learn(number):
    sample = samples.draw(number)
    counted = sample.weight_N > 0
    if len(np.unique(sample.positive_N[counted])) < 2:
        assert np.isnan(value(ranking.auc, sample))
        return
    expected = roc_auc_score(
        sample.positive_N[counted], sample.score_N[counted], sample_weight=sample.weight_N[counted]
    )
    same(value(ranking.auc, sample), expected)


@samples.each(SEEDS)
def test_gauc_agrees_with_pairs_counted_one_by_one(number):
    sample = samples.draw(number)
    total, mass, counted = 0.0, 0.0, 0
    for q in range(sample.num_queries):
        rows = np.flatnonzero(sample.query_N == q)
        wins = pairs = 0.0
        for p in rows[sample.positive_N[rows]]:
            for n in rows[~sample.positive_N[rows]]:
                weight = sample.weight_N[p] * sample.weight_N[n]
                wins += weight * (
                    (sample.score_N[p] > sample.score_N[n]) + (sample.score_N[p] == sample.score_N[n]) / 2
                )
                pairs += weight
        if pairs > 0:
            total += wins / pairs * sample.weight_N[rows].sum()
            mass += sample.weight_N[rows].sum()
            counted += 1
    same(value(ranking.gauc, sample), total / mass if mass else math.nan)
    assert num_queries(ranking.gauc, sample) == counted


@samples.each(SEEDS)
def test_judged_metrics_agree_with_the_chance_of_every_rank(number):
    sample = samples.draw(number)
    table = [ranked(pairs_of(sample, q, catalogue=False), 3) for q in range(sample.num_queries)]
    ndcg, mrr, recall, _ = map(mean, zip(*table, strict=True))
    same(value(ranking.ndcg(3), sample), ndcg)
    same(value(ranking.recall(3), sample), recall)
    if all(math.isnan(t[1]) == math.isnan(t[2]) for t in table):
        same(value(ranking.mrr, sample), mrr)


@samples.each(SEEDS)
def test_catalogue_metrics_agree_with_all_items_as_rows(number):
    sample = samples.draw(number)
    table = [ranked(whole(sample, q), 3) for q in range(sample.num_queries)]
    ndcg, mrr, recall, auc = map(mean, zip(*table, strict=True))
    same(value(ranking.ndcg_catalogue(3), sample), ndcg)
    same(value(ranking.recall_catalogue(3), sample), recall)
    same(value(ranking.auc_catalogue, sample), auc)
    if all(math.isnan(t[1]) == math.isnan(t[2]) for t in table):
        same(value(ranking.mrr_catalogue, sample), mrr)


@samples.each(SEEDS)
def test_ndcg_agrees_with_scikit_learn(number):
    sample = samples.draw(number, weighted=False, repeated=False)
    expected = []
    for q in range(sample.num_queries):
        rows = sample.query_N == q
        if sample.gain_N[rows].sum() > 0:
            gain, score = sample.gain_N[rows], sample.score_N[rows].astype(float)
            expected.append(ndcg_score([gain], [score], k=3) if len(gain) > 1 else 1.0)
    same(value(ranking.ndcg(3), sample), mean(expected))
    assert num_queries(ranking.ndcg(3), sample) == len(expected)


@samples.each(SEEDS)
def test_without_ties_agrees_with_trec_eval(number):
    rng = np.random.default_rng(number)
    query = np.sort(rng.integers(0, 6, 40))
    score = rng.permutation(40)
    gain = rng.integers(0, 4, 40) * (rng.random(40) < 0.4)
    qrels, run = {}, {}
    for i, (q, s, g) in enumerate(zip(query, score, gain, strict=True)):
        qrels.setdefault(str(q), {})[f"d{i}"] = int(g)
        run.setdefault(str(q), {})[f"d{i}"] = float(s)
    measures = {"recip_rank", "recall_5", "ndcg_cut_5"}
    results = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    having = [r for q, r in results.items() if any(qrels[q].values())]  # trec_eval says 0 where nothing is relevant
    sample = samples.make(query.tolist(), score.tolist(), gain.tolist())
    for name, metric in (
        ("recip_rank", ranking.mrr),
        ("recall_5", ranking.recall(5)),
        ("ndcg_cut_5", ranking.ndcg(5)),
    ):
        same(value(metric, sample), mean([r[name] for r in having]), 1e-9)


# ---- a random ranker ------------------------------------------------------------------------------------------------


def test_a_random_ranker_has_its_closed_form():
    sample = samples.make([0] * 7 + [1] * 4, list(range(11)), [1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]).random()
    same(value(ranking.auc, sample), 0.5)
    same(value(ranking.gauc, sample), 0.5)
    same(value(ranking.recall(2), sample), (2 / 7 + 2 / 4) / 2)
    harmonic = sum(1 / r for r in range(1, 5)) / 4
    two_of_seven = sum((7 - r) / 21 / r for r in range(1, 7))  # the first of two is at r with chance (7 - r) / C(7, 2)
    same(value(ranking.mrr, sample), (two_of_seven + harmonic) / 2)


def test_a_random_ranker_has_the_mean_of_shuffled_ones():
    gain = [3, 0, 0, 1, 1, 0, 0, 7, 0, 0, 2, 0]
    rng = np.random.default_rng(seed(1, "shuffled"))
    tied = samples.make([0] * 12, [0.0] * 12, gain)
    query_N = np.repeat(np.arange(4000), 12)  # every query is the same one in another order
    score_N = rng.permuted(np.tile(np.arange(12), (4000, 1)), axis=1).ravel()
    shuffled = samples.make(query_N.tolist(), score_N.tolist(), gain * 4000)
    for metric in (ranking.gauc, ranking.ndcg(3), ranking.mrr, ranking.recall(3)):
        value_Q = metric.value(shuffled)
        assert abs(value(metric, tied) - value_Q.mean()) < 4 * value_Q.std() / math.sqrt(4000)


def test_a_random_ranker_over_the_catalogue():
    gain = [1, 0, 0, 1, 0]
    sample = replace(
        samples.make([0, 0, 0, 1, 1], [5, 4, 3, 2, 1], gain),
        above_N=np.array([0, 3, 9, 1, 4]),
        tied_N=np.ones(5, np.int64),
        total_N=np.full(5, 15),
    ).random()
    same(value(ranking.auc_catalogue, sample), 0.5)
    same(value(ranking.recall_catalogue(3), sample), 3 / 15)


def test_the_first_of_many_tied_positives_in_a_large_catalogue():
    # sum over places by exact integers, as an independent twin of the recurrence
    above, tied, positive = 37, 20_000, 3
    chances = math.comb(tied, positive)
    exact = sum(math.comb(tied - j, positive - 1) / chances / (above + j) for j in range(1, tied - positive + 2))
    same(_expected_reciprocal(above, tied, positive), exact, 1e-11)
    same(_expected_reciprocal(0, 20_000, 20_000), 1.0)
    same(_expected_reciprocal(5, 20_000, 1), sum(1 / (5 + j) for j in range(1, 20_001)) / 20_000, 1e-11)


# ---- laws -----------------------------------------------------------------------------------------------------------


@samples.each(range(60))
def test_the_order_of_the_rows_changes_no_bit(number):
    for metric in EVERY:
        laws.the_order_of_the_rows_changes_no_bit(metric, [number])


@samples.each(range(60))
def test_a_replicate_is_the_sample_with_its_queries_repeated(number):
    sample = samples.draw(number)
    weight_QR = samples.weightings(sample, number)
    for metric in EVERY:
        value_R = metric(sample, weight_QR)
        for weight_Q, got in zip(weight_QR.T, value_R, strict=True):
            same(got, value(metric, samples.repeat(sample, weight_Q)))


@samples.each(range(20))
def test_the_estimate_does_not_depend_on_the_replicates_beside_it(number):
    sample = samples.draw(number)
    for metric in EVERY:
        alone, beside = value(metric, sample), metric(sample, samples.weightings(sample, number, num=9))[0]
        assert alone.tobytes() == beside.tobytes()


@pytest.mark.parametrize("metric", EVERY)
def test_nothing_is_undefined_and_not_zero(metric):
    empty = samples.draw(0).select(np.zeros(len(samples.draw(0)), bool))
    assert np.isnan(metric(empty, samples.weightings(empty, 0))).all()
    assert num_queries(metric, empty) == 0


def test_places_in_the_catalogue_are_required():
    sample = samples.make([0, 0], [1, 2], [1, 0])
    with pytest.raises(ValueError, match="above_N"):
        value(ranking.mrr_catalogue, sample)


def test_k_must_look_at_something():
    with pytest.raises(ValueError, match="k=0"):
        value(ranking.ndcg(0), samples.make([0, 0], [1, 2], [1, 0]))


def test_three_tied_documents_have_the_values_of_trec_eval():  # pytrec_eval#56
    for relevant, expected in ((2, 1.0), (0, 0.5)):
        gain = [float(i == relevant) for i in range(3)]
        sample = samples.make([0, 0, 0], [1, 1, 1], gain)
        same(value(ranking.ndcg(3, "id"), sample), expected)
        same(value(ranking.ndcg(3, "best"), sample), 1.0)
        same(value(ranking.ndcg(3), sample), (1 + 1 / math.log2(3) + 0.5) / 3)


def test_gauc_has_three_weightings():  # of the tests of RecBole: AUC 1, .5, .5; impressions 2, 3, 5; positives 1, 2, 3
    sample = samples.make(
        [0, 0, 1, 1, 1, 2, 2, 2, 2, 2],
        [2, 1, 3, 2, 1, 5, 4, 3, 2, 1],
        [1, 0, 1, 0, 1, 1, 0, 1, 0, 1],
    )
    same(value(ranking.gauc, sample), 0.6)
    same(value(ranking.gauc_by_positives, sample), 7 / 12)
    same(value(ranking.gauc_unweighted, sample), 2 / 3)


def test_a_rule_for_ties_must_be_known():
    with pytest.raises(ValueError, match="ties='random' is unknown"):
        ranking.ndcg(3, "random")
    with pytest.raises(ValueError, match="ties='id' is unknown here; use averaged, best"):
        ranking.ndcg_catalogue(3, "id")


def test_average_precision_of_many_tied_items():
    # one positive among t: mean of 1 / (above + j); all positive: every place has precision 1 less what stands above
    sample = replace(
        samples.make([0, 1], [1, 1], [1, 1]),
        above_N=np.array([7, 0]),
        tied_N=np.array([500, 90]),
        total_N=np.array([600, 90]),
    )
    value_Q = ranking.mean_average_precision_catalogue.value(sample)
    same(value_Q, [sum(1 / (7 + j) for j in range(1, 501)) / 500, sum(1 / j for j in range(1, 91)) / 90], 1e-12)
