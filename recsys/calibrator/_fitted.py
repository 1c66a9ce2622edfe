"""The two shapes of a fitted map: a logistic curve and a monotone chain of points.

Shapes: N rows, K knots.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from recsys.calibrator._calibrator import Fitted


@dataclass(frozen=True, kw_only=True)
class Logistic(Fitted):
    """probability = 1 / (1 + exp(-(slope * score + intercept))), slope at least 0."""

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (0 <= self.slope < np.inf and np.isfinite(self.intercept)):
            raise ValueError(
                f"slope={self.slope}, intercept={self.intercept} is no calibration: both must be finite and "
                "the slope at least 0"
            )

    def predict(self, score_N: np.ndarray) -> np.ndarray:
        return expit(self.slope * np.asarray(score_N, np.float64) + self.intercept)

    def to_json(self) -> dict:
        return {"map": "logistic", "slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True, kw_only=True)
class Curve(Fitted):
    """Straight lines between knots, level outside them."""

    score_K: tuple[float, ...]  # strictly ascending
    probability_K: tuple[float, ...]  # non-decreasing, in [0, 1]

    def __post_init__(self) -> None:
        score_K, probability_K = np.array(self.score_K), np.array(self.probability_K)
        if not (
            len(score_K) == len(probability_K) > 0
            and (np.diff(score_K) > 0).all()
            and (np.diff(probability_K) >= 0).all()
            and 0 <= probability_K[0] <= probability_K[-1] <= 1
        ):
            raise ValueError(
                f"{len(score_K)} scores and {len(probability_K)} probabilities are no calibration: scores must ascend "
                "and probabilities must not descend, within [0, 1]"
            )

    def predict(self, score_N: np.ndarray) -> np.ndarray:
        return np.interp(np.asarray(score_N, np.float64), self.score_K, self.probability_K)

    def to_json(self) -> dict:
        return {"map": "curve", "score": list(self.score_K), "probability": list(self.probability_K)}


def from_json(value: dict) -> Fitted:
    """The map that `to_json` wrote. Raises ValueError for anything else."""
    match value:
        case {"map": "logistic", "slope": slope, "intercept": intercept}:
            return Logistic(slope=float(slope), intercept=float(intercept))
        case {"map": "curve", "score": [*score], "probability": [*probability]}:
            return Curve(score_K=tuple(map(float, score)), probability_K=tuple(map(float, probability)))
    raise ValueError(f"{value!r:.200} is no fitted calibrator; its 'map' must be 'logistic' or 'curve'")
