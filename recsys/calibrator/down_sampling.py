"""Negative down-sampling undone (He et al., 2014): a shift that is known, and needs no label."""

import math
from dataclasses import dataclass

from recsys.calibrator._calibrator import Calibrator, Rows
from recsys.calibrator._fitted import Logistic


@dataclass
class DownSampling(Calibrator):
    """q = p / (p + (1 - p) / keep_rate): the logit moves by ln keep_rate.

    For a scorer that learnt from all positives and a share of the negatives. Where the labelled rows are themselves
    such a sample, give each its `inclusion_probability` instead: then every calibrator is fitted to the whole.
    """

    keep_rate: float  # share of the negatives that the scorer learnt from

    def __post_init__(self) -> None:
        if not 0 < self.keep_rate <= 1:
            raise ValueError(f"calibrator.down_sampling.keep_rate={self.keep_rate} must lie in (0, 1]")

    def fit(self, rows: Rows) -> Logistic:
        return Logistic(slope=1.0, intercept=math.log(self.keep_rate))
