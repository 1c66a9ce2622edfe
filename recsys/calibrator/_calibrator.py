"""A calibrator as a configured noun, and what fitting it leaves behind: a monotone map kept as JSON.

Shapes: N rows; V distinct scores, ascending.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np


class Fitted(ABC):
    """A non-decreasing map from score to probability (to the last bits of rounding)."""

    @abstractmethod
    def predict(self, score_N: np.ndarray) -> np.ndarray:
        """probability_N, float64 in [0, 1], of float32 logits."""

    @abstractmethod
    def to_json(self) -> dict:
        """Plain values for `json.dumps`; `recsys.calibrator.from_json` reads them back without loss."""


@dataclass
class Calibrator(ABC):
    """An option of conf/calibrator."""

    @abstractmethod
    def fit(self, score_N: np.ndarray, positive_N: np.ndarray, weight_N: np.ndarray) -> Fitted:
        """Fits P(positive | score); the same bits for any order of the rows.

        One class, equal scores or separable classes are fine: the map stays finite and off 0 and 1. Raises ValueError
        without a row of positive weight, or for a value that is not a number.
        """


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What a calibrator learns from: per distinct score, how many were positive and how many were not."""

    score_V: np.ndarray  # float64, strictly ascending
    positive_V: np.ndarray  # float64, sum of weights
    negative_V: np.ndarray


def tally(score_N: np.ndarray, positive_N: np.ndarray, weight_N: np.ndarray) -> Tally:
    """Rows gathered by score; raises ValueError where `Calibrator.fit` does."""
    score_N, weight_N = np.asarray(score_N, np.float64), np.asarray(weight_N, np.float64)
    positive_N = np.asarray(positive_N, bool)
    check_finite("score", score_N)
    check_finite("weight", weight_N)
    if len(weight_N) and weight_N.min() < 0:
        raise ValueError(f"weight {weight_N.min()} is negative; a weight is a number of observations")
    if not weight_N.sum() > 0:
        raise ValueError("a calibrator needs at least one labelled row with a positive weight; none was given")
    row = np.flatnonzero(weight_N > 0)
    order = row[np.lexsort((weight_N[row], positive_N[row], score_N[row]))]
    score_V, value_N = np.unique(score_N[order], return_inverse=True)
    return Tally(
        score_V=score_V,
        positive_V=np.bincount(value_N, weights=weight_N[order] * positive_N[order]),
        negative_V=np.bincount(value_N, weights=weight_N[order] * ~positive_N[order]),
    )


def check_finite(name: str, value_N: np.ndarray) -> None:
    """Raises ValueError naming the first value that is NaN or infinite."""
    wrong = np.flatnonzero(~np.isfinite(value_N))
    if len(wrong):
        raise ValueError(
            f"{name} {value_N[wrong[0]]} at row {wrong[0]} is not a finite number "
            f"({len(wrong)} of {len(value_N)} rows); repair the scorer or drop the rows"
        )
