"""Rates of pools of observations, kept off 0 and 1. Shapes: V distinct scores, P pools."""

import numpy as np
from scipy.optimize import isotonic_regression

from recsys.calibrator._calibrator import Tally


def isotonic_pools(counts: Tally) -> tuple[np.ndarray, np.ndarray]:
    """start_P, the first distinct score of each pool of adjacent violators, and its smoothed rate_P.

    A pool without a positive among its n observations gets 0.5 / (n + 1) instead of 0 (Krichevsky & Trofimov, 1981),
    though not more than the next pool has; one without a negative likewise. So the held-out log-loss stays finite.
    """
    weight_V = counts.weight_V
    rate_V = isotonic_regression(counts.positive_V / weight_V, weights=weight_V).x
    start_P = np.flatnonzero(np.r_[True, np.diff(rate_V) > 0])
    weight_P = np.add.reduceat(weight_V, start_P)
    rate_P = np.clip(rate_V[start_P], 0.0, 1.0)
    if rate_P[0] == 0:
        rate_P[0] = min(0.5 / (weight_P[0] + 1), *rate_P[1:2], 1.0)
    if rate_P[-1] == 1:
        rate_P[-1] = max((weight_P[-1] + 0.5) / (weight_P[-1] + 1), *rate_P[-2:-1], 0.0)
    return start_P, rate_P


def rate_of_bins(positive_P: np.ndarray, negative_P: np.ndarray) -> np.ndarray:
    """Share of positives in each bin; 0.5 / (n + 1) or (n + 0.5) / (n + 1) for a bin of n observations of one class."""
    weight_P = positive_P + negative_P
    rate_P = positive_P / weight_P
    return np.where((positive_P == 0) | (negative_P == 0), (positive_P + 0.5) / (weight_P + 1), rate_P)
