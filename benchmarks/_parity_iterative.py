"""Iterative calibrators by the log-loss they reach, beside a fit of the same curves to the end of float64.

Shapes: N rows, V distinct scores, D coefficients.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import expit

from benchmarks._calibration_case import Case, draw
from benchmarks._parity import Parity
from benchmarks._parity_fit import TIGHT, run_to_the_end
from recsys.calibrator import Beta, Calibrator, Platt, Segment, Spline, Temperature

TOLERANCE = 1e-8
Features = Callable[[Case], tuple[np.ndarray, list[bool]]]  # feature_DV, and which coefficients are at least 0


def smoothed(case: Case) -> np.ndarray:
    """target_V of Platt (1999)."""
    positive, negative = case.positive_V.sum(), (case.weight_V - case.positive_V).sum()
    share_V = case.positive_V / case.weight_V
    return share_V * (positive + 1) / (positive + 2) + (1 - share_V) / (negative + 2)


def cross_entropy(logit_V: np.ndarray, target_V: np.ndarray, weight_V: np.ndarray) -> float:
    return float(np.average(np.logaddexp(0, logit_V) - target_V * logit_V, weights=weight_V))


def lowest(feature_DV: np.ndarray, bounded_D: list[bool], case: Case) -> float:
    """The lowest loss to smoothed targets."""
    target_V = smoothed(case)
    weight_V = case.weight_V / case.weight_V.sum()

    def loss(coefficient_D: np.ndarray) -> tuple[float, np.ndarray]:
        logit_V = coefficient_D @ feature_DV
        value = cross_entropy(logit_V, target_V, weight_V)
        return value, feature_DV @ (weight_V * (expit(logit_V) - target_V))

    return run_to_the_end(loss, np.zeros(len(bounded_D)), [(0, None) if b else (None, None) for b in bounded_D])


def iterative(calibrator: Calibrator, features: Features) -> Callable[[int], float]:
    """Difference of the losses reached."""

    def difference(seed: int) -> float:
        case = draw(seed)
        feature_DV, bounded_D = features(case)
        probability_V = np.clip(calibrator.fit(case.rows).predict(case.score_V), 1e-300, 1)
        below_V = np.clip(1 - probability_V, 1e-300, 1)
        target_V = smoothed(case)
        losses = -target_V * np.log(probability_V) - (1 - target_V) * np.log(below_V)
        return abs(float(np.average(losses, weights=case.weight_V)) - lowest(feature_DV, bounded_D, case))

    return difference


def level(case: Case) -> np.ndarray:
    return np.ones(len(case.score_V))


def temperature(case: Case) -> tuple[np.ndarray, list[bool]]:
    scale = np.abs(case.score_V).max() or 1.0
    return case.score_V[None] / scale, [True]


def platt(case: Case) -> tuple[np.ndarray, list[bool]]:
    if case.spread == 0 or len(case.score_V) == 1:
        return level(case)[None], [False]
    middle = np.average(case.score_V, weights=case.weight_V)
    return np.stack([(case.score_V - middle) / case.spread, level(case)]), [True, False]


def beta(case: Case) -> tuple[np.ndarray, list[bool]]:
    """ln p and -ln(1 - p), each standardised; one that varies by less than 1e-6 nats is left out."""
    found = [level(case)]
    for feature in (np.log(expit(case.score_V)), -np.log(expit(-case.score_V))):
        feature = feature - np.average(feature, weights=case.weight_V)
        spread = math.sqrt(np.average(feature**2, weights=case.weight_V))
        if spread > 1e-6:
            found.append(feature / spread)
    return np.stack(found), [False] + [True] * (len(found) - 1)


def spline(case: Case) -> tuple[np.ndarray, list[bool]]:
    """The same curves from another basis: slopes that are hats between the knots, integrated by trapezia, which is
    exact for straight lines."""
    if len(case.score_V) == 1:
        return level(case)[None], [False]
    share = np.cumsum(case.weight_V) / case.weight_V.sum()
    knots = sorted({float(case.score_V[min(np.searchsorted(share, (k + 0.5) / 6), len(share) - 1)]) for k in range(6)})
    grid = np.unique(np.r_[case.score_V, knots])
    found = [level(case)]
    for k in range(len(knots)):
        height = np.interp(grid, knots, [float(j == k) for j in range(len(knots))])
        area = np.r_[0, np.cumsum((height[1:] + height[:-1]) / 2 * np.diff(grid))]
        feature = np.interp(case.score_V, grid, area) / case.spread
        found.append(feature - np.average(feature, weights=case.weight_V))
    return np.stack(found), [False] + [True] * len(knots)


def segment(seed: int) -> float:
    """Difference of the penalised losses, per observation, at the prior that was estimated: all segments together."""
    case = draw(seed, largest=40)
    rows, fitted = case.rows, Segment(by="shop").fit(case.rows)
    if not fitted.value_K:
        return 0.0
    whole, middle, spread = fitted.whole, np.average(case.score_V, weights=case.weight_V), case.spread
    spread = 1.0 if len(case.score_V) == 1 or not spread else spread
    code_N = rows.segment["shop"].codes(fitted.value_K)
    used = np.flatnonzero((code_N >= 0) & (rows.weight_N > 0))
    code, positive, weight = code_N[used], rows.positive_N[used], rows.weight_N[used]
    offset = whole.slope * rows.score_N[used].astype(float) + whole.intercept
    standard = (rows.score_N[used] - middle) / spread
    mean, sd = np.array(fitted.mean_D), np.array(fitted.spread_D)
    num = len(fitted.value_K)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        effect = flat.reshape(num, 2)
        logit_M = offset + effect[code, 0] + effect[code, 1] * standard
        value = (weight * (np.logaddexp(0, logit_M) - positive * logit_M)).sum()
        residual = weight * (expit(logit_M) - positive)
        slope = np.stack([np.bincount(code, residual, num), np.bincount(code, residual * standard, num)], axis=1)
        slope += (effect - mean) / sd**2
        return float((value + (((effect - mean) / sd) ** 2).sum() / 2) / weight.sum()), slope.ravel() / weight.sum()

    ours = np.stack([np.array(fitted.intercept_K) - whole.intercept, np.array(fitted.slope_K) - whole.slope], axis=1)
    ours[:, 0] += ours[:, 1] * middle
    ours[:, 1] *= spread
    bounds = [(None, None), (-whole.slope * spread, None)] * num
    return abs(loss(ours.ravel())[0] - run_to_the_end(loss, ours.ravel() * 0 + np.tile(mean, num), bounds))


DIFFERENCES: dict[str, Callable[[int], float]] = {
    "temperature": iterative(Temperature(), temperature),
    "platt": iterative(Platt(), platt),
    "beta": iterative(Beta(), beta),
    "spline": iterative(Spline(num_knots=6), spline),
    "segment": segment,
}
CASES: tuple[Parity, ...] = tuple(
    Parity(name=name, reference=TIGHT, tolerance=TOLERANCE, difference=difference)
    for name, difference in DIFFERENCES.items()
)
