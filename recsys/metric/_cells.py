"""Sums by query and bin: what a metric over bins needs for every weighting.

Shapes: N rows, C cells (one query's share of one bin), B bins, F bins that are not empty, R weightings of the queries.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recsys.metric._sample import Sample


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The observed rows of a sample, added up."""

    num_bins: int
    query_C: np.ndarray
    bin_C: np.ndarray
    weight_C: np.ndarray
    predicted_C: np.ndarray  # sum of weight * probability
    observed_C: np.ndarray  # sum of weight of the positives

    def sums(self, weight_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(observations, sum of probabilities, positives) per bin."""
        weight_C = weight_Q[self.query_C]
        values = (self.weight_C, self.predicted_C, self.observed_C)
        weight_B, predicted_B, observed_B = (
            np.bincount(self.bin_C, weights=weight_C * value_C, minlength=self.num_bins) for value_C in values
        )
        return weight_B, predicted_B, observed_B


def cells(sample: Sample, bin_N: np.ndarray) -> Cells:
    """The same bits for any order of the rows."""
    row = np.flatnonzero(sample.weight_N > 0)
    order = row[
        np.lexsort(
            (sample.weight_N[row], sample.positive_N[row], sample.probability_N[row], bin_N[row], sample.query_N[row])
        )
    ]
    query_N, bin_N, weight_N = sample.query_N[order], bin_N[order], sample.weight_N[order]
    new_N = np.ones(len(order), bool)
    new_N[1:] = (query_N[1:] != query_N[:-1]) | (bin_N[1:] != bin_N[:-1])
    cell_N = np.cumsum(new_N) - 1
    return Cells(
        num_bins=int(bin_N.max(initial=0)) + 1,
        query_C=query_N[new_N],
        bin_C=bin_N[new_N],
        weight_C=np.bincount(cell_N, weights=weight_N),
        predicted_C=np.bincount(cell_N, weights=weight_N * sample.probability_N[order]),
        observed_C=np.bincount(cell_N, weights=weight_N * sample.positive_N[order]),
    )


def over_bins(
    cells: Cells, weight_QR: np.ndarray, value: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
) -> np.ndarray:
    """value_R of (weight_F, predicted_F, observed_F), the latter as means; NaN where nothing is observed."""
    value_R = np.full(weight_QR.shape[1], np.nan)
    for replicate in range(len(value_R)):
        weight_B, predicted_B, observed_B = cells.sums(weight_QR[:, replicate])
        full = weight_B > 0
        if full.any():
            weight_F = weight_B[full]
            value_R[replicate] = value(weight_F, predicted_B[full] / weight_F, observed_B[full] / weight_F)
    return value_R
