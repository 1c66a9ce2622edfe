"""The metrics of a balanced report as named things: what each is, where it applies, which way is better."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from recsys.metric import ranking, reliability
from recsys.metric._query_mean import QueryMean, by_observations, sum_by_query
from recsys.metric._sample import Metric, Sample

NUM_BINS = 15
JUDGED = "Only labelled pairs are ranked, so a random order scores high too: see 'random'."
CATALOGUE = "All scored items are ranked; unjudged ones gain 0 and are not relevant."
TIES = "Ties count in expectation over random order."


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One metric. `needs` tells which queries count in it."""

    name: str
    metric: Metric
    definition: str
    needs: str  # row: any labelled row; gain: something gains; positive: a positive; both: positive and negative
    pool: str  # judged or catalogue (ranking), or probability
    scale: str  # of its interval: see `bootstrap.interval`
    better: str  # higher, lower or neither


def measures(k: int, gain: str) -> list[Measure]:
    """All measures, the headline's first. `gain` is the sentence of the target."""
    ndcg = (
        f"nDCG of the first {k} places, discount 1/log2(1 + rank); {gain}. Mean over queries in which something gains."
    )
    mrr = "1 / rank of the first positive item, mean over queries with one."
    recall = f"Share of a query's positive items in the first {k} places, mean over queries with one."
    auc = "Probability that a positive row scores above a negative row, of any query (Mann–Whitney)."
    gauc = "AUC within a query, averaged by observations (Zhou et al., 2018); queries of one class do not count."
    auc_catalogue = "Probability that a positive item stands above one not known to be positive, mean over queries."
    log_loss = "Mean negative log-likelihood of the calibrated probability, in nats, per observation."
    brier = "Mean squared difference of calibrated probability and outcome (Brier, 1950)."
    ece = (
        f"Expected calibration error: mean gap of stated and observed share over {NUM_BINS} bins of equal width "
        "(Naeini et al., 2015). Biased upward, most of all in small slices."
    )
    return [
        _ranking(f"ndcg@{k}", ranking.ndcg(k), "judged", "gain", ndcg),
        _ranking("mrr", ranking.mrr, "judged", "positive", mrr),
        _ranking(f"recall@{k}", ranking.recall(k), "judged", "positive", recall),
        _ranking("auc", ranking.auc, "judged", "row", auc),
        _ranking("gauc", ranking.gauc, "judged", "both", gauc),
        _ranking(f"ndcg@{k} catalogue", ranking.ndcg_catalogue(k), "catalogue", "gain", ndcg),
        _ranking("mrr catalogue", ranking.mrr_catalogue, "catalogue", "positive", mrr),
        _ranking(f"recall@{k} catalogue", ranking.recall_catalogue(k), "catalogue", "positive", recall),
        _ranking("auc catalogue", ranking.auc_catalogue, "catalogue", "positive", auc_catalogue),
        _loss("log_loss", reliability.log_loss, "log", log_loss),
        _loss("brier", reliability.brier, "logit", brier),
        _loss("ece", reliability.ece(NUM_BINS), "logit", ece),
        _rate("mean_probability", _probability, "Mean calibrated probability, per observation."),
        _rate("positive_rate", _positive, "Share of observations with a positive label."),
    ]


def _ranking(name: str, metric: Metric, pool: str, needs: str, definition: str) -> Measure:
    about = f"{definition} {JUDGED if pool == 'judged' else CATALOGUE} {TIES}"
    return Measure(name=name, metric=metric, definition=about, needs=needs, pool=pool, scale="logit", better="higher")


def _loss(name: str, metric: Metric, scale: str, definition: str) -> Measure:
    return Measure(
        name=name, metric=metric, definition=definition, needs="row", pool="probability", scale=scale, better="lower"
    )


def _rate(name: str, value: Callable[[Sample], np.ndarray], definition: str) -> Measure:
    metric = QueryMean(value=lambda sample: _mean_by_query(sample, value(sample)), mass=by_observations)
    return Measure(
        name=name, metric=metric, definition=definition, needs="row", pool="rate", scale="logit", better="neither"
    )


def _probability(sample: Sample) -> np.ndarray:
    return sample.probability_N


def _positive(sample: Sample) -> np.ndarray:
    return sample.positive_N.astype(np.float64)


def _mean_by_query(sample: Sample, value_N: np.ndarray) -> np.ndarray:
    total_Q = sum_by_query(sample, sample.weight_N)
    mean_Q = np.full(sample.num_queries, np.nan)
    return np.divide(sum_by_query(sample, sample.weight_N * value_N), total_Q, out=mean_Q, where=total_Q > 0)


def random_order(measure: Measure) -> Measure:
    """The same measure of a random ranker: every score tied."""
    return replace(
        measure,
        name=f"random {measure.name}",
        metric=lambda sample, weight_QR: measure.metric(sample.random(), weight_QR),
        definition=f"What a random order scores in expectation. {measure.definition}",
    )
