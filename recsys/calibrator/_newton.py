"""Logistic regression with lower bounds on its coefficients, shared by the calibrators that are smooth curves.

Shapes: V distinct scores (or other cells), D coefficients.
"""

import numpy as np
from scipy.special import expit

from recsys.calibrator._calibrator import Tally

MAX_STEPS = 200
TOLERANCE = 1e-13  # of the Newton decrement: twice the loss still to be gained, in nats per observation
RIDGE = 1e-14  # of the step alone: where features are collinear, the objective stays as it is


def smoothed_targets(counts: Tally) -> tuple[float, float]:
    """(t+, t-): what a positive and a negative count as, (n+ + 1) / (n+ + 2) and 1 / (n- + 2) (Platt, 1999).

    They keep the optimum finite where the classes are separable or one of them is missing.
    """
    return (counts.positive_V.sum() + 1) / (counts.positive_V.sum() + 2), 1 / (counts.negative_V.sum() + 2)


def minimise(feature_DV: np.ndarray, counts: Tally, start_D: np.ndarray, least_D: np.ndarray) -> np.ndarray:
    """coefficient_D >= least_D that minimise the weighted log-loss of expit(coefficient_D @ feature_DV) to smoothed
    targets: a convex problem.

    Projected Newton steps (Bertsekas, 1982): coefficients near a bound that push against it go there by the gradient,
    the others move together. Each step lowers the loss.
    """
    upper, lower = smoothed_targets(counts)
    weight_V = counts.weight_V
    target_V = counts.positive_V * upper + counts.negative_V * lower  # weight times target
    total = weight_V.sum()

    def loss(coefficient_D: np.ndarray) -> float:
        logit_V = coefficient_D @ feature_DV
        return float((weight_V * np.logaddexp(0, logit_V) - target_V * logit_V).sum() / total)

    coefficient_D = np.maximum(np.asarray(start_D, np.float64), least_D)
    value = loss(coefficient_D)
    for _ in range(MAX_STEPS):
        probability_V = expit(coefficient_D @ feature_DV)
        gradient_D = (feature_DV * (weight_V * probability_V - target_V)).sum(axis=1) / total
        room_D = coefficient_D - least_D
        near = min(1e-2, float(np.linalg.norm(np.minimum(room_D, gradient_D))))
        held_D = (room_D <= near) & (gradient_D > 0)
        free = np.flatnonzero(~held_D)
        step_D = np.where(held_D, np.minimum(room_D, gradient_D), 0.0)
        if len(free):
            curvature_V = weight_V * probability_V * (1 - probability_V)
            feature_FV = feature_DV[free]
            hessian_FF = (feature_FV[:, None] * feature_FV[None] * curvature_V).sum(axis=2) / total
            step_D[free] = np.linalg.solve(hessian_FF + RIDGE * np.eye(len(free)), gradient_D[free])
        if float(gradient_D @ step_D) < TOLERANCE:
            last_D = np.maximum(coefficient_D - step_D, least_D)
            return last_D if loss(last_D) <= value else coefficient_D
        size = 1.0
        while True:
            tried_D = np.maximum(coefficient_D - size * step_D, least_D)
            tried = loss(tried_D)
            if tried <= value - 1e-4 * float(gradient_D @ (coefficient_D - tried_D)) or size < 1e-10:
                break
            size /= 2
        if tried >= value:
            return coefficient_D
        coefficient_D, value = tried_D, tried
    return coefficient_D
