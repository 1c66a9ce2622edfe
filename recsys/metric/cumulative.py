"""Calibration without bins: how far the running sum of outcomes drifts from that of probabilities.

Shapes: N rows in ascending order of probability, V distinct probabilities, R weightings of the queries.
"""

from collections.abc import Callable

import numpy as np

from recsys.metric._effective import Unit
from recsys.metric._sample import Sample
from recsys.metric._sweep import Sweep, sweep


def ecce(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    """Estimated cumulative calibration error: range (largest less smallest, 0 included) of the cumulative difference of
    outcomes and probabilities in order of probability, as a share of all observations (Arrieta-Ibarra et al., 2022).

    Equal probabilities are one step, so the order of the rows is irrelevant. At least |mean outcome - mean
    probability|. Under perfect calibration it is near 1.6 `ecce_scale`, never 0. NaN without rows.
    """
    return _over_rows(sample, weight_QR, _range)


def ecce_scale(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    """Standard deviation of the end of that walk if every probability were true and observations independent:
    sqrt(sum of weight * p (1 - p) * unit) / sum of weight, where the unit is 1 if weights are counts (see `Unit.per`).
    An `ecce` of several of it is no accident."""
    return _over_rows(sample, weight_QR, lambda *parts: _scale(sample.unit, *parts))


def _over_rows(
    sample: Sample, weight_QR: np.ndarray, value: Callable[[Sweep, np.ndarray, np.ndarray], float]
) -> np.ndarray:
    swept = sweep(sample, -sample.probability_N)
    probability_N = np.repeat(-swept.value_T, np.diff(swept.end_T, prepend=-1))
    value_R = np.full(weight_QR.shape[1], np.nan)
    for replicate in range(len(value_R)):
        drawn_N = weight_QR[swept.query_N, replicate]
        if drawn_N.sum() > 0:
            value_R[replicate] = value(swept, probability_N, drawn_N)
    return value_R


def _range(swept: Sweep, probability_N: np.ndarray, drawn_N: np.ndarray) -> float:
    weight_N = swept.positive_N + swept.negative_N
    walk_V = np.cumsum(drawn_N * (swept.positive_N - weight_N * probability_N))[swept.end_T]
    return float((walk_V.max(initial=0.0) - walk_V.min(initial=0.0)) / (drawn_N * weight_N).sum())


def _scale(unit: Unit, swept: Sweep, probability_N: np.ndarray, drawn_N: np.ndarray) -> float:
    weight_N = swept.positive_N + swept.negative_N
    variance_N = drawn_N * weight_N * probability_N * (1 - probability_N) * unit.per(probability_N)
    return float(np.sqrt(variance_N.sum()) / (drawn_N * weight_N).sum())
