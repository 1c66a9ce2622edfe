"""Labelled rows of any number condensed to counts by group of queries, cell of scores and class: what calibrators are
fitted to, and what errors of calibration are measured on, in bounded memory.

Shapes: N rows, G groups of queries, C cells of scores. Counts are integers in units of 2^-20, and the ends of a cell
are the least and the greatest score found in it: two of them add up in any order, to the same bits.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import expit

from recsys.metric._sample import Sample
from recsys.metric.state import WEIGHT_UNIT, check_size
from recsys.metric.state_grid import Grid, score_of

NOTHING = np.iinfo(np.uint32).max  # the least key of a cell without a score


@dataclass(frozen=True, kw_only=True, eq=False)
class Condensed:
    """16 G C + 8 C bytes, however many rows it has seen."""

    grid: Grid
    unit_GC2: np.ndarray  # int64, 2^-20: weight of negatives and of positives
    least_C: np.ndarray  # uint32 keys: the least and the greatest score of each cell
    greatest_C: np.ndarray

    @classmethod
    def empty(cls, grid: Grid, num_groups: int) -> "Condensed":
        return cls(
            grid=grid,
            unit_GC2=np.zeros((num_groups, grid.num_cells, 2), np.int64),
            least_C=np.full(grid.num_cells, NOTHING, np.uint32),
            greatest_C=np.zeros(grid.num_cells, np.uint32),
        )

    def count(self, key_N: np.ndarray, positive_N: np.ndarray, weight_N: np.ndarray, group_N: np.ndarray) -> None:
        """Adds rows. `key_N` are the `order_key` of their scores; a row of weight 0 is none."""
        unit_N = np.rint(weight_N * WEIGHT_UNIT).astype(np.int64)
        seen_N = unit_N > 0
        if not seen_N.all():
            key_N, positive_N, unit_N, group_N = (a[seen_N] for a in (key_N, positive_N, unit_N, group_N))
        cell_N = self.grid.cell_of(key_N).astype(np.int64)
        flat_N = (group_N.astype(np.int64) * self.grid.num_cells + cell_N) * 2 + positive_N
        np.add.at(self.unit_GC2.reshape(-1), flat_N, unit_N)
        np.minimum.at(self.least_C, cell_N, key_N)
        np.maximum.at(self.greatest_C, cell_N, key_N)

    def add(self, other: "Condensed") -> None:
        """Takes in what another one counted, in any order. Raises ValueError if a sum would overflow."""
        assert self.grid.same(other.grid)
        self.unit_GC2[...] += other.unit_GC2
        check_size("weights by cell of scores", self.unit_GC2)
        np.minimum(self.least_C, other.least_C, out=self.least_C)
        np.maximum(self.greatest_C, other.greatest_C, out=self.greatest_C)

    def to_table(self) -> pa.Table:
        """One row, for a worker to send."""
        arrays = {"unit": self.unit_GC2.reshape(-1), "least": self.least_C, "greatest": self.greatest_C}
        arrays |= {"first_cell": self.grid.first_C, "coarse_cell": self.grid.coarse_C}
        return pa.table({name: pa.array([array]) for name, array in arrays.items()})

    @classmethod
    def from_table(cls, table: pa.Table) -> "Condensed":
        """What `to_table` made."""
        names = ("unit", "least", "greatest", "first_cell", "coarse_cell")
        unit, least_C, greatest_C, first_C, coarse_C = (table[n].combine_chunks().flatten().to_numpy() for n in names)
        grid = Grid(first_C, coarse_C)
        unit_GC2 = unit.reshape(-1, grid.num_cells, 2)
        return cls(grid=grid, unit_GC2=unit_GC2, least_C=least_C, greatest_C=greatest_C)

    @property
    def score_C(self) -> np.ndarray:
        """float32: the middle of the scores of a cell, the score itself where there is but one; 0 for an empty cell."""
        least_C, greatest_C = self._ends
        return (least_C / 2 + greatest_C / 2).astype(np.float32)

    @property
    def width_C(self) -> np.ndarray:
        """float64: how far apart the scores of a cell lie."""
        least_C, greatest_C = self._ends
        return greatest_C - least_C

    @property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        full_C = self.least_C <= self.greatest_C
        least_C, greatest_C = (score_of(np.where(full_C, k, 1 << 31)) for k in (self.least_C, self.greatest_C))
        return least_C.astype(np.float64), greatest_C.astype(np.float64)

    def sample(self) -> Sample:
        """One row per group, cell and class that has any. Its queries are groups of queries, its items are cells: what
        is a function of scores, probabilities and classes alone is what it is of the rows, up to the width of a cell.
        """
        group_N, cell_N, class_N = np.nonzero(self.unit_GC2)
        score_N = self.score_C[cell_N]
        return Sample(
            num_queries=len(self.unit_GC2),
            query_N=group_N,
            item_N=cell_N,
            score_N=score_N,
            probability_N=expit(score_N.astype(np.float64)),
            positive_N=class_N.astype(bool),
            gain_N=class_N.astype(np.float64),
            weight_N=self.unit_GC2[group_N, cell_N, class_N] / WEIGHT_UNIT,
        )
