"""The Brier score taken apart (Murphy, 1973): how believable, how telling, and how hard the question was.

Brier = reliability - resolution + uncertainty + within, exactly, for every weighting. `within` is what bins hide
(Stephenson et al., 2008): 0 if all probabilities of a bin are equal. Bins hold equally many observations; equal
probabilities share one. Shapes: F bins that are not empty, R weightings of the queries.
"""

import numpy as np

from recsys.metric._cells import cells, over_bins
from recsys.metric._sample import Metric, Sample
from recsys.metric.reliability import brier, equal_mass


def brier_reliability(num_bins: int = 15) -> Metric:
    """Mean squared distance of stated and observed share of the bins: 0 if every bin keeps its word."""
    return _part(num_bins, lambda w_F, said_F, seen_F: _mean(w_F, (said_F - seen_F) ** 2))


def brier_resolution(num_bins: int = 15) -> Metric:
    """Variance of the observed shares of the bins: how far the probabilities tell rows apart. Higher is better."""
    return _part(num_bins, lambda w_F, said_F, seen_F: _mean(w_F, (seen_F - _mean(w_F, seen_F)) ** 2))


def brier_uncertainty(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    """Variance of the outcome, s (1 - s): the Brier score of always stating the share s of positives."""
    return _part(1, lambda w_F, said_F, seen_F: _mean(w_F, seen_F) * (1 - _mean(w_F, seen_F)))(sample, weight_QR)


def brier_within(num_bins: int = 15) -> Metric:
    """What the other parts leave of the Brier score: differences within bins, negative where they tell rows apart."""

    def within(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
        parts = (brier_reliability(num_bins), brier_resolution(num_bins), brier_uncertainty)
        reliability_R, resolution_R, uncertainty_R = (part(sample, weight_QR) for part in parts)
        return brier(sample, weight_QR) - (reliability_R - resolution_R + uncertainty_R)

    return within


def _part(num_bins: int, value) -> Metric:
    return lambda sample, weight_QR: over_bins(cells(sample, equal_mass(sample, num_bins)), weight_QR, value)


def _mean(weight_F: np.ndarray, value_F: np.ndarray) -> float:
    return (weight_F * value_F).sum() / weight_F.sum()
