"""Slices of labelled rows that are streamed: tables of queries and items are cut before, rows only look them up.

Shapes: X rows of a table, N rows and Q queries of a shard. A cut numbers its values; the number of every row of a
table takes one byte.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.metric.state import Cut
from recsys.report._labelled import Shard, hashes
from recsys.report._slicing import (
    ALWAYS,
    NONE,
    NOT_SLICES,
    OF_LABELS,
    OTHER,
    PARTS,
    _thirds,
    _unused,
    thirds_of_traffic,
)

TRAFFIC = {"query": "frequency", "item": "popularity"}  # columns that are cut by thirds of their sum
MOST_VALUES = 1 << 20  # of a column of the rows themselves


@dataclass(frozen=True, kw_only=True, eq=False)
class CutTable:
    """The cuts of queries or items, and where to find an id."""

    axis: str
    places: "Places"
    cuts: tuple[Cut, ...]
    codes: dict[str, np.ndarray]  # column -> uint8 code_X, and one more for ids that the table does not have
    skipped: dict[str, str]  # column -> why it is no cut
    merged: dict[str, int]  # column -> values that became 'other'
    notes: dict[str, str]  # column -> what is to be known of it

    def code_of(self, column: str, place_N: np.ndarray) -> np.ndarray:
        """uint8 codes of places; -1 is an id that the table does not have."""
        return self.codes[column][place_N]


class Places:
    """Where an id stands in a table. Raises ValueError for an id that stands there twice."""

    def __init__(self, ids: pa.Array, axis: str, seed: int) -> None:
        self.num, self._table = len(ids), None
        if axis == "item" and pa.types.is_integer(ids.type) and len(ids):
            value_X = ids.to_numpy().astype(np.int64)
            low, high = int(value_X.min()), int(value_X.max())
            if high - low < 8 * len(ids) + (1 << 20):  # as an array, where that is small
                self._low, self._table = low, np.full(high - low + 1, -1, np.int32)
                self._table[value_X - low] = np.arange(len(ids))
                unique = int((self._table >= 0).sum())
        if self._table is None and axis == "item":
            self._ids = ids.cast(pa.string())
            unique = len(self._ids.unique())
        elif self._table is None:
            hash_X = hashes(ids, seed)
            self._order = np.argsort(hash_X)
            self._hash_X = hash_X[self._order]
            unique = len(np.unique(self._hash_X))
        if unique != len(ids):
            raise ValueError(
                f"{len(ids) - unique} ids stand twice in the table of the {axis} slices; keep one row each"
            )

    def of_hashes(self, hash_Q: np.ndarray) -> np.ndarray:
        """place_Q of ids whose hashes are known; -1 where there is none."""
        assert self._table is None
        if not len(self._hash_X):
            return np.full(len(hash_Q), -1)
        at_Q = np.minimum(np.searchsorted(self._hash_X, hash_Q), len(self._hash_X) - 1)
        return np.where(self._hash_X[at_Q] == hash_Q, self._order[at_Q], -1)

    def of(self, ids: pa.Array) -> np.ndarray:
        """place_N of ids, which may be dictionary-coded; -1 where there is none."""
        if self._table is not None and not pa.types.is_dictionary(ids.type):
            index_N = ids.to_numpy().astype(np.int64) - self._low
            inside_N = (index_N >= 0) & (index_N < len(self._table))
            if inside_N.all():
                return self._table[index_N]
            return np.where(inside_N, self._table[np.where(inside_N, index_N, 0)], -1)
        if not pa.types.is_dictionary(ids.type):
            ids = ids.dictionary_encode()
        return self._distinct(ids.dictionary)[ids.indices.to_numpy()]

    def _distinct(self, ids: pa.Array) -> np.ndarray:
        if self._table is not None:
            return self.of(pc.cast(ids, pa.int64()))
        place_V = pc.index_in(ids.cast(pa.string()), value_set=self._ids)
        return pc.fill_null(place_V, -1).to_numpy().astype(np.int64)


def cut_table(
    table: pa.Table,
    axis: str,
    *,
    named: tuple[str, ...],
    max_values: int,
    seed: int,
    elsewhere: frozenset[str] = frozenset(),
    observed_X: np.ndarray | None = None,
) -> CutTable:
    """Cuts of a table whose key is `query_id` or `item_id`: head, torso and tail of its traffic, category, brand,
    price, kind, locale, the named columns, and every text column of few values.

    `observed_X` stands for the popularity of items where no column says it. Rare values become 'other'. A column whose
    name is found `elsewhere` too is called after its table.
    """
    cuts, codes, skipped, merged, notes = [], {}, {}, {}, {}
    key, traffic = f"{axis}_id", TRAFFIC[axis]
    names = [n for n in table.column_names if n not in NOT_SLICES and n != key]
    names.sort(key=lambda n: (ALWAYS.index(n) if n in ALWAYS else len(ALWAYS), n))
    arrays = {n: table[n] for n in names}
    observed = None if observed_X is None else pa.chunked_array([observed_X])
    if traffic in table.column_names and _is_number(table[traffic].type):
        arrays = {traffic: table[traffic]} | arrays
    elif observed is not None:
        arrays = {traffic: observed} | arrays
    for name, array in arrays.items():
        if name == traffic:
            part_X = thirds_of_traffic(_floats(array), traffic, table[key])
            found = part_X if isinstance(part_X, str) else (list(PARTS), part_X)
        elif _is_number(array.type):
            found = _thirds(_floats(array), np.arange(len(array))) if name in ALWAYS or name in named else ""
        else:
            found = _texts(array, max_values, wanted=name in ALWAYS or name in named)
        if isinstance(found, str):
            skipped |= {name: found} if found else {}
            continue
        values, code_X, *rest = found
        name = f"{axis}_{name}" if name in elsewhere else name
        if NONE not in values:
            values = [*values, NONE]
        if array is observed:
            notes[name] = OF_LABELS
        cuts.append(Cut(column=name, axis=axis, values=tuple(values)))
        codes[name] = np.append(code_X, values.index(NONE)).astype(np.uint8)
        merged |= {name: rest[0]} if rest and rest[0] else {}
    places = Places(table[key].combine_chunks(), axis, seed)
    return CutTable(
        axis=axis, places=places, cuts=tuple(cuts), codes=codes, skipped=skipped, merged=merged, notes=notes
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Cutter:
    """All cuts of a report, and the numbers of a shard's rows in each."""

    queries: CutTable | None
    items: CutTable | None
    rows: dict[str, tuple[str, ...]]  # column of the rows themselves -> its values, the last one for all others
    crosses: tuple[tuple[str, str], ...]

    @property
    def cuts(self) -> tuple[Cut, ...]:
        tables = [cut for table in (self.queries, self.items) if table is not None for cut in table.cuts]
        plain = [*tables, *(Cut(column=n, axis="label", values=v) for n, v in self.rows.items())]
        known = {cut.column: cut for cut in plain}
        for one, other in self.crosses:
            if missing := [n for n in (one, other) if n not in known]:
                raise ValueError(f"cannot cross {one} and {other}: no cut by {missing[0]}; there are {list(known)}")
            values = tuple(f"{a} × {b}" for a in known[one].values for b in known[other].values)
            axes = {known[one].axis, known[other].axis}
            axis = "label" if "label" in axes else "item" if "item" in axes else "query"
            plain.append(Cut(column=f"{one} × {other}", axis=axis, values=values))
        return tuple(plain)

    @property
    def skipped(self) -> dict[str, str]:
        """Columns that are no cut, and why."""
        tables = (table for table in (self.queries, self.items) if table is not None)
        return {column: reason for table in tables for column, reason in table.skipped.items()}

    @property
    def merged(self) -> dict[str, int]:
        """How many values of a column became 'other'."""
        tables = (table for table in (self.queries, self.items) if table is not None)
        return {column: number for table in tables for column, number in table.merged.items()}

    @property
    def notes(self) -> dict[str, str]:
        """What is to be known of the figures of a column's slices, crosses included."""
        tables = (table for table in (self.queries, self.items) if table is not None)
        known = {column: note for table in tables for column, note in table.notes.items()}
        crossed = {f"{one} × {other}": known[n] for one, other in self.crosses for n in (one, other) if n in known}
        return known | crossed

    def codes(self, shard: Shard, hash_Q: np.ndarray) -> dict[str, np.ndarray]:
        """The number of each query, or of each row, in every cut: what `Builder.add` takes."""
        found: dict[str, np.ndarray] = {}
        if self.queries is not None:
            place_Q = self.queries.places.of_hashes(hash_Q)
            found |= {c.column: self.queries.code_of(c.column, place_Q) for c in self.queries.cuts}
        if self.items is not None:
            place_N = self.items.places.of(shard.item_N)
            found |= {c.column: self.items.code_of(c.column, place_N) for c in self.items.cuts}
        for name, values in self.rows.items():
            found[name] = _codes_of(shard.table[name], values)
        axis = {cut.column: cut.axis for cut in self.cuts}
        size = {cut.column: len(cut.values) for cut in self.cuts}
        for one, other in self.crosses:
            row = any(axis[name] != "query" for name in (one, other))
            parts = (found[n][shard.sample.query_N] if row and axis[n] == "query" else found[n] for n in (one, other))
            first, second = (part.astype(np.int64) for part in parts)
            found[f"{one} × {other}"] = first * size[other] + second
        return found


