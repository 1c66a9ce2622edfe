"""The shapes of a fitted map that several calibrators share: a logistic curve, a monotone chain of points, steps.

Shapes: N rows, K knots, B bins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from recsys.calibrator._calibrator import Fitted
from recsys.calibrator._segments import NOWHERE, Segments


@dataclass(frozen=True, kw_only=True)
class Logistic(Fitted):
    """probability = 1 / (1 + exp(-(slope * score + intercept))), slope at least 0."""

    map: ClassVar[str] = "logistic"

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (0 <= self.slope < np.inf and np.isfinite(self.intercept)):
            raise ValueError(
                f"slope={self.slope}, intercept={self.intercept} is no calibration: both must be finite and "
                "the slope at least 0"
            )

    def logit(self, score_N: np.ndarray) -> np.ndarray:
        """logit_N of the probability."""
        return self.slope * np.asarray(score_N, np.float64) + self.intercept

    def predict(self, score_N: np.ndarray, segment: Mapping[str, Segments] = NOWHERE) -> np.ndarray:
        return expit(self.logit(score_N))


@dataclass(frozen=True, kw_only=True)
class Curve(Fitted):
    """Straight lines between knots, level outside them."""

    map: ClassVar[str] = "curve"

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

    def predict(self, score_N: np.ndarray, segment: Mapping[str, Segments] = NOWHERE) -> np.ndarray:
        return np.interp(np.asarray(score_N, np.float64), self.score_K, self.probability_K)


@dataclass(frozen=True, kw_only=True)
class Steps(Fitted):
    """One probability per bin of the score. Bin b holds edge[b - 1] <= score < edge[b]; the outer ones are open."""

    map: ClassVar[str] = "steps"
    order: ClassVar[str] = "free"

    edge_E: tuple[float, ...]  # strictly ascending, one fewer than bins
    probability_B: tuple[float, ...]  # in [0, 1], in any order

    def __post_init__(self) -> None:
        edge_E, probability_B = np.array(self.edge_E), np.array(self.probability_B)
        if not (
            len(probability_B) == len(edge_E) + 1
            and (np.diff(edge_E) > 0).all()
            and ((probability_B >= 0) & (probability_B <= 1)).all()
        ):
            raise ValueError(
                f"{len(edge_E)} edges and {len(probability_B)} probabilities are no calibration: edges must ascend, "
                "with one more probability than there are edges, each within [0, 1]"
            )

    def predict(self, score_N: np.ndarray, segment: Mapping[str, Segments] = NOWHERE) -> np.ndarray:
        bin_N = np.searchsorted(self.edge_E, np.asarray(score_N, np.float64), "right")
        return np.array(self.probability_B)[bin_N]
