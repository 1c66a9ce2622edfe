"""Centred isotonic regression (Oron & Flournoy, 2017): isotonic regression that makes no ties between its pools."""

from dataclasses import dataclass

import numpy as np

from recsys.calibrator._calibrator import Calibrator, Rows, tally
from recsys.calibrator._fitted import Curve
from recsys.calibrator._pool import isotonic_pools


@dataclass
class CentredIsotonic(Calibrator):
    """Each pool of adjacent violators becomes one point at the weighted mean of its scores; straight lines join them.

    So it rises strictly from the first pool's centre to the last one's, and is level outside. Pools of one class are
    smoothed: see `_pool.isotonic_pools`.
    """

    def fit(self, rows: Rows) -> Curve:
        counts = tally(rows)
        start_P, rate_P = isotonic_pools(counts)
        rising_P = np.r_[True, np.diff(rate_P) > 0]  # smoothing may make an outer pool equal to its neighbour
        start_P, rate_P = start_P[rising_P], rate_P[rising_P]
        weight_V = counts.weight_V
        centre_P = np.add.reduceat(weight_V * counts.score_V, start_P) / np.add.reduceat(weight_V, start_P)
        single_P = np.diff(np.r_[start_P, len(weight_V)]) == 1
        centre_P = np.where(single_P, counts.score_V[start_P], centre_P)
        apart_P = np.r_[True, np.diff(centre_P) > 0]  # centres that rounding has made equal are one
        return Curve(score_K=tuple(centre_P[apart_P].tolist()), probability_K=tuple(rate_P[apart_P].tolist()))
