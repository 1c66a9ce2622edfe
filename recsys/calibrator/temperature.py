"""Temperature scaling (Guo et al., 2017): one factor on the logit."""

from dataclasses import dataclass

import numpy as np

from recsys.calibrator._calibrator import Calibrator, Rows, tally
from recsys.calibrator._fitted import Logistic
from recsys.calibrator._newton import minimise


@dataclass
class Temperature(Calibrator):
    """sigmoid(slope * score), slope = 1 / temperature at least 0: repairs over- and under-confidence, keeps the sign.

    Fitted by log-loss to Platt's smoothed targets, so that scores that separate the classes keep a finite slope.
    """

    def fit(self, rows: Rows) -> Logistic:
        counts = tally(rows)
        spread = float(np.abs(counts.score_V).max())
        if spread == 0:  # a factor on zero changes nothing
            return Logistic(slope=1.0, intercept=0.0)
        (slope,) = minimise(counts.score_V[None] / spread, counts, np.zeros(1), np.zeros(1)) / spread
        return Logistic(slope=float(slope), intercept=0.0)
