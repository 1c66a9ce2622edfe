"""Isotonic regression (Zadrozny & Elkan, 2002): the best non-decreasing map, whatever its shape."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from recsys.calibrator._calibrator import Calibrator, tally
from recsys.calibrator._fitted import Curve


@dataclass
class Isotonic(Calibrator):
    """Pools adjacent violators over distinct scores; each pool is level, straight lines lead from one to the next.

    A pool without a positive among its n observations gets 0.5 / (n + 1) instead of 0 (Krichevsky & Trofimov, 1981),
    though not more than the next pool has; one without a negative likewise. So the held-out log-loss stays finite.
    """

    def fit(self, score_N: np.ndarray, positive_N: np.ndarray, weight_N: np.ndarray) -> Curve:
        counts = tally(score_N, positive_N, weight_N)
        weight_V = counts.positive_V + counts.negative_V
        rate_V = isotonic_regression(counts.positive_V / weight_V, weights=weight_V).x
        start_P = np.flatnonzero(np.r_[True, np.diff(rate_V) > 0])
        end_P = np.r_[start_P[1:], len(rate_V)] - 1
        weight_P = np.add.reduceat(weight_V, start_P)
        rate_P = np.clip(rate_V[start_P], 0.0, 1.0)
        if rate_P[0] == 0:
            rate_P[0] = min(0.5 / (weight_P[0] + 1), *rate_P[1:2], 1.0)
        if rate_P[-1] == 1:
            rate_P[-1] = max((weight_P[-1] + 0.5) / (weight_P[-1] + 1), *rate_P[-2:-1], 0.0)
        knot = np.unique(np.r_[start_P, end_P])
        pool_K = np.searchsorted(start_P, knot, "right") - 1
        return Curve(score_K=tuple(counts.score_V[knot].tolist()), probability_K=tuple(rate_P[pool_K].tolist()))
