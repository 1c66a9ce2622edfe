"""No calibration: the sigmoid of the score."""

from dataclasses import dataclass

import numpy as np

from recsys.calibrator._calibrator import Calibrator
from recsys.calibrator._fitted import Logistic


@dataclass
class Identity(Calibrator):
    """Believes the scorer: right for a model trained by log-loss on data like these."""

    def fit(self, score_N: np.ndarray, positive_N: np.ndarray, weight_N: np.ndarray) -> Logistic:
        return Logistic(slope=1.0, intercept=0.0)
