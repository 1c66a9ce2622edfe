"""Decisions: what happens if everything from a threshold on is said to be positive, and which threshold is best.

Rows count by their weight. A threshold is chosen over every distinct value from one sort; equal values are never
parted. On the rows it was chosen on it looks better than it is. Shapes: N rows, T distinct values in descending order,
Q queries, R weightings.
"""

from collections.abc import Callable

import numpy as np

from recsys.metric._sample import Metric, Sample
from recsys.metric._sweep import sweep

Criterion = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # (tp, fp, fn, tn) -> value


def _ratio(above: np.ndarray, below: np.ndarray, defined: np.ndarray | bool = True) -> np.ndarray:
    value = np.full(np.shape(above), np.nan)
    return np.divide(above, below, out=value, where=(below > 0) & defined)


def precision(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    """Share of positives among what is said to be positive; undefined where nothing is."""
    return _ratio(tp, tp + fp)


def recall(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    """Share of the positives that is said to be positive; undefined without positives."""
    return _ratio(tp, tp + fn)


def f1(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn) (van Rijsbergen, 1979); undefined without
    positives."""
    return _ratio(2 * tp, 2 * tp + fp + fn, tp + fn > 0)


def balanced_accuracy(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    """Mean of the shares of positives and of negatives that are called what they are; undefined with one class."""
    return (_ratio(tp, tp + fn) + _ratio(tn, tn + fp)) / 2


def g_mean(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    """Geometric mean of these two shares (Kubat & Matwin, 1997); undefined with one class."""
    return np.sqrt(_ratio(tp, tp + fn) * _ratio(tn, tn + fp))


def mcc(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    """Correlation of what is said and what is (Matthews, 1975), -1 to 1; 0 if the same is said of everything, undefined
    with one class."""
    said = np.sqrt(tp + fp) * np.sqrt(tn + fn)
    value = _ratio(tp * tn - fp * fn, said * np.sqrt(tp + fn) * np.sqrt(tn + fp))
    return np.where((said <= 0) & (tp + fn > 0) & (tn + fp > 0), 0.0, value)


CRITERIA: dict[str, Criterion] = {
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "balanced_accuracy": balanced_accuracy,
    "g_mean": g_mean,
    "mcc": mcc,
}
TO_CHOOSE_BY = ("f1", "balanced_accuracy", "g_mean", "mcc")  # precision or recall alone would say no, or yes, to all
COLUMNS = {"probability": lambda sample: sample.probability_N, "score": lambda sample: sample.score_N}


def at(criterion: str, threshold: float, on: str = "probability") -> Metric:
    """The criterion of saying yes where `on` (probability or score) is at least the threshold."""
    value, column = _known(criterion, CRITERIA), _known(on, COLUMNS)
    return lambda sample, weight_QR: _at(value, threshold, column(sample), sample, weight_QR)


def recommend(criterion: str, sample: Sample, on: str = "probability") -> float:
    """The value from which on saying yes is best on the sample itself; of equally good ones the highest. NaN where the
    criterion is undefined. Raises ValueError for a criterion that one would choose no threshold by."""
    if criterion not in TO_CHOOSE_BY:
        raise ValueError(f"a threshold that is best for {criterion!r} says nothing; use {', '.join(TO_CHOOSE_BY)}")
    swept = sweep(sample, _known(on, COLUMNS)(sample))
    if not len(swept.value_T):
        return float("nan")
    tp_T, fp_T = swept.counts(np.ones(sample.num_queries))
    value_T = CRITERIA[criterion](tp_T, fp_T, tp_T[-1] - tp_T, fp_T[-1] - fp_T)
    return float("nan") if np.isnan(value_T).all() else float(swept.value_T[np.nanargmax(value_T)])


def _at(value: Criterion, threshold: float, value_N: np.ndarray, sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    if np.isnan(threshold):
        return np.full(weight_QR.shape[1], np.nan)
    kind_N = 2 * (value_N < threshold) + ~sample.positive_N  # true and false positives, false and true negatives
    order = np.lexsort((sample.weight_N, kind_N, sample.query_N))
    cell_N = sample.query_N[order] * 4 + kind_N[order]
    sum_Q4 = np.bincount(cell_N, weights=sample.weight_N[order], minlength=4 * sample.num_queries).reshape(-1, 4)
    counts_R4 = np.array([(weight_Q[:, None] * sum_Q4).sum(axis=0) for weight_Q in weight_QR.T])
    return value(*counts_R4.T)


def _known(name: str, names: dict):
    if name not in names:
        raise ValueError(f"{name!r} is unknown; use {', '.join(names)}")
    return names[name]
