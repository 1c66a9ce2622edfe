"""Another share of positives than the scorer was trained on (Saerens, Latinne & Decaestecker, 2002)."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import expit

from recsys.calibrator._calibrator import Calibrator, Rows, Tally, tally
from recsys.calibrator._fitted import Logistic


@dataclass
class PriorShift(Calibrator):
    """The logit moves by the difference of the two priors' logits; what makes a row positive is taken to be the same.

    Without `rate` the new prior is the most likely one given the scores alone, the point at which Saerens' EM
    algorithm ends; labels are not looked at.
    """

    trained_rate: float  # share of positives that the scorer was trained on
    rate: float | None  # share of positives where it is used; null = estimated from the scores

    def __post_init__(self) -> None:
        for name in ("trained_rate", "rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"calibrator.prior_shift.{name}={value} must lie strictly between 0 and 1")

    def fit(self, rows: Rows) -> Logistic:
        rate = estimate(tally(rows), self.trained_rate) if self.rate is None else self.rate
        return Logistic(slope=1.0, intercept=_logit(rate) - _logit(self.trained_rate))


def estimate(counts: Tally, trained_rate: float) -> float:
    """The rate that maximises sum of weight * ln(rate * p / trained + (1 - rate) * (1 - p) / (1 - trained)), a concave
    function; at least half an observation of each class is left."""
    weight_V = counts.weight_V
    positive_V = expit(counts.score_V) / trained_rate
    negative_V = expit(-counts.score_V) / (1 - trained_rate)

    def slope(rate: float) -> float:
        return float((weight_V * (positive_V - negative_V) / (rate * positive_V + (1 - rate) * negative_V)).sum())

    least = 0.5 / (float(weight_V.sum()) + 1)
    if slope(least) <= 0:
        return least
    if slope(1 - least) >= 0:
        return 1 - least
    found = root_scalar(slope, bracket=(least, 1 - least), method="brentq", xtol=1e-15, rtol=4 * np.finfo(float).eps)
    return float(found.root)


def _logit(rate: float) -> float:
    return math.log(rate / (1 - rate))