def row_values(counts: Counter, max_values: int) -> tuple[tuple[str, ...], int]:
    """The commonest values of a column of the rows, then the one that stands for all others; how many those are."""
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    kept = sorted(ordered[: max_values - 1] if len(ordered) > max_values else ordered)
    return (*kept, _unused(OTHER, np.array(kept, object))), len(ordered) - len(kept)


def count_values(column: pa.ChunkedArray) -> Counter:
    """How often each value occurs, as text."""
    counted = column.value_counts()
    texts = counted.field("values").cast(pa.string()).fill_null(NONE).to_pylist()
    return Counter(dict(zip(texts, counted.field("counts").to_pylist(), strict=True)))


def check_values(name: str, counts: Counter) -> None:
    """Raises ValueError where a column of the rows has too many values to be counted, let alone shown."""
    if len(counts) > MOST_VALUES:
        raise ValueError(
            f"column {name!r} of the rows has more than {MOST_VALUES:,} values; leave it out of cuts.rows, or give "
            "cuts.queries or cuts.items a column of fewer"
        )


def _codes_of(column: pa.ChunkedArray, values: tuple[str, ...]) -> np.ndarray:
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode(null_encoding="encode")
    known = pa.array(values[:-1], pa.string())
    texts = array.dictionary.cast(pa.string()).fill_null(NONE)
    code_V = pc.fill_null(pc.index_in(texts, value_set=known), len(values) - 1).to_numpy()
    missing = values.index(NONE) if NONE in values else len(values) - 1
    return np.append(code_V, missing).astype(np.uint8)[pc.fill_null(array.indices, len(code_V)).to_numpy()]


