"""What lies at or above every possible threshold, from one sort.

Shapes: N rows, T distinct values in descending order (each is a threshold), Q queries.
"""

from dataclasses import dataclass

import numpy as np

from recsys.metric._sample import Sample


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The observed rows of a sample in descending order of a value; equal values fall together."""

    value_T: np.ndarray  # distinct, descending
    query_N: np.ndarray
    positive_N: np.ndarray  # weight where positive, else 0
    negative_N: np.ndarray
    end_T: np.ndarray  # last row of each value

    def counts(self, weight_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(positive_T, negative_T): observations with at least that value."""
        drawn_N = weight_Q[self.query_N]
        positive_T, negative_T = (
            np.cumsum(drawn_N * value_N)[self.end_T] for value_N in (self.positive_N, self.negative_N)
        )
        return positive_T, negative_T


def sweep(sample: Sample, value_N: np.ndarray) -> Sweep:
    """Rows of weight 0 are no rows. The same bits for any order of the rows."""
    row = np.flatnonzero(sample.weight_N > 0)
    order = row[np.lexsort((sample.weight_N[row], sample.positive_N[row], sample.query_N[row], -value_N[row]))]
    value_N = value_N[order]
    end_T = np.flatnonzero(np.r_[value_N[1:] != value_N[:-1], True]) if len(order) else np.zeros(0, np.int64)
    weight_N, positive_N = sample.weight_N[order], sample.positive_N[order]
    return Sweep(
        value_T=value_N[end_T],
        query_N=sample.query_N[order],
        positive_N=np.where(positive_N, weight_N, 0.0),
        negative_N=np.where(positive_N, 0.0, weight_N),
        end_T=end_T,
    )
