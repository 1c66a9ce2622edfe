"""Platt scaling (Platt, 1999; Lin, Lin & Weng, 2007): a logistic regression on the score."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from recsys.calibrator._calibrator import Calibrator, tally
from recsys.calibrator._fitted import Logistic
from recsys.calibrator._newton import minimise, smoothed_targets


@dataclass
class Platt(Calibrator):
    """sigmoid(slope * score + intercept), slope at least 0: repairs confidence and level.

    Fitted by log-loss to Platt's smoothed targets on standardised scores. Where the best slope is negative, or scores
    are all equal, the slope is 0 and the intercept gives the mean rate.
    """

    def fit(self, score_N: np.ndarray, positive_N: np.ndarray, weight_N: np.ndarray) -> Logistic:
        counts = tally(score_N, positive_N, weight_N)
        weight_V = counts.positive_V + counts.negative_V
        upper, lower = smoothed_targets(counts)
        rate = (counts.positive_V.sum() * upper + counts.negative_V.sum() * lower) / weight_V.sum()
        level = Logistic(slope=0.0, intercept=float(logit(rate)))
        mean = (weight_V * counts.score_V).sum() / weight_V.sum()
        spread = float(np.sqrt((weight_V * (counts.score_V - mean) ** 2).sum() / weight_V.sum()))
        if len(counts.score_V) == 1 or spread == 0:
            return level
        feature_2V = np.stack([(counts.score_V - mean) / spread, np.ones(len(weight_V))])
        slope, intercept = minimise(feature_2V, counts, np.array([0.0, level.intercept]))
        if slope <= 0:
            return level
        return Logistic(slope=float(slope / spread), intercept=float(intercept - slope * mean / spread))
