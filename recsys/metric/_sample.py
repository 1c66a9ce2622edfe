"""What every metric is computed from, and the shape of a metric.

Shapes: N labelled rows, Q queries, R weightings of the queries (column 0 is all ones: the estimate itself; the others
are bootstrap replicates). A metric is a function `(Sample, weight_QR) -> value_R`; an undefined value is NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from recsys.metric._effective import Unit


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Labelled rows of one target, grouped by query (query_N ascends). A pair may have several rows."""

    num_queries: int  # Q; a query may have no row
    query_N: np.ndarray  # int64, 0 .. Q-1, ascending
    item_N: np.ndarray  # int64 code of the item, to tell which rows belong to the same pair
    score_N: np.ndarray  # float32 logit: ranks are taken from it
    probability_N: np.ndarray  # float64 in [0, 1]
    positive_N: np.ndarray  # bool
    gain_N: np.ndarray  # float64, at least 0
    weight_N: np.ndarray  # float64, number of observations: seen so often, or standing for as many (see `unit`)
    above_N: np.ndarray | None = None  # int64: items of the whole catalogue with a higher score for the query
    tied_N: np.ndarray | None = None  # int64: items with the same score, itself included
    total_N: np.ndarray | None = None  # int64: items scored for the query
    grade_N: np.ndarray | None = None  # int64: the whole grade of a graded target
    unit: Unit = field(default_factory=Unit)  # what one observation weighs: more than 1 where rows were drawn by chance

    def __len__(self) -> int:
        return len(self.query_N)

    def select(self, mask_N: np.ndarray) -> "Sample":
        """The rows where the mask is true; queries keep their numbers."""
        rows = {n: v[mask_N] for n, v in vars(self).items() if isinstance(v, np.ndarray)}
        return replace(self, **rows)

    def random(self) -> "Sample":
        """The same rows as a random ranker would leave them, in expectation: every score tied."""
        tied = None if self.total_N is None else self.total_N
        above = None if self.above_N is None else np.zeros_like(self.above_N)
        return replace(self, score_N=np.zeros_like(self.score_N), above_N=above, tied_N=tied)


Metric = Callable[[Sample, np.ndarray], np.ndarray]
