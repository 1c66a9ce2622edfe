"""Isotonic regression (Zadrozny & Elkan, 2002): the best non-decreasing map, whatever its shape."""

from dataclasses import dataclass

import numpy as np

from recsys.calibrator._calibrator import Calibrator, Rows, tally
from recsys.calibrator._fitted import Curve
from recsys.calibrator._pool import isotonic_pools


@dataclass
class Isotonic(Calibrator):
    """Pools adjacent violators over distinct scores; each pool is level, straight lines lead from one to the next.

    Pools of one class are smoothed: see `_pool.isotonic_pools`. Scores of a pool become ties.
    """

    def fit(self, rows: Rows) -> Curve:
        counts = tally(rows)
        start_P, rate_P = isotonic_pools(counts)
        end_P = np.r_[start_P[1:], len(counts.score_V)] - 1
        knot = np.unique(np.r_[start_P, end_P])
        pool_K = np.searchsorted(start_P, knot, "right") - 1
        return Curve(score_K=tuple(counts.score_V[knot].tolist()), probability_K=tuple(rate_P[pool_K].tolist()))
