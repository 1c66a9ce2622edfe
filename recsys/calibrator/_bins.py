"""Bins of scores: equally many observations or equally wide. Shapes: V distinct scores, B bins, E edges."""

import numpy as np
from scipy.special import logit

from recsys.calibrator._calibrator import Tally


def equal_mass(counts: Tally, num_bins: int) -> np.ndarray:
    """start_B: the first distinct score of each bin that is not empty. A score belongs to the bin in which the middle
    of its observations lies, so equal scores share one."""
    weight_V = counts.weight_V
    middle_V = (np.cumsum(weight_V) - weight_V / 2) / weight_V.sum()
    start_B = np.searchsorted(middle_V, np.arange(num_bins) / num_bins, "left")
    return np.unique(start_B[start_B < len(weight_V)])


def equal_width(counts: Tally, num_bins: int) -> np.ndarray:
    """start_B likewise, for bins between multiples of 1 / num_bins of the sigmoid of the score."""
    edge_E = logit(np.arange(1, num_bins) / num_bins)
    bin_V = np.searchsorted(edge_E, counts.score_V, "right")
    return np.flatnonzero(np.r_[True, np.diff(bin_V) > 0])


def edges(counts: Tally, start_B: np.ndarray) -> np.ndarray:
    """edge_E between neighbouring bins: half-way between the last score of one and the first of the next."""
    below_E, above_E = counts.score_V[start_B[1:] - 1], counts.score_V[start_B[1:]]
    middle_E = below_E / 2 + above_E / 2
    return np.where(middle_E > below_E, middle_E, above_E)


def sums(value_V: np.ndarray, start_B: np.ndarray) -> np.ndarray:
    """sum_B of each bin."""
    return np.add.reduceat(value_V, start_B)
