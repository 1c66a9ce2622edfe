"""Histogram binning (Zadrozny & Elkan, 2001): the share of positives in each bin of scores."""

from dataclasses import dataclass

from recsys.calibrator._bins import edges, equal_mass, equal_width, sums
from recsys.calibrator._calibrator import Calibrator, Rows, tally
from recsys.calibrator._fitted import Steps
from recsys.calibrator._pool import rate_of_bins

BINS = {"width": equal_width, "mass": equal_mass}


@dataclass
class Histogram(Calibrator):
    """Level within a bin, and a lower bin may say more than a higher one: ranking order is not kept.

    Bins without observations belong to their neighbours, half each. A bin of one class is smoothed by its size.
    """

    bins: str  # width: of sigmoid(score); mass: equally many observations
    num_bins: int

    def __post_init__(self) -> None:
        if self.bins not in BINS:
            raise ValueError(f"calibrator.histogram.bins={self.bins!r} is unknown; use {' or '.join(BINS)}")
        if not 1 <= self.num_bins <= 10_000:
            raise ValueError(f"calibrator.histogram.num_bins={self.num_bins} must lie between 1 and 10000")

    def fit(self, rows: Rows) -> Steps:
        counts = tally(rows)
        start_B = BINS[self.bins](counts, self.num_bins)
        rate_B = rate_of_bins(sums(counts.positive_V, start_B), sums(counts.negative_V, start_B))
        return Steps(edge_E=tuple(edges(counts, start_B).tolist()), probability_B=tuple(rate_B.tolist()))
