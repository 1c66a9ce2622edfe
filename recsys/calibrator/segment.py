"""A calibrator per segment, shrunk towards the one for all: random intercepts and slopes, empirical Bayes.

Shapes: N rows, K segments, C cells (a segment's distinct scores), D = 2 coefficients of a segment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from recsys.calibrator._calibrator import Calibrator, Fitted, Rows, gather, tally
from recsys.calibrator._fitted import Logistic
from recsys.calibrator._segments import NOWHERE, Segments
from recsys.calibrator.platt import Platt, standard

MAX_ROUNDS, MAX_STEPS = 200, 100
CLOSE = 1e-4  # relative change of the spreads at which rounds end
TOLERANCE = 1e-13  # of the Newton decrement of each segment, relative to its weight
LEAST_SPREAD, MOST_SPREAD = 1e-3, 10.0  # of intercepts and slopes, in logits: less is as good as none


@dataclass(frozen=True, kw_only=True)
class Segmented(Fitted):
    """logit = slope_K * score + intercept_K in a known segment, that of `whole` elsewhere."""

    map: ClassVar[str] = "segment"
    order: ClassVar[str] = "segment"

    whole: Logistic
    column: str
    value_K: tuple[str, ...]
    slope_K: tuple[float, ...]
    intercept_K: tuple[float, ...]
    mean_D: tuple[float, ...]  # estimated mean of the segments' intercepts and slopes, as differences from `whole`
    spread_D: tuple[float, ...]  # and standard deviations; in logits, of scores in units of their standard deviation

    def __post_init__(self) -> None:
        if not (
            len(self.value_K) == len(self.slope_K) == len(self.intercept_K)
            and all(0 <= s < np.inf for s in self.slope_K)
            and np.isfinite(self.intercept_K).all()
        ):
            raise ValueError(
                f"{len(self.value_K)} segments with {len(self.slope_K)} slopes and {len(self.intercept_K)} intercepts "
                "are no calibration: each needs one of both, finite, and slopes of at least 0"
            )

    @property
    def segments(self) -> Mapping[str, tuple[str, ...]]:
        return {self.column: self.value_K}

    def predict(self, score_N: np.ndarray, segment: Mapping[str, Segments] = NOWHERE) -> np.ndarray:
        score_N = np.asarray(score_N, np.float64)
        code_N = segment[self.column].codes(self.value_K) if self.column in segment else np.full(len(score_N), -1)
        slope_N = np.array([*self.slope_K, self.whole.slope])[code_N]
        return expit(slope_N * score_N + np.array([*self.intercept_K, self.whole.intercept])[code_N])


@dataclass
class Segment(Calibrator):
    """Platt's map for all, and for each segment a shift and a change of slope, both normal around 0.

    How far segments differ is estimated from all of them (empirical Bayes, Laplace-approximate: MacKay, 1992); the
    less it is, and the fewer rows a segment has, the closer it stays to the others. Slopes are at least 0: order is
    kept within a segment.
    """

    by: str  # column of queries, items or labels

    def __post_init__(self) -> None:
        if not self.by:
            raise ValueError("calibrator.segment.by='' names no column; give one of queries, items or labels")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.by,)

    def fit(self, rows: Rows) -> Segmented:
        whole = Platt().fit(rows)
        column = rows.segment[self.by]
        known = rows.take((column.code_N >= 0) & (rows.weight_N > 0))
        counts = tally(rows)
        mean, spread = standard(counts.score_V, counts.weight_V)
        if not len(known):
            none = {"value_K": (), "slope_K": (), "intercept_K": (), "mean_D": (0.0, 0.0), "spread_D": (0.0, 0.0)}
            return Segmented(whole=whole, column=self.by, **none)
        present = np.unique(known.segment[self.by].code_N)
        names_K = tuple(sorted(column.value_K[code] for code in present))
        (code_C, score_C), positive_C, negative_C = gather(
            known, known.segment[self.by].codes(names_K), np.asarray(known.score_N, np.float64)
        )
        size = spread or 1.0
        effects = fit_effects(
            segment_C=code_C,
            offset_C=whole.logit(score_C),
            feature_2C=np.stack([np.ones(len(score_C)), (score_C - mean) / size]),
            positive_C=positive_C,
            weight_C=positive_C + negative_C,
            least_2=np.array([-np.inf, -whole.slope * size]),
            given=None,
        )
        slope_K = np.maximum(whole.slope + effects.coefficient_KD[:, 1] / size, 0.0)
        intercept_K = whole.intercept + effects.coefficient_KD[:, 0] - effects.coefficient_KD[:, 1] * (mean / size)
        return Segmented(
            whole=whole,
            column=self.by,
            value_K=names_K,
            slope_K=tuple(slope_K.tolist()),
            intercept_K=tuple(intercept_K.tolist()),
            mean_D=tuple(effects.mean_D.tolist()),
            spread_D=tuple(effects.spread_D.tolist()),
        )


@dataclass(frozen=True, kw_only=True)
class Effects:
    """What distinguishes the segments: most likely coefficients, and mean and standard deviation of their distribution.

    The mean is not 0: a map for all is flatter than the maps of segments that differ.
    """

    coefficient_KD: np.ndarray
    mean_D: np.ndarray
    spread_D: np.ndarray


def fit_effects(
    *,
    segment_C: np.ndarray,
    offset_C: np.ndarray,
    feature_2C: np.ndarray,
    positive_C: np.ndarray,
    weight_C: np.ndarray,
    least_2: np.ndarray,
    given: tuple[np.ndarray, np.ndarray] | None,
) -> Effects:
    """Modes of each segment's coefficients under a normal prior; its mean_2 and spread_2 are estimated if not given.

    A round finds the modes, then sets the prior's mean to theirs, and each variance to their sum of squares around it
    divided by the effective number of segments, K - sum of posterior / prior variance: where it ends, EM would end.
    """
    problem = _Problem(segment_C, offset_C, feature_2C, positive_C, weight_C)
    mean_D, spread_D = (np.zeros(2), np.ones(2)) if given is None else given
    mode_KD = np.tile(np.maximum(mean_D, least_2), (problem.num, 1))
    for _ in range(MAX_ROUNDS if given is None else 0):
        mode_KD = problem.modes(mode_KD, mean_D, spread_D**2, least_2)
        within_KDD = np.linalg.inv(problem.curvature(mode_KD) + np.diag(1 / spread_D**2))
        share_KD = np.clip(1 - np.diagonal(within_KDD, axis1=1, axis2=2) / spread_D**2, 1e-12, 1.0)
        mean_D, before_D = mode_KD.mean(axis=0), spread_D
        spread_D = np.sqrt(((mode_KD - mean_D) ** 2).sum(axis=0) / share_KD.sum(axis=0))
        spread_D = np.clip(spread_D, LEAST_SPREAD, MOST_SPREAD)
        if (np.abs(spread_D - before_D) <= CLOSE * before_D).all():
            break
    mode_KD = problem.modes(mode_KD, mean_D, spread_D**2, least_2)
    return Effects(coefficient_KD=mode_KD, mean_D=mean_D, spread_D=spread_D)


class _Problem:
    """The weighted logistic losses of all segments, side by side."""

    def __init__(self, segment_C, offset_C, feature_2C, positive_C, weight_C) -> None:
        self.num = int(segment_C.max()) + 1
        self._segment_C, self._offset_C, self._feature_2C = segment_C, offset_C, feature_2C
        self._positive_C, self._weight_C = positive_C, weight_C
        self._weight_K = self._sum(weight_C)

    def _sum(self, value_C: np.ndarray) -> np.ndarray:
        return np.bincount(self._segment_C, weights=value_C, minlength=self.num)

    def _logit(self, at_KD: np.ndarray) -> np.ndarray:
        return self._offset_C + (at_KD[self._segment_C].T * self._feature_2C).sum(axis=0)

    def loss(self, at_KD: np.ndarray, mean_D: np.ndarray, variance_D: np.ndarray) -> np.ndarray:
        """loss_K, prior included."""
        logit_C = self._logit(at_KD)
        data_K = self._sum(self._weight_C * np.logaddexp(0, logit_C) - self._positive_C * logit_C)
        return data_K + ((at_KD - mean_D) ** 2 / (2 * variance_D)).sum(axis=1)

    def curvature(self, at_KD: np.ndarray) -> np.ndarray:
        """Hessian_KDD of the data."""
        probability_C = expit(self._logit(at_KD))
        curvature_C = self._weight_C * probability_C * (1 - probability_C)
        hessian_KDD = np.empty((self.num, 2, 2))
        for i in range(2):
            for j in range(2):
                hessian_KDD[:, i, j] = self._sum(curvature_C * self._feature_2C[i] * self._feature_2C[j])
        return hessian_KDD

    def modes(self, at_KD: np.ndarray, mean_D: np.ndarray, variance_D: np.ndarray, least_2: np.ndarray) -> np.ndarray:
        """Newton steps for all segments at once, each halved until its loss falls. A slope that would pass its bound is
        held there, and the intercept found again: the loss is convex, so that is the optimum within the bound."""
        free_KD = self._newton(at_KD, mean_D, variance_D, np.zeros(self.num, bool))
        over_K = free_KD[:, 1] < least_2[1]
        if not over_K.any():
            return free_KD
        start_KD = np.where(over_K[:, None], np.stack([free_KD[:, 0], np.full(self.num, least_2[1])], 1), free_KD)
        return self._newton(start_KD, mean_D, variance_D, over_K)

    def _newton(self, at_KD: np.ndarray, mean_D: np.ndarray, variance_D: np.ndarray, held_K: np.ndarray) -> np.ndarray:
        value_K = self.loss(at_KD, mean_D, variance_D)
        for _ in range(MAX_STEPS):
            residual_C = self._weight_C * expit(self._logit(at_KD)) - self._positive_C
            gradient_KD = np.stack([self._sum(residual_C * feature_C) for feature_C in self._feature_2C], axis=1)
            gradient_KD += (at_KD - mean_D) / variance_D
            hessian_KDD = self.curvature(at_KD) + np.diag(1 / variance_D)
            gradient_KD[held_K, 1] = 0.0
            hessian_KDD[held_K, 0, 1] = hessian_KDD[held_K, 1, 0] = 0.0
            step_KD = np.linalg.solve(hessian_KDD, gradient_KD[:, :, None])[:, :, 0]
            decrement_K = (gradient_KD * step_KD).sum(axis=1)
            moving_K = decrement_K > TOLERANCE * self._weight_K
            if not moving_K.any():
                return at_KD
            size_K = np.where(moving_K, 1.0, 0.0)
            while True:
                tried_KD = at_KD - size_K[:, None] * step_KD
                tried_K = self.loss(tried_KD, mean_D, variance_D)
                over_K = (tried_K > value_K - 1e-4 * size_K * decrement_K) & (size_K > 1e-10)
                if not over_K.any():
                    break
                size_K[over_K] /= 2
            if not (tried_K < value_K).any():
                return at_KD
            better_K = tried_K < value_K
            at_KD, value_K = np.where(better_K[:, None], tried_KD, at_KD), np.where(better_K, tried_K, value_K)
        return at_KD
