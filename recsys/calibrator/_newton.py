"""Logistic regression of one variable, shared by temperature and Platt scaling.

Shapes: V distinct scores.
"""

import numpy as np
from scipy.special import expit

from recsys.calibrator._calibrator import Tally

MAX_STEPS = 100
TOLERANCE = 1e-12  # of the Newton decrement: twice the loss still to be gained, in nats per observation


def smoothed_targets(counts: Tally) -> tuple[float, float]:
    """(t+, t-): what a positive and a negative count as, (n+ + 1) / (n+ + 2) and 1 / (n- + 2) (Platt, 1999).

    They keep the optimum finite where the classes are separable or one of them is missing.
    """
    return (counts.positive_V.sum() + 1) / (counts.positive_V.sum() + 2), 1 / (counts.negative_V.sum() + 2)


def minimise(feature_DV: np.ndarray, counts: Tally, start_D: np.ndarray) -> np.ndarray:
    """coefficient_D that minimise the weighted log-loss of expit(coefficient_D @ feature_DV) to smoothed targets.

    Damped Newton steps on a strictly convex loss; features of rank D are required.
    """
    upper, lower = smoothed_targets(counts)
    weight_V = counts.positive_V + counts.negative_V
    target_V = counts.positive_V * upper + counts.negative_V * lower  # weight times target
    total = weight_V.sum()

    def loss(coefficient_D: np.ndarray) -> float:
        logit_V = coefficient_D @ feature_DV
        return float((weight_V * np.logaddexp(0, logit_V) - target_V * logit_V).sum() / total)

    coefficient_D = np.asarray(start_D, np.float64)
    value = loss(coefficient_D)
    for _ in range(MAX_STEPS):
        probability_V = expit(coefficient_D @ feature_DV)
        gradient_D = (feature_DV * (weight_V * probability_V - target_V)).sum(axis=1) / total
        curvature_V = weight_V * probability_V * (1 - probability_V)
        hessian_DD = (feature_DV[:, None] * feature_DV[None] * curvature_V).sum(axis=2) / total
        step_D = np.linalg.solve(hessian_DD + 1e-14 * np.eye(len(start_D)), gradient_D)
        if (decrement := float(gradient_D @ step_D)) < TOLERANCE:
            return coefficient_D - step_D
        size = 1.0
        while (tried := loss(coefficient_D - size * step_D)) > value - 1e-4 * size * decrement and size > 1e-10:
            size /= 2
        coefficient_D, value = coefficient_D - size * step_D, tried
    return coefficient_D
