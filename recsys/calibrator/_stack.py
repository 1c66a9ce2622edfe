"""Several models as one: logistic stacking of their scores (Wolpert, 1992; Breiman, 1996: weights of at least 0).

Shapes: N rows, M models, V distinct rows of scores.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.calibrator._calibrator import Rows, Tally, check_finite, gather
from recsys.calibrator._newton import minimise
from recsys.calibrator.platt import level_logit, standard


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One logit: weight_M @ score_M + intercept. It is a score like any other, which a calibrator may follow."""

    weight_M: tuple[float, ...]
    intercept: float

    def __post_init__(self) -> None:
        if not (all(0 <= w < np.inf for w in self.weight_M) and np.isfinite(self.intercept)):
            raise ValueError(
                f"weights {self.weight_M} and intercept {self.intercept} are no stack: weights must be finite and at "
                "least 0"
            )

    def score(self, score_NM: np.ndarray) -> np.ndarray:
        """logit_N of the models' scores."""
        return np.asarray(score_NM, np.float64) @ np.array(self.weight_M) + self.intercept

    def to_json(self) -> dict[str, Any]:
        return {"map": "stack", "weight": list(self.weight_M), "intercept": self.intercept}


def fit_stack(score_NM: np.ndarray, positive_N: np.ndarray, weight_N: np.ndarray) -> Stack:
    """Fits the weights, at least 0, by log-loss to Platt's smoothed targets on standardised scores; the same bits for
    any order of the rows. Raises ValueError as calibrators do."""
    score_NM = np.asarray(score_NM, np.float64)
    check_finite("score", score_NM.ravel())
    rows = Rows(
        score_N=score_NM[:, 0],
        positive_N=np.asarray(positive_N, bool),
        weight_N=np.asarray(weight_N, np.float64),
        fold_N=np.zeros(len(score_NM), np.int64),
        segment={},
    )
    keys, positive_V, negative_V = gather(rows, *score_NM.T)
    score_MV, counts = np.stack(keys), Tally(score_V=keys[0], positive_V=positive_V, negative_V=negative_V)
    scales = [standard(score_V, counts.weight_V) for score_V in score_MV]
    used = [m for m, (_, spread) in enumerate(scales) if spread > 0]
    feature_DV = np.stack([*((score_MV[m] - scales[m][0]) / scales[m][1] for m in used), np.ones(len(keys[0]))])
    start_D, least_D = np.r_[np.zeros(len(used)), level_logit(counts)], np.r_[np.zeros(len(used)), -np.inf]
    coefficient_D = minimise(feature_DV, counts, start_D, least_D)
    weight_M, intercept = np.zeros(len(score_MV)), float(coefficient_D[-1])
    for m, coefficient in zip(used, coefficient_D[:-1], strict=True):
        weight_M[m] = coefficient / scales[m][1]
        intercept -= weight_M[m] * scales[m][0]
    return Stack(weight_M=tuple(weight_M.tolist()), intercept=intercept)


def cross_fit(score_NM: np.ndarray, positive_N: np.ndarray, weight_N: np.ndarray, fold_N: np.ndarray) -> np.ndarray:
    """logit_N of each row by the stack fitted on the other folds: what a calibrator may be fitted on."""
    logit_N = np.empty(len(score_NM))
    for fold in np.unique(fold_N):
        held_N = fold_N == fold
        stack = fit_stack(score_NM[~held_N], positive_N[~held_N], weight_N[~held_N])
        logit_N[held_N] = stack.score(score_NM[held_N])
    return logit_N
