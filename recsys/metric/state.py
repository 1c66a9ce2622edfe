"""States of an evaluation: counts and sums of labelled rows by slice, which add up in any order, bit for bit.

Shapes: M sums, S slices (the first is all rows), G groups of queries, B bins of probability, C fine and K coarse cells
of scores, Q queries. Everything is an integer: weights in units of 2^-20, values in units of 2^-32, each row rounded
once. A mean over rows is therefore off by at most 2^-33 times the number of rows over their total weight, and two
states of different rows have no order in which they must be added.

A state takes 8 S (G (M + 3 B + 2 K) + 2 C) + 8 Q bytes, however many rows it has seen.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from recsys.metric.state_grid import Grid

WEIGHT_UNIT, VALUE_UNIT = 2.0**20, 2.0**32
LARGEST = 1 << 62  # no sum may come near the end of int64
AXES = ("query", "item", "label")
COUNTS = ("queries", "gaining", "positive", "both", "pairs")  # queries with a row, a gain, ...; pairs
VALUES = ("loss", "brier", "ndcg", "random ndcg", "mrr", "random mrr", "recall", "random recall")
FURTHER = ("precision", "hit_rate", "map")
AUCS = ("auc by weight", "weight of auc", "auc by positives", "positives of auc", "auc by query")
SUMS = COUNTS + VALUES + FURTHER + AUCS
EMPTY, MIXED = -1, -2  # of a cell: no score yet, several different ones


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One way to cut the rows into slices. A cut by query keeps each query whole."""

    column: str
    axis: str  # query, item or label
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise ValueError(f"cut by {self.column}: axis={self.axis!r} is unknown; use one of {', '.join(AXES)}")
        if not self.values:
            raise ValueError(f"cut by {self.column} has no values; leave it out")


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """What states must share to be added."""

    cuts: tuple[Cut, ...]
    grid: Grid
    num_groups: int  # of queries, by hash: what is resampled
    num_bins: int  # of equal width between probability 0 and 1
    k: int  # places that count in nDCG and recall
    seed: int  # of the hash of queries

    def __post_init__(self) -> None:
        if self.num_groups < 2:
            raise ValueError(f"num_groups={self.num_groups} leaves nothing to resample; use 256")
        if self.k < 1 or self.num_bins < 1:
            raise ValueError(f"k={self.k} and num_bins={self.num_bins} must be at least 1")

    @cached_property
    def slices(self) -> tuple[str, ...]:
        return ("overall", *(f"{cut.column}={value}" for cut in self.cuts for value in cut.values))

    @cached_property
    def first(self) -> dict[str, int]:
        """Column of a cut -> its first slice."""
        sizes = np.cumsum([1, *(len(cut.values) for cut in self.cuts)])
        return {cut.column: int(start) for cut, start in zip(self.cuts, sizes[:-1], strict=True)}

    @property
    def num_bytes(self) -> int:
        """Memory of a state, the hashes of its queries aside."""
        by_group = len(SUMS) + 3 * self.num_bins + 2 * self.grid.num_coarse
        return 8 * len(self.slices) * (self.num_groups * by_group + 2 * self.grid.num_cells)

    def told(self) -> str:
        """One text of it, the same for the same layout."""
        told = {
            "cuts": [[c.column, c.axis, list(c.values)] for c in self.cuts],
            "first_cell": self.grid.first_C.tolist(),
            "coarse_cell": self.grid.coarse_C.tolist(),
            "num_groups": self.num_groups,
            "num_bins": self.num_bins,
            "k": self.k,
            "seed": self.seed,
        }
        return json.dumps(told)

    @classmethod
    def read(cls, told: str) -> "Layout":
        found = json.loads(told)
        return cls(
            cuts=tuple(Cut(column=c, axis=a, values=tuple(v)) for c, a, v in found["cuts"]),
            grid=Grid(np.array(found["first_cell"], np.int64), np.array(found["coarse_cell"], np.int64)),
            num_groups=found["num_groups"],
            num_bins=found["num_bins"],
            k=found["k"],
            seed=found["seed"],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """What is known of some rows. States of rows of different queries can be added."""

    layout: Layout
    sum_MSG: np.ndarray  # int64: counts plain, weights in 2^-20, values in 2^-32; by SUMS
    bin_3SGB: np.ndarray  # int64: weight, weight of positives, sum of weighted probabilities, by bin of probability
    coarse_SGK2: np.ndarray  # int64: weight of negatives and of positives by coarse cell
    fine_SC2: np.ndarray  # int64: the same by fine cell, queries together
    single_C: np.ndarray  # int64: the one key that a cell holds, EMPTY or MIXED: one score is a tie, not a doubt
    query_hash_Q: np.ndarray  # uint64, ascending

    @classmethod
    def empty(cls, layout: Layout) -> "State":
        slices, groups, grid = len(layout.slices), layout.num_groups, layout.grid
        return cls(
            layout=layout,
            sum_MSG=np.zeros((len(SUMS), slices, groups), np.int64),
            bin_3SGB=np.zeros((3, slices, groups, layout.num_bins), np.int64),
            coarse_SGK2=np.zeros((slices, groups, grid.num_coarse, 2), np.int64),
            fine_SC2=np.zeros((slices, grid.num_cells, 2), np.int64),
            single_C=np.full(grid.num_cells, EMPTY, np.int64),
            query_hash_Q=np.zeros(0, np.uint64),
        )

    @classmethod
    def sum_of(cls, layout: Layout, states: Iterable["State"]) -> "State":
        """The state of all, the same bits in any order and for sums of sums; in the memory of one and the one at hand.

        Raises ValueError if the layouts differ, if a query has rows in two of them, or if a sum would overflow.
        """
        total, hashes = cls.empty(layout), [np.zeros(0, np.uint64)]
        single_C = total.single_C
        for state in states:
            if state.layout is not layout and state.layout.told() != layout.told():
                raise ValueError(OTHER_LAYOUT)
            for name in ADDED:
                array = getattr(total, name)
                array += getattr(state, name)
                check_size(name, array)
            single_C = merge_single(single_C, state.single_C)
            hashes.append(state.query_hash_Q)
        hash_Q = np.sort(np.concatenate(hashes))
        check_whole(hash_Q)
        return replace(total, single_C=single_C, query_hash_Q=hash_Q)

    def to_table(self) -> pa.Table:
        """One row per slice; `once` holds in the first what belongs to no slice."""
        groups_first = {"sum": self.sum_MSG.swapaxes(0, 1), "bin": self.bin_3SGB.swapaxes(0, 1)}
        columns = {name: _lists(array) for name, array in groups_first.items()}
        columns |= {"coarse": _lists(self.coarse_SGK2), "fine": _lists(self.fine_SC2)}
        once = np.concatenate([self.single_C, self.query_hash_Q.view(np.int64)])
        empty = [[] for _ in self.layout.slices[1:]]
        table = pa.table(
            {"slice": list(self.layout.slices), **columns, "once": pa.array([once, *empty], pa.list_(pa.int64()))}
        )
        return table.replace_schema_metadata({"layout": self.layout.told()})

    @classmethod
    def from_table(cls, table: pa.Table) -> "State":
        """The state that `to_table` wrote. Raises ValueError for any other table."""
        told = (table.schema.metadata or {}).get(b"layout")
        if told is None:
            raise ValueError(f"not a state: the schema has no layout; columns are {table.column_names}")
        layout = Layout.read(told.decode())
        blank = cls.empty(replace(layout))
        slices, groups, cells = len(layout.slices), layout.num_groups, layout.grid.num_cells
        flat = {n: table[n].combine_chunks().flatten().to_numpy() for n in ("sum", "bin", "coarse", "fine", "once")}
        return cls(
            layout=layout,
            sum_MSG=np.ascontiguousarray(flat["sum"].reshape(slices, -1, groups).swapaxes(0, 1)),
            bin_3SGB=np.ascontiguousarray(flat["bin"].reshape(slices, 3, groups, layout.num_bins).swapaxes(0, 1)),
            coarse_SGK2=flat["coarse"].reshape(blank.coarse_SGK2.shape),
            fine_SC2=flat["fine"].reshape(blank.fine_SC2.shape),
            single_C=flat["once"][:cells],
            query_hash_Q=flat["once"][cells:].view(np.uint64),
        )


OTHER_LAYOUT = "states of different layouts (slices, grid, groups, seed, k) cannot be added"
ADDED = ("sum_MSG", "bin_3SGB", "coarse_SGK2", "fine_SC2")


def check_size(name: str, value: np.ndarray) -> None:
    """Raises ValueError where a sum comes near the end of int64."""
    if value.size and max(int(value.max()), -int(value.min())) > LARGEST:
        raise ValueError(f"the weights are too large to be added exactly ({name} exceeds 2^62 units); divide them all")


def check_whole(hash_Q: np.ndarray) -> None:
    """Raises ValueError if a query occurs twice among sorted hashes: its rows lie in two shards."""
    if torn := int((hash_Q[1:] == hash_Q[:-1]).sum()):
        raise ValueError(
            f"{torn} of {len(hash_Q) - torn} queries have rows in more than one shard; write all rows of a query into "
            "one file, next to each other, for instance sorted by query"
        )


def merge_single(single_C: np.ndarray, other_C: np.ndarray) -> np.ndarray:
    """The one key of each cell in both, MIXED where they differ."""
    both_C = np.where(single_C == other_C, single_C, MIXED)
    return np.where(single_C == EMPTY, other_C, np.where(other_C == EMPTY, single_C, both_C))


def _lists(array: np.ndarray) -> pa.Array:
    """One fixed-size list of int64 per element of the first dimension."""
    values = pa.array(np.ascontiguousarray(array).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, max(array[0].size, 1))
