"""A fixed grid of float32 scores, on which rows are counted instead of kept: the same cells on every machine.

Shapes: N rows, P prefixes (the upper 20 bits of an order-preserving integer), C fine cells, K coarse cells. A grid is
fixed before the first row is counted; whatever is counted on it adds up, in any order.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

PREFIX_BITS = 20  # sign, exponent and 11 bits of mantissa: prefixes are 0.05 % wide relative to the score
NUM_PREFIXES = 1 << PREFIX_BITS
SHIFT = 32 - PREFIX_BITS


def order_key(score_N: np.ndarray) -> np.ndarray:
    """uint32 keys that order as the float32 scores do; -0 and 0 share one. Raises ValueError unless all are finite."""
    score_N = np.asarray(score_N, np.float32)
    if not np.isfinite(score_N).all():
        row = int(np.flatnonzero(~np.isfinite(score_N))[0])
        raise ValueError(f"score {score_N[row]} at row {row} is not finite; drop such rows before they are evaluated")
    bits = (score_N + np.float32(0)).view(np.int32)
    return bits.view(np.uint32) ^ ((bits >> 31).view(np.uint32) | np.uint32(0x80000000))


def score_of(key_N: np.ndarray) -> np.ndarray:
    """float32 scores of keys: the inverse of `order_key`."""
    key_N = np.asarray(key_N, np.uint32)
    positive_N = key_N >> np.uint32(31) == 1
    return np.where(positive_N, key_N ^ np.uint32(0x80000000), ~key_N).view(np.float32)


def survey(key_N: np.ndarray, positive_N: np.ndarray, count_P2: np.ndarray | None = None) -> np.ndarray:
    """count_P2, int64: rows without and with a positive label by prefix, added to those counted before."""
    count_P2 = np.zeros((NUM_PREFIXES, 2), np.int64) if count_P2 is None else count_P2
    index_N = (key_N >> np.uint32(SHIFT)).astype(np.int64) * 2 + positive_N
    np.add.at(count_P2.reshape(-1), index_N, 1)
    return count_P2


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells of scores. A fine cell is a run of prefixes, a coarse cell a run of fine cells."""

    first_C: np.ndarray  # int64, ascending from 0: the first prefix of each fine cell
    coarse_C: np.ndarray  # int64, ascending from 0 without gaps: the coarse cell of each fine cell

    def __post_init__(self) -> None:
        assert self.first_C[0] == 0
        assert (np.diff(self.first_C) > 0).all()
        assert self.coarse_C[0] == 0
        assert np.isin(np.diff(self.coarse_C), (0, 1)).all()
        if len(self.first_C) > 1 << 16:
            raise ValueError(f"a grid of {len(self.first_C)} cells is too fine; use at most 65,536")

    @classmethod
    def fitted(cls, count_P2: np.ndarray, num_cells: int, num_coarse: int) -> "Grid":
        """Cells that hold about equal shares of what was surveyed, positives and negatives counting half each.

        Where most scores share a prefix there are fewer cells. Raises ValueError for fewer cells than coarse cells.
        """
        if not 1 <= num_coarse <= num_cells <= 1 << 16:
            raise ValueError(
                f"num_cells={num_cells} and num_coarse={num_coarse} must hold 1 <= num_coarse <= num_cells <= 65536"
            )
        total_2 = np.maximum(count_P2.sum(axis=0), 1)
        share_P = (count_P2 / total_2).sum(axis=1)
        before_P = np.cumsum(share_P) - share_P
        scale = max(float(share_P.sum()), 1e-300)
        cell_P = np.minimum((before_P / scale * num_cells).astype(np.int64), num_cells - 1)
        first_C = np.flatnonzero(np.r_[True, np.diff(cell_P) > 0])
        coarse_C = np.minimum((before_P[first_C] / scale * num_coarse).astype(np.int64), num_coarse - 1)
        return cls(first_C, np.cumsum(np.r_[0, np.diff(coarse_C) > 0]))

    @property
    def num_cells(self) -> int:
        return len(self.first_C)

    @property
    def num_coarse(self) -> int:
        return int(self.coarse_C[-1]) + 1

    @property
    def edge_C(self) -> np.ndarray:
        """float32: the lowest score of each cell; -inf for the first."""
        edge_C = score_of((self.first_C << SHIFT).astype(np.uint32))
        edge_C[0] = -np.inf
        return edge_C

    @cached_property
    def _cell_P(self) -> np.ndarray:
        size_C = np.diff(np.r_[self.first_C, NUM_PREFIXES])
        return np.repeat(np.arange(self.num_cells, dtype=np.uint16), size_C)

    def cell_of(self, key_N: np.ndarray) -> np.ndarray:
        """uint16 fine cell of each key."""
        return self._cell_P[key_N >> np.uint32(SHIFT)]

    def same(self, other: "Grid") -> bool:
        """Whether both have the same cells."""
        return np.array_equal(self.first_C, other.first_C) and np.array_equal(self.coarse_C, other.coarse_C)
