"""Grade probabilities that some model gives, calibrated together: vector scaling (Guo et al., 2017) and Dirichlet
calibration (Kull et al., 2019). Shapes: N rows, G grades, P parameters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from recsys.calibrator._calibrator import check_finite

KINDS = ("vector", "full")
MAX_STEPS, TOLERANCE = 200, 1e-13  # the latter of the Newton decrement, in nats per observation


@dataclass(frozen=True, kw_only=True)
class Dirichlet:
    """probability = softmax(weight @ ln(given probability) + bias)."""

    weight_GG: tuple[tuple[float, ...], ...]
    bias_G: tuple[float, ...]

    def __post_init__(self) -> None:
        weight_GG = np.array(self.weight_GG)
        if not (weight_GG.shape == (len(self.bias_G),) * 2 and np.isfinite(weight_GG).all()):
            raise ValueError(f"weights of shape {weight_GG.shape} and {len(self.bias_G)} biases are no calibration")

    def predict(self, log_probability_NG: np.ndarray) -> np.ndarray:
        """probability_NG, of logits or of ln of probabilities."""
        given_NG = log_softmax(np.asarray(log_probability_NG, np.float64), axis=1)
        return softmax(given_NG @ np.array(self.weight_GG).T + np.array(self.bias_G), axis=1)

    def to_json(self) -> dict[str, Any]:
        return {"map": "dirichlet", "weight": [list(row) for row in self.weight_GG], "bias": list(self.bias_G)}


def fit_dirichlet(
    log_probability_NG: np.ndarray, grade_N: np.ndarray, weight_N: np.ndarray, *, kind: str, ridge: float
) -> Dirichlet:
    """Fits by log-loss with `ridge` times the squared distance from changing nothing, per observation: the weights are
    pulled to the identity and the biases to 0, so that separable or missing grades keep a finite optimum.

    `kind`: vector keeps the weights diagonal, full is Dirichlet calibration. Raises ValueError for values that are not
    numbers, a grade that is none of the columns, or a ridge that is not positive.
    """
    given_NG = np.asarray(log_probability_NG, np.float64)
    weight_N, grade_N = np.asarray(weight_N, np.float64), np.asarray(grade_N)
    check_finite("score", given_NG.ravel())
    check_finite("weight", weight_N)
    num = given_NG.shape[1]
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown; use {' or '.join(KINDS)}")
    if not ridge > 0:
        raise ValueError(f"ridge={ridge} must be above 0: it keeps the optimum finite")
    if not weight_N.sum() > 0:
        raise ValueError("a calibrator needs at least one labelled row with a positive weight; none was given")
    if (outside := np.flatnonzero((grade_N < 0) | (grade_N >= num))).size:
        raise ValueError(f"grade {grade_N[outside[0]]} at row {outside[0]} is none of the columns 0 to {num - 1}")
    given_NG = log_softmax(given_NG, axis=1)
    order = np.lexsort((weight_N, grade_N, *given_NG.T))
    given_NG, grade_N, weight_N = given_NG[order], grade_N[order], weight_N[order] / weight_N.sum()
    mask_GG = np.eye(num, dtype=bool) if kind == "vector" else np.ones((num, num), bool)
    row_W, column_W = np.nonzero(mask_GG)
    jacobian_NGP = np.zeros((len(given_NG), num, len(row_W) + num))
    jacobian_NGP[:, row_W, np.arange(len(row_W))] = given_NG[:, column_W]
    jacobian_NGP[:, np.arange(num), len(row_W) + np.arange(num)] = 1.0
    neutral_P = np.r_[(row_W == column_W).astype(float), np.zeros(num)]
    parameter_P = _minimise(jacobian_NGP, grade_N, weight_N, neutral_P, ridge)
    weight_GG = np.zeros((num, num))
    weight_GG[row_W, column_W] = parameter_P[: len(row_W)]
    return Dirichlet(
        weight_GG=tuple(tuple(row) for row in weight_GG.tolist()), bias_G=tuple(parameter_P[len(row_W) :].tolist())
    )


def _minimise(jacobian_NGP, grade_N, weight_N, neutral_P: np.ndarray, ridge: float) -> np.ndarray:
    """Damped Newton steps on a strictly convex loss, from the map that changes nothing."""
    row_N = np.arange(len(grade_N))

    def loss(parameter_P: np.ndarray) -> float:
        log_NG = log_softmax(jacobian_NGP @ parameter_P, axis=1)
        return float(-(weight_N * log_NG[row_N, grade_N]).sum() + ridge * ((parameter_P - neutral_P) ** 2).sum())

    parameter_P, value = neutral_P.copy(), loss(neutral_P)
    for _ in range(MAX_STEPS):
        probability_NG = softmax(jacobian_NGP @ parameter_P, axis=1)
        residual_NG = probability_NG.copy()
        residual_NG[row_N, grade_N] -= 1.0
        gradient_P = np.einsum("n,ng,ngp->p", weight_N, residual_NG, jacobian_NGP, optimize=True)
        gradient_P += 2 * ridge * (parameter_P - neutral_P)
        mean_NP = np.einsum("ng,ngp->np", probability_NG, jacobian_NGP)
        hessian_PP = np.einsum(
            "n,ng,ngp,ngq->pq", weight_N, probability_NG, jacobian_NGP, jacobian_NGP, optimize=True
        ) - np.einsum("n,np,nq->pq", weight_N, mean_NP, mean_NP, optimize=True)
        step_P = np.linalg.solve(hessian_PP + 2 * ridge * np.eye(len(neutral_P)), gradient_P)
        decrement = float(gradient_P @ step_P)
        if decrement < TOLERANCE:
            return parameter_P - step_P
        size = 1.0
        while (tried := loss(parameter_P - size * step_P)) > value - 1e-4 * size * decrement and size > 1e-12:
            size /= 2
        parameter_P, value = parameter_P - size * step_P, tried
    return parameter_P
