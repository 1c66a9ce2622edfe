"""Graded labels: the probability of every grade from one score, by cumulative logits (proportional odds; McCullagh,
1980).

Shapes: N rows, G grades, V distinct scores, J = G - 1 cuts, P parameters.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from recsys.calibrator._calibrator import check_finite

MAX_STEPS = 500
TOLERANCE = 1e-13  # of the Newton decrement, in nats per observation
APART = 1e-9  # smallest distance of two cuts


@dataclass(frozen=True, kw_only=True)
class Ordinal:
    """P(grade >= g) = sigmoid(slope * score - cut_g): grades in ascending order, slope at least 0, cuts ascending."""

    grade_G: tuple[float, ...]
    slope: float
    cut_J: tuple[float, ...]

    def __post_init__(self) -> None:
        grade_G, cut_J = np.array(self.grade_G), np.array(self.cut_J)
        if not (
            len(grade_G) == len(cut_J) + 1 >= 2
            and (np.diff(grade_G) > 0).all()
            and (np.diff(cut_J) > 0).all()
            and np.isfinite(cut_J).all()
            and 0 <= self.slope < np.inf
        ):
            raise ValueError(
                f"{len(grade_G)} grades, {len(cut_J)} cuts and the slope {self.slope} are no calibration: grades and "
                "cuts must ascend, one cut fewer than grades, and the slope must be finite and at least 0"
            )

    def predict(self, score_N: np.ndarray) -> np.ndarray:
        """probability_NG of each grade."""
        logit_NJ = self.slope * np.asarray(score_N, np.float64)[:, None] - np.array(self.cut_J)
        return _grades(logit_NJ)

    def to_json(self) -> dict[str, Any]:
        return {"map": "ordinal", "grade": list(self.grade_G), "slope": self.slope, "cut": list(self.cut_J)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Ordinal":
        """What `to_json` wrote. Raises ValueError for anything else."""
        if value.get("map") != "ordinal" or set(value) != {"map", "grade", "slope", "cut"}:
            raise ValueError(f"{value!r:.200} is no fitted ordinal calibrator: its keys are map, grade, slope, cut")
        return cls(grade_G=tuple(value["grade"]), slope=value["slope"], cut_J=tuple(value["cut"]))


def fit_ordinal(score_N: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray) -> Ordinal:
    """Fits P(grade | score) for the whole grades next to which labels lie; a label between two grades counts for both
    in proportion. The same bits for any order of the rows.

    One further observation is spread evenly over all rows and grades, so that grades that are separable keep a finite
    optimum.

    Raises ValueError for values that are not numbers, without an observation, or if only one grade occurs.
    """
    score_N, label_N = np.asarray(score_N, np.float64), np.asarray(label_N, np.float64)
    weight_N = np.asarray(weight_N, np.float64)
    for name, value_N in (("score", score_N), ("label", label_N), ("weight", weight_N)):
        check_finite(name, value_N)
    used_N = weight_N > 0
    grade_G = np.unique(np.r_[np.floor(label_N[used_N]), np.ceil(label_N[used_N])])
    if len(grade_G) < 2:
        raise ValueError(f"only the grades {grade_G.tolist()} occur; an ordinal calibrator needs at least two")
    order = np.lexsort((weight_N[used_N], label_N[used_N], score_N[used_N]))
    score_M, label_M, weight_M = score_N[used_N][order], label_N[used_N][order], weight_N[used_N][order]
    score_V, value_M = np.unique(score_M, return_inverse=True)
    count_VG = np.stack(
        [
            np.bincount(value_M, weights=weight_M * np.maximum(1 - np.abs(label_M - grade), 0), minlength=len(score_V))
            for grade in grade_G
        ],
        axis=1,
    )
    mean = float((count_VG.sum(axis=1) * score_V).sum() / count_VG.sum())
    spread = float(np.sqrt((count_VG.sum(axis=1) * (score_V - mean) ** 2).sum() / count_VG.sum()))
    slope, cut_J = _cumulative((score_V - mean) / spread if spread > 0 else np.zeros(len(score_V)), _spread(count_VG))
    scale = slope / spread if spread > 0 else 0.0
    return Ordinal(grade_G=tuple(grade_G.tolist()), slope=float(scale), cut_J=tuple((cut_J + scale * mean).tolist()))


def _spread(count_VG: np.ndarray) -> np.ndarray:
    """target_VG that sums to the number of observations: one further is spread over all, then all are scaled."""
    weight_V, total = count_VG.sum(axis=1), count_VG.sum()
    return (count_VG + (weight_V / total)[:, None] / count_VG.shape[1]) * (total / (total + 1))


def _grades(logit_NJ: np.ndarray) -> np.ndarray:
    """probability_NG from the logits of P(grade >= g), differences taken where they lose no digits."""
    ends = (np.full((len(logit_NJ), 1), np.inf), np.full((len(logit_NJ), 1), -np.inf))
    upper_NG, lower_NG = np.hstack([ends[0], logit_NJ]), np.hstack([logit_NJ, ends[1]])
    return np.where(upper_NG + lower_NG > 0, expit(-lower_NG) - expit(-upper_NG), expit(upper_NG) - expit(lower_NG))


def _cumulative(score_V: np.ndarray, target_VG: np.ndarray) -> tuple[float, np.ndarray]:
    """Slope (at least 0) and cuts by Fisher scoring: first with the slope held at 0, whose cuts are known."""
    share_G = target_VG.sum(axis=0) / target_VG.sum()
    above_J = np.cumsum(share_G[::-1])[::-1][1:]
    parameter_P = np.r_[0.0, np.log((1 - above_J) / above_J)]
    if not score_V.any():
        return 0.0, parameter_P[1:]
    weight_V, total = target_VG.sum(axis=1), target_VG.sum()

    def loss(parameter_P: np.ndarray) -> float:
        if (np.diff(parameter_P[1:]) < APART).any():
            return np.inf
        probability_VG = _grades(parameter_P[0] * score_V[:, None] - parameter_P[1:])
        if (probability_VG <= 0).any():
            return np.inf
        return float(-(target_VG * np.log(probability_VG)).sum() / total)

    value = loss(parameter_P)
    for _ in range(MAX_STEPS):
        logit_VJ = parameter_P[0] * score_V[:, None] - parameter_P[1:]
        probability_VG = _grades(logit_VJ)
        density_VJ = expit(logit_VJ) * expit(-logit_VJ)
        pull_VG = target_VG / probability_VG
        gradient_VJ = density_VJ * (pull_VG[:, :-1] - pull_VG[:, 1:])  # of the loss, by the logits
        diagonal_VJ = weight_V[:, None] * density_VJ**2 * (1 / probability_VG[:, :-1] + 1 / probability_VG[:, 1:])
        beside_V = -weight_V[:, None] * density_VJ[:, :-1] * density_VJ[:, 1:] / probability_VG[:, 1:-1]
        curvature_VJJ = np.zeros((len(score_V), len(share_G) - 1, len(share_G) - 1))
        index = np.arange(len(share_G) - 1)
        curvature_VJJ[:, index, index] = diagonal_VJ
        curvature_VJJ[:, index[:-1], index[1:]] = curvature_VJJ[:, index[1:], index[:-1]] = beside_V
        jacobian_VJP = np.zeros((len(score_V), len(index), len(parameter_P)))
        jacobian_VJP[:, :, 0] = score_V[:, None]
        jacobian_VJP[:, index, index + 1] = -1.0
        gradient_P = np.einsum("vj,vjp->p", gradient_VJ, jacobian_VJP) / total
        information_PP = np.einsum("vjp,vjk,vkq->pq", jacobian_VJP, curvature_VJJ, jacobian_VJP, optimize=True) / total
        free = slice(1, None) if parameter_P[0] <= 0 and gradient_P[0] >= 0 else slice(None)
        step_P = np.zeros(len(parameter_P))
        step_P[free] = np.linalg.solve(
            information_PP[free, free] + 1e-14 * np.eye(len(gradient_P[free])), gradient_P[free]
        )
        decrement = float(gradient_P @ step_P)
        if decrement < TOLERANCE:
            break
        size = 1.0
        while (tried := loss(_feasible(parameter_P - size * step_P))) > value - 1e-4 * size * decrement:
            size /= 2
            if size < 1e-12:
                return float(parameter_P[0]), parameter_P[1:]
        parameter_P, value = _feasible(parameter_P - size * step_P), tried
    return float(parameter_P[0]), parameter_P[1:]


def _feasible(parameter_P: np.ndarray) -> np.ndarray:
    return np.r_[max(parameter_P[0], 0.0), parameter_P[1:]]
