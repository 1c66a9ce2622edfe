"""Parity of metrics that order items: against scikit-learn, trec_eval, SciPy and plain loops, ties included."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytrec_eval
from scipy.stats import ks_2samp
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from benchmarks._parity import Parity, apart
from recsys.metric import Metric, Sample, ranking, separation
from tests.metric import naive, samples

EXACT = 1e-9
K = 5
Pairs = list[tuple[float, float, bool]]


def estimate(metric: Metric, sample: Sample) -> float:
    """The value of a metric without replicates."""
    return float(metric(sample, samples.ones(sample))[0])


def distinct(seed: int) -> Sample:
    """A sample without ties, weights and repeated pairs: what trec_eval reads in only one way."""
    sample = samples.draw(seed, weighted=False, repeated=False)
    score_N = np.random.default_rng(seed).permutation(len(sample)).astype(np.float32)
    return replace(sample, score_N=score_N)


def _rows(sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kept = sample.weight_N > 0
    return sample.positive_N[kept], sample.score_N[kept].astype(float), sample.weight_N[kept]


def _auc(positive_N: np.ndarray, score_N: np.ndarray, weight_N: np.ndarray) -> float:
    if len(np.unique(positive_N)) < 2:
        return math.nan
    return float(roc_auc_score(positive_N, score_N, sample_weight=weight_N))


def _pooled(name: str, metric: Metric, reference: str, value: Callable[..., float]) -> Parity:
    def difference(seed: int) -> float:
        sample = samples.draw(seed)
        return apart(estimate(metric, sample), value(*_rows(sample)))

    return Parity(name=name, reference=reference, tolerance=EXACT, difference=difference)


def _average_precision(positive_N: np.ndarray, score_N: np.ndarray, weight_N: np.ndarray) -> float:
    return float(average_precision_score(positive_N, score_N, sample_weight=weight_N)) if positive_N.any() else math.nan


def _ks(positive_N: np.ndarray, score_N: np.ndarray, weight_N: np.ndarray) -> float:
    if len(np.unique(positive_N)) < 2:
        return math.nan
    times_N = (2 * weight_N).astype(int)  # weights are halves: a row as often as it was observed
    one, other = (np.repeat(score_N[positive_N == y], times_N[positive_N == y]) for y in (True, False))
    return float(ks_2samp(one, other, method="asymp").statistic)


def _gauc(name: str, metric: Metric, mass: Callable[[np.ndarray, np.ndarray], float]) -> Parity:
    def difference(seed: int) -> float:
        sample = samples.draw(seed)
        total = weight = 0.0
        for q in range(sample.num_queries):
            positive_N, score_N, weight_N = _rows(sample.select(sample.query_N == q))
            if not math.isnan(value := _auc(positive_N, score_N, weight_N)):
                total += mass(positive_N, weight_N) * value
                weight += mass(positive_N, weight_N)
        return apart(estimate(metric, sample), total / weight if weight else math.nan)

    reference = "scikit-learn roc_auc_score of each query"
    return Parity(name=name, reference=reference, tolerance=EXACT, difference=difference)


def _trec_eval(name: str, metric: Metric, measure: str, draw: Callable[[int], Sample], *, needs_positive: bool):
    def difference(seed: int) -> float:
        sample = draw(seed)
        qrels: dict[str, dict[str, int]] = {}
        run: dict[str, dict[str, float]] = {}
        for q, i, gain, score in zip(sample.query_N, sample.item_N, sample.gain_N, sample.score_N, strict=True):
            qrels.setdefault(str(q), {})[f"item{i:03d}"] = int(gain)
            run.setdefault(str(q), {})[f"item{i:03d}"] = float(score)
        results = pytrec_eval.RelevanceEvaluator(qrels, {measure}).evaluate(run)
        counted = [r[measure] for q, r in results.items() if any(qrels[q].values()) or not needs_positive]
        return apart(estimate(metric, sample), naive.mean(counted))

    return Parity(name=name, reference=f"pytrec_eval {measure}", tolerance=EXACT, difference=difference)


def _loops(name: str, metric: Metric, value: Callable[[Pairs], float], *, catalogue: bool = False) -> Parity:
    def difference(seed: int) -> float:
        sample = samples.draw(seed)
        return apart(estimate(metric, sample), naive.by_query(sample, value, catalogue=catalogue))

    reference = "loops over places and combinations" + (" of the whole catalogue" if catalogue else "")
    return Parity(name=name, reference=reference, tolerance=EXACT, difference=difference)


def _scikit_learn_ndcg(seed: int) -> float:
    sample = samples.draw(seed)

    def value(pairs: Pairs) -> float:
        score, gain = [p[0] for p in pairs], [p[1] for p in pairs]
        if not sum(gain) > 0:
            return math.nan
        return float(ndcg_score([gain], [score], k=K)) if len(pairs) > 1 else 1.0

    return apart(estimate(ranking.ndcg(K), sample), naive.by_query(sample, value))


def _tied(seed: int) -> Sample:
    return samples.draw(seed, weighted=False, repeated=False)


CASES = [
    _pooled("auc", ranking.auc, "scikit-learn roc_auc_score", _auc),
    _pooled(
        "average_precision", separation.average_precision, "scikit-learn average_precision_score", _average_precision
    ),
    _pooled("ks", separation.ks, "SciPy ks_2samp", _ks),
    _gauc("gauc by observations", ranking.gauc, lambda positive_N, weight_N: weight_N.sum()),
    _gauc("gauc by positives", ranking.gauc_by_positives, lambda positive_N, weight_N: weight_N[positive_N].sum()),
    _gauc("gauc unweighted", ranking.gauc_unweighted, lambda positive_N, weight_N: 1.0),
    Parity(
        name="ndcg, ties averaged",
        reference="scikit-learn ndcg_score of each query",
        tolerance=EXACT,
        difference=_scikit_learn_ndcg,
    ),
    _trec_eval("ndcg, ties by id", ranking.ndcg(K, "id"), f"ndcg_cut_{K}", _tied, needs_positive=True),
    _loops("ndcg, best case of ties", ranking.ndcg(K, "best"), lambda pairs: naive.ndcg_best(pairs, K)),
    _trec_eval("ndcg", ranking.ndcg(K), f"ndcg_cut_{K}", distinct, needs_positive=True),
    _trec_eval("mrr", ranking.mrr, "recip_rank", distinct, needs_positive=True),
    _trec_eval("map", ranking.mean_average_precision, "map", distinct, needs_positive=True),
    _trec_eval("recall", ranking.recall(K), f"recall_{K}", distinct, needs_positive=True),
    _trec_eval("precision", ranking.precision(K), f"P_{K}", distinct, needs_positive=False),
    _trec_eval("hit_rate", ranking.hit_rate(K), f"success_{K}", distinct, needs_positive=True),
    _loops("mrr, ties", ranking.mrr, naive.reciprocal_rank),
    _loops("map, ties", ranking.mean_average_precision, naive.average_precision),
    _loops("recall, ties", ranking.recall(3), lambda pairs: naive.ranked(pairs, 3)[2]),
    _loops("precision, ties", ranking.precision(3), lambda pairs: naive.precision(pairs, 3)),
    _loops("hit_rate, ties", ranking.hit_rate(3), lambda pairs: naive.hit(pairs, 3)),
    _loops("ndcg catalogue", ranking.ndcg_catalogue(3), lambda pairs: naive.ndcg(pairs, 3), catalogue=True),
    _loops(
        "ndcg catalogue, best case of ties",
        ranking.ndcg_catalogue(3, "best"),
        lambda pairs: naive.ndcg_best(pairs, 3),
        catalogue=True,
    ),
    _loops("mrr catalogue", ranking.mrr_catalogue, naive.reciprocal_rank, catalogue=True),
    _loops("map catalogue", ranking.mean_average_precision_catalogue, naive.average_precision, catalogue=True),
    _loops("recall catalogue", ranking.recall_catalogue(3), lambda pairs: naive.ranked(pairs, 3)[2], catalogue=True),
    _loops(
        "precision catalogue", ranking.precision_catalogue(3), lambda pairs: naive.precision(pairs, 3), catalogue=True
    ),
    _loops("hit_rate catalogue", ranking.hit_rate_catalogue(3), lambda pairs: naive.hit(pairs, 3), catalogue=True),
    _loops("auc catalogue", ranking.auc_catalogue, lambda pairs: naive.ranked(pairs, 3)[3], catalogue=True),
]
