"""How far apart the scores of positives and negatives lie, over rows of any query; each row counts by its weight.

Beside `ranking.auc`. Shapes: N rows, T distinct scores in descending order, R weightings of the queries.
"""

from collections.abc import Callable

import numpy as np

from recsys.metric._sample import Sample
from recsys.metric._sweep import sweep


def average_precision(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve: sum of (recall_t - recall_{t-1}) * precision_t over the distinct scores t.

    Not interpolated (Davis & Goadrich, 2006); rows of equal score are taken together. A random order has about the
    share of positives, and more where these are few. NaN without positives.
    """
    return _over_sweep(sample, weight_QR, _average_precision)


def ks(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    """Kolmogorov-Smirnov distance: largest |P(score >= t | positive) - P(score >= t | negative)| over all t.

    It does not tell the direction: a ranker that is always wrong has 1 too. A random order has about
    sqrt(pi / 2) ln 2 = 0.87 times sqrt(1 / positives + 1 / negatives), the mean of Kolmogorov's distribution. NaN
    without both classes.
    """
    return _over_sweep(sample, weight_QR, _ks)


def _over_sweep(sample: Sample, weight_QR: np.ndarray, value: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
    swept = sweep(sample, sample.score_N)
    value_R = np.full(weight_QR.shape[1], np.nan)
    if len(swept.end_T):
        for replicate in range(len(value_R)):
            value_R[replicate] = value(*swept.counts(weight_QR[:, replicate]))
    return value_R


def _average_precision(positive_T: np.ndarray, negative_T: np.ndarray) -> float:
    if not positive_T[-1] > 0:
        return np.nan
    all_T = positive_T + negative_T
    precision_T = np.divide(positive_T, all_T, out=np.zeros(len(all_T)), where=all_T > 0)
    return float((np.diff(positive_T, prepend=0.0) * precision_T).sum() / positive_T[-1])


def _ks(positive_T: np.ndarray, negative_T: np.ndarray) -> float:
    if not (positive_T[-1] > 0 and negative_T[-1] > 0):
        return np.nan
    return float(np.abs(positive_T / positive_T[-1] - negative_T / negative_T[-1]).max())
