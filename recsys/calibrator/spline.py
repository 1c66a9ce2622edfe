"""A monotone spline: logistic regression on quadratic I-splines of the score (Ramsay, 1988).

Shapes: N rows, V distinct scores, K knots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from recsys.calibrator._calibrator import Calibrator, Fitted, Rows, Tally, tally
from recsys.calibrator._newton import minimise
from recsys.calibrator._segments import NOWHERE, Segments
from recsys.calibrator.platt import level_logit, standard


@dataclass(frozen=True, kw_only=True)
class Bends(Fitted):
    """The logit of the probability has slope_K at the knots, linear between them and constant outside."""

    map: ClassVar[str] = "spline"

    score_K: tuple[float, ...]  # strictly ascending
    slope_K: tuple[float, ...]  # at least 0
    intercept: float  # logit at the first knot

    def __post_init__(self) -> None:
        score_K, slope_K = np.array(self.score_K), np.array(self.slope_K)
        if not (
            len(score_K) == len(slope_K) > 0
            and (np.diff(score_K) > 0).all()
            and ((slope_K >= 0) & (slope_K < np.inf)).all()
            and np.isfinite(self.intercept)
        ):
            raise ValueError(
                f"{len(score_K)} scores and {len(slope_K)} slopes are no calibration: scores must ascend, slopes must "
                "be at least 0, and all finite"
            )

    def predict(self, score_N: np.ndarray, segment: Mapping[str, Segments] = NOWHERE) -> np.ndarray:
        ramp_KN = ramps(np.asarray(score_N, np.float64), np.array(self.score_K))
        logit_N = np.full(len(score_N), self.intercept)
        for slope, ramp_N in zip(self.slope_K, ramp_KN, strict=True):
            logit_N += slope * ramp_N
        return expit(logit_N)


@dataclass
class Spline(Calibrator):
    """A smooth map of any monotone shape; Platt's is the one whose slope is the same at every knot.

    Knots stand at quantiles of the scores; beyond the outer ones the logit goes on as a straight line. Slopes are at
    least 0, so order is kept. Fitted by log-loss to Platt's smoothed targets.
    """

    num_knots: int

    def __post_init__(self) -> None:
        if not 2 <= self.num_knots <= 50:
            raise ValueError(f"calibrator.spline.num_knots={self.num_knots} must lie between 2 and 50")

    def fit(self, rows: Rows) -> Bends:
        counts = tally(rows)
        mean, spread = standard(counts.score_V, counts.weight_V)
        if spread == 0:
            return Bends(score_K=(mean,), slope_K=(0.0,), intercept=level_logit(counts))
        knot_K = knots(counts, self.num_knots)
        ramp_KV = ramps(counts.score_V, knot_K) / spread
        centre_K = (ramp_KV * counts.weight_V).sum(axis=1) / counts.weight_V.sum()
        feature_DV = np.vstack([ramp_KV - centre_K[:, None], np.ones(len(counts.score_V))])
        start_D = np.r_[np.zeros(len(knot_K)), level_logit(counts)]
        coefficient_D = minimise(feature_DV, counts, start_D, np.r_[np.zeros(len(knot_K)), -np.inf])
        intercept = coefficient_D[-1] - (coefficient_D[:-1] * centre_K).sum()
        slope_K = coefficient_D[:-1] / spread
        return Bends(score_K=tuple(knot_K.tolist()), slope_K=tuple(slope_K.tolist()), intercept=float(intercept))


def knots(counts: Tally, num_knots: int) -> np.ndarray:
    """knot_K: the distinct ones of the scores at the shares (k + 1/2) / K of the observations."""
    share_V = np.cumsum(counts.weight_V) / counts.weight_V.sum()
    place_K = np.searchsorted(share_V, (np.arange(num_knots) + 0.5) / num_knots)
    return np.unique(counts.score_V[np.minimum(place_K, len(share_V) - 1)])


def ramps(score_N: np.ndarray, knot_K: np.ndarray) -> np.ndarray:
    """ramp_KN: integrals, from the first knot on, of the functions that are 1 at one knot, 0 at all others, and linear
    between (constant beyond the outer ones): monotone quadratic I-splines."""
    ramp_KN = np.zeros((len(knot_K), len(score_N)))
    ramp_KN[0] += np.minimum(score_N - knot_K[0], 0)
    ramp_KN[-1] += np.maximum(score_N - knot_K[-1], 0)
    for k, width in enumerate(np.diff(knot_K)):
        into_N = np.clip(score_N - knot_K[k], 0, width)
        rising_N = into_N * (into_N / (2 * width))
        ramp_KN[k] += into_N - rising_N
        ramp_KN[k + 1] += rising_N
    return ramp_KN
