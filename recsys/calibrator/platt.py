"""Platt scaling (Platt, 1999; Lin, Lin & Weng, 2007): a logistic regression on the score."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from recsys.calibrator._calibrator import Calibrator, Rows, Tally, tally
from recsys.calibrator._fitted import Logistic
from recsys.calibrator._newton import minimise, smoothed_targets


@dataclass
class Platt(Calibrator):
    """sigmoid(slope * score + intercept), slope at least 0: repairs confidence and level.

    Fitted by log-loss to Platt's smoothed targets on standardised scores. Where the best slope is negative, or scores
    are all equal, the slope is 0 and the intercept gives the mean rate.
    """

    def fit(self, rows: Rows) -> Logistic:
        counts = tally(rows)
        mean, spread = standard(counts.score_V, counts.weight_V)
        level = Logistic(slope=0.0, intercept=level_logit(counts))
        if spread == 0:
            return level
        feature_2V = np.stack([(counts.score_V - mean) / spread, np.ones(len(counts.score_V))])
        slope, intercept = minimise(feature_2V, counts, np.array([0.0, level.intercept]), np.array([0.0, -np.inf]))
        if slope <= 0:
            return level
        return Logistic(slope=float(slope / spread), intercept=float(intercept - slope * mean / spread))


def standard(value_V: np.ndarray, weight_V: np.ndarray) -> tuple[float, float]:
    """Weighted mean and standard deviation; exactly 0 for equal values."""
    if not (value_V != value_V[0]).any():
        return float(value_V[0]), 0.0
    mean = float((weight_V * value_V).sum() / weight_V.sum())
    return mean, float(np.sqrt((weight_V * (value_V - mean) ** 2).sum() / weight_V.sum()))


def level_logit(counts: Tally) -> float:
    """The logit of the mean smoothed target: what is said where the score says nothing."""
    upper, lower = smoothed_targets(counts)
    rate = (counts.positive_V.sum() * upper + counts.negative_V.sum() * lower) / counts.weight_V.sum()
    return float(logit(rate))
