"""Beta calibration (Kull, Silva Filho & Flach, 2017): two slopes, one for scores that say no and one for those that
say yes. Shapes: N rows, V distinct scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from recsys.calibrator._calibrator import Calibrator, Fitted, Rows, tally
from recsys.calibrator._newton import minimise
from recsys.calibrator._segments import NOWHERE, Segments
from recsys.calibrator.platt import level_logit, standard

SMALLEST = 1e-6  # spread of a feature, in nats: with less, all scores lie on the other side of 0, and its slope is 0


@dataclass(frozen=True, kw_only=True)
class TwoSlopes(Fitted):
    """logit(probability) = low * ln p - high * ln(1 - p) + intercept for p = sigmoid(score); low, high at least 0.

    Far below 0 it is low * score + intercept, far above high * score + intercept.
    """

    map: ClassVar[str] = "beta"

    low: float
    high: float
    intercept: float

    def __post_init__(self) -> None:
        if not (0 <= self.low < np.inf and 0 <= self.high < np.inf and np.isfinite(self.intercept)):
            raise ValueError(
                f"low={self.low}, high={self.high}, intercept={self.intercept} is no calibration: all must be finite "
                "and both slopes at least 0"
            )

    def predict(self, score_N: np.ndarray, segment: Mapping[str, Segments] = NOWHERE) -> np.ndarray:
        low_N, high_N = _features(np.asarray(score_N, np.float64))
        return expit(self.low * low_N + self.high * high_N + self.intercept)


@dataclass
class Beta(Calibrator):
    """Repairs scorers that are too sure on one side and not on the other; includes temperature and Platt.

    The same family as the paper's 'abm', with both slopes at least 0, so that order is kept. Fitted by log-loss to
    Platt's smoothed targets, to convergence, on standardised features.
    """

    def fit(self, rows: Rows) -> TwoSlopes:
        counts = tally(rows)
        feature_2V = np.stack(_features(counts.score_V))
        scales = [standard(feature_V, counts.weight_V) for feature_V in feature_2V]
        used = [d for d, (_, spread) in enumerate(scales) if spread > SMALLEST]
        standard_DV = [(feature_2V[d] - scales[d][0]) / scales[d][1] for d in used]
        feature_DV = np.stack([*standard_DV, np.ones(len(counts.score_V))])
        start_D, least_D = np.zeros(len(used) + 1), np.zeros(len(used) + 1)
        start_D[-1], least_D[-1] = level_logit(counts), -np.inf
        coefficient_D = minimise(feature_DV, counts, start_D, least_D)
        slope_2, intercept = np.zeros(2), coefficient_D[-1]
        for d, coefficient in zip(used, coefficient_D[:-1], strict=True):
            slope_2[d] = coefficient / scales[d][1]
            intercept -= slope_2[d] * scales[d][0]
        return TwoSlopes(low=float(slope_2[0]), high=float(slope_2[1]), intercept=float(intercept))


def _features(score_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln p and -ln(1 - p), exact for any score."""
    return -np.logaddexp(0, -score_N), np.logaddexp(0, score_N)