def _texts(array: pa.ChunkedArray, max_values: int, *, wanted: bool) -> tuple[list[str], np.ndarray, int] | str:
    """(values, code_X, values that became 'other'), or why there is no cut; no reason for a column nobody asked for."""
    coded = array.cast(pa.string()).combine_chunks().fill_null(NONE).dictionary_encode()
    code_X = coded.indices.to_numpy()
    if len(coded.dictionary) > max_values and not wanted:
        return ""
    if len(coded.dictionary) < 2:
        return "all rows have the same value"
    counted = pa.table({"value": coded.dictionary, "count": np.bincount(code_X, minlength=len(coded.dictionary))})
    first = counted.sort_by([("count", "descending"), ("value", "ascending")]).slice(0, max_values).to_pydict()
    kept, num_other = row_values(Counter(dict(zip(first["value"], first["count"], strict=True))), max_values)
    if len(counted) > max_values:
        kept = tuple(sorted(first["value"][: max_values - 1]))
        kept, num_other = (*kept, _unused(OTHER, np.array(kept, object))), len(counted) - len(kept)
    new_V = pc.fill_null(pc.index_in(coded.dictionary, value_set=pa.array(kept[:-1])), len(kept) - 1).to_numpy()
    return list(kept if num_other else kept[:-1]), new_V[code_X], num_other


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _floats(array: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(array.cast(pa.float64()), np.nan).to_numpy()
