"""Exact AUC of any number of rows: negatives are counted around the sorted positives, chunk after chunk.

Only the positives stay in memory. Every count is an integer, so that the result has the bits of a full sort, for any
chunks in any order. Shapes: N rows, P positive rows, M negative rows of a chunk.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class ExactAuc:
    """Takes all positives first, then chunks of negatives."""

    score_P: np.ndarray  # float32

    def __post_init__(self) -> None:
        self.score_P = np.sort(_finite(self.score_P))
        self._won = 0  # pairs in right order, in halves
        self._num_negative = 0

    def add(self, score_M: np.ndarray) -> None:
        """Counts negatives."""
        score_M = np.sort(_finite(score_M))
        self._num_negative += len(score_M)
        if len(score_M) > len(self.score_P):
            self._won += _below_and_tied(score_M, self.score_P)
        else:
            self._won += 2 * len(score_M) * len(self.score_P) - _below_and_tied(self.score_P, score_M)

    def value(self) -> float:
        """Probability that a positive scores above a negative, ties counting 1/2; NaN without both."""
        most = 2 * len(self.score_P) * self._num_negative
        return self._won / most if most else float("nan")


def exact_auc(score_N: np.ndarray, positive_N: np.ndarray) -> float:
    """Exact AUC of rows in memory. Raises ValueError for a score that is not finite."""
    counted = ExactAuc(score_N[positive_N])
    counted.add(score_N[~positive_N])
    return counted.value()


def _finite(score_N: np.ndarray) -> np.ndarray:
    score_N = np.asarray(score_N, np.float32)
    if not np.isfinite(score_N).all():
        row = int(np.flatnonzero(~np.isfinite(score_N))[0])
        raise ValueError(f"score {score_N[row]} at row {row} of its class is not finite; drop such rows first")
    return score_N


def _below_and_tied(other: np.ndarray, score: np.ndarray) -> int:
    """Over all scores: others below, twice, and others tied, once. Both ascend."""
    if not len(other):
        return 0
    left = np.searchsorted(other, score, "left")
    tied = np.flatnonzero(other[np.minimum(left, len(other) - 1)] == score)
    right = np.searchsorted(other, score[tied], "right")
    return 2 * int(left.sum()) + int((right - left[tied]).sum())
