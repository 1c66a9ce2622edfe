"""Ranking from packed integers, against pytrec_eval, and against every order that ties allow."""

import itertools

import numpy as np
import pytest
import pytrec_eval

from recsys.metric.ranking import _auc_of_query
from recsys.metric.state_grid import order_key
from recsys.metric.state_ranking import PairSet, _sorted, rank, weighted_auc
from tests.metric.samples import draw, each


def pairs(query, score, gain) -> PairSet:
    gain_P = np.array(gain, np.float64)
    return PairSet.of(np.array(query, np.int64), order_key(np.array(score, np.float32)), gain_P, gain_P > 0)


def average_precision(positive: list[bool]) -> float:
    found = [sum(positive[: i + 1]) / (i + 1) for i, p in enumerate(positive) if p]
    return sum(found) / len(found)


@each(range(40))
def test_average_precision_and_first_rank_are_means_over_all_orders_of_ties(seed):
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 3, 6)
    positive = rng.random(6) < 0.5
    if not positive.any():
        positive[0] = True
    orders = [o for o in itertools.permutations(range(6)) if (np.diff(score[list(o)]) <= 0).all()]
    ranked = rank(pairs([0] * 6, score, positive), 1, 4)
    assert ranked.map[0] == pytest.approx(np.mean([average_precision(positive[list(o)].tolist()) for o in orders]))
    first = [1 / (1 + int(np.argmax(positive[list(o)]))) for o in orders]
    assert ranked.mrr[0] == pytest.approx(np.mean(first))
    found = [positive[list(o)][:4].sum() / positive.sum() for o in orders]
    assert ranked.recall[0] == pytest.approx(np.mean(found))
    assert ranked.precision[0] == pytest.approx(np.mean([positive[list(o)][:4].sum() / 4 for o in orders]))
    assert ranked.hit_rate[0] == pytest.approx(np.mean([positive[list(o)][:4].any() for o in orders]))
    near = rank(pairs([0] * 6, score, positive), 1, 2)
    assert near.hit_rate[0] == pytest.approx(np.mean([positive[list(o)][:2].any() for o in orders]))


@each(range(50))
def test_without_ties_it_is_trec_eval(seed):
    rng = np.random.default_rng(seed)
    size_Q = rng.integers(1, 30, 5)
    query_P = np.repeat(np.arange(5), size_Q)
    score_P = rng.permutation(len(query_P)).astype(np.float32)
    gain_P = rng.integers(0, 4, len(query_P)) * (rng.random(len(query_P)) < 0.4)
    qrel = {str(q): {} for q in range(5)}
    run = {str(q): {} for q in range(5)}
    for p, q in enumerate(query_P):
        qrel[str(q)][str(p)], run[str(q)][str(p)] = int(gain_P[p]), float(score_P[p])
    theirs = pytrec_eval.RelevanceEvaluator(qrel, {"map", "recip_rank", "ndcg_cut.5", "recall.5"}).evaluate(run)
    ours = rank(pairs(query_P, score_P, gain_P), 5, 5)
    names = {"map": ours.map, "recip_rank": ours.mrr, "ndcg_cut_5": ours.ndcg, "recall_5": ours.recall}
    for name, value_Q in names.items():
        for q in range(5):
            assert value_Q[q] == pytest.approx(theirs[str(q)][name], abs=1e-9), name


@each(range(20))
def test_queries_of_any_number_are_sorted_alike(seed):
    sample = draw(seed, repeated=False)
    near = pairs(sample.query_N, sample.score_N, sample.gain_N)
    far = near.regrouped(near.query_P + (1 << 33))  # too large to stand beside the score in 64 bits
    for one, other in zip(_sorted(near), _sorted(far.regrouped(far.query_P)), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other - (1 << 33) if len(other) and other[0] >= 1 << 33 else other)


@each(range(40))
def test_weighted_auc_is_that_of_the_exact_rows(seed):
    sample = draw(seed)
    unit_N = (sample.weight_N * 4).astype(np.int64)
    key_N = order_key(sample.score_N)
    auc_Q, positive_Q, total_Q = weighted_auc(sample.query_N, key_N, sample.positive_N, unit_N, sample.num_queries)
    exact_Q = _auc_of_query(sample)
    defined_Q = (positive_Q > 0) & (positive_Q < total_Q)
    np.testing.assert_array_equal(defined_Q, np.isfinite(exact_Q))
    np.testing.assert_allclose(auc_Q[defined_Q], exact_Q[defined_Q], atol=1e-12)


def test_reference_values():
    """scikit-learn's ndcg_score: gains 10, 0, 0, 1, 5 (linear)."""
    gain = [10, 0, 0, 1, 5]
    query, score = [0] * 5 + [1] * 5 + [2] * 5, [0.1, 0.2, 0.3, 4, 70, 0.05, 1.1, 1, 0.5, 0, 1, 1, 1, 1, 1]
    assert rank(pairs(query, score, gain * 3), 3, 5).ndcg == pytest.approx([0.695694, 0.493680, 0.690979], abs=1e-6)
    assert rank(pairs(query, score, gain * 3), 3, 4).ndcg[1] == pytest.approx(0.352024, abs=1e-6)


def test_nothing_is_ranked_as_nothing():
    ranked = rank(pairs([], [], []), 2, 3)
    assert all(not value.any() and len(value) == 2 for value in vars(ranked).values())
