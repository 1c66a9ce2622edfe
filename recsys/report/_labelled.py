"""Labelled, scored rows as Parquet files, read in shards of whole queries: never more than one shard in memory.

All rows of a query lie in one file, next to each other. Shapes: N rows of a shard, Q queries of it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from scipy.special import expit

from recsys.metric._sample import Sample
from recsys.seed import hash_ids
from recsys.target import Target

SHARD_ROWS = 1 << 16  # rows of a shard, about


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Which files, and what their columns mean. Further columns can become slices."""

    filesystem: pafs.FileSystem
    paths: tuple[str, ...]  # files on it
    query: str
    item: str
    label: str
    score: str  # a logit
    probability: str | None  # None: the sigmoid of the score
    weight: str | None  # None: every row counts once

    def columns(self, further: tuple[str, ...] = ()) -> list[str]:
        named = (self.query, self.item, self.label, self.score, self.probability, self.weight, *further)
        return list(dict.fromkeys(name for name in named if name is not None))

    def check(self, further: list[str]) -> None:
        """Raises ValueError for a column that some file does not have, or without any row."""
        num_rows = 0
        for path in self.paths:
            metadata = pq.read_metadata(self.filesystem.open_input_file(path))
            names = metadata.schema.to_arrow_schema().names
            num_rows += metadata.num_rows
            if missing := [name for name in self.columns(tuple(further)) if name not in names]:
                raise ValueError(f"{path} has no column {missing[0]!r}; it has {names}")
        if not num_rows:
            raise ValueError(f"no labelled row in {', '.join(self.paths[:3])}; give at least one")

    def open(self, path: str, dictionaries: list[str]) -> pq.ParquetFile:
        """The file; text columns are read as numbers into a dictionary. ValueError for a column it does not have."""
        schema = pq.read_schema(self.filesystem.open_input_file(path))
        if missing := [name for name in self.columns() if name not in schema.names]:
            raise ValueError(f"{path} has no column {missing[0]!r}; it has {schema.names}")
        texts = [n for n in dictionaries if _is_text(schema.field(n).type)]
        return pq.ParquetFile(self.filesystem.open_input_file(path), read_dictionary=texts)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Some row groups of a file. The query that its first row group goes on with belongs to the span before."""

    path: str
    start: int
    stop: int
    num_rows: int


def spans(labelled: Labelled, num_rows: int) -> list[Span]:
    """All row groups of all files, in spans of about so many rows."""
    found = []
    for path in labelled.paths:
        metadata = labelled.open(path, []).metadata
        ends = np.cumsum([metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)])
        edges = [0]
        for group, end in enumerate(ends):
            before = ends[edges[-1] - 1] if edges[-1] else 0
            if end - before >= num_rows or group + 1 == len(ends):
                edges.append(group + 1)
        before = np.r_[0, ends]
        found += [
            Span(path=path, start=a, stop=b, num_rows=int(before[b] - before[a])) for a, b in itertools.pairwise(edges)
        ]
    return found


def shards(labelled: Labelled, span: Span, further: tuple[str, ...] = ()) -> Iterator[pa.Table]:
    """Tables of whole queries, about SHARD_ROWS rows each: those of the queries that begin in the span."""
    columns = labelled.columns(further)
    file = labelled.open(span.path, columns)

    def batches(start: int, stop: int) -> Iterator[pa.Table]:
        groups = list(range(start, stop))
        for batch in file.iter_batches(SHARD_ROWS, row_groups=groups, columns=columns, use_threads=False):
            yield pa.Table.from_batches([batch])

    before = None
    for group in range(span.start - 1, -1, -1):  # the last query before the span, mostly in the first group looked at
        rows = file.read_row_group(group, columns=[labelled.query], use_threads=False)
        if rows.num_rows:
            before = rows[labelled.query][-1].as_py()
            break
    held: list[pa.Table] = []
    for table in batches(span.start, span.stop):
        if before is not None:
            table = table.slice(_run(table[labelled.query], before))
            if not table.num_rows:
                continue
            before = None
        code_N = _codes(table[labelled.query])[0]
        other_N = np.flatnonzero(code_N != code_N[-1])
        edge = int(other_N[-1]) + 1 if len(other_N) else 0
        same = held and table[labelled.query][0].as_py() == held[-1][labelled.query][-1].as_py()
        if edge or not same:
            if held or edge:
                yield pa.concat_tables([*held, table.slice(0, edge)])
            held = []
        held.append(table.slice(edge))
    if not held:
        return
    for table in batches(span.stop, file.metadata.num_row_groups):
        length = _run(table[labelled.query], held[0][labelled.query][0].as_py())
        held.append(table.slice(0, length))
        if length < table.num_rows:
            break
    yield pa.concat_tables(held)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A shard as arrays. `query_Q` are its query ids, `item_N` the items as they are in the file."""

    sample: Sample
    query_Q: pa.Array
    item_N: pa.Array
    table: pa.Table  # its rows, in the order of the sample


def shard_of(table: pa.Table, labelled: Labelled, target: Target) -> Shard:
    """The rows, grouped by query. Raises ValueError for a missing value, or a label that the target does not know."""
    check_full(table, labelled.columns())
    code_N, ids = _codes(table[labelled.query])
    start_Q = np.flatnonzero(np.r_[True, code_N[1:] != code_N[:-1]])
    if len(np.unique(code_N[start_Q])) < len(start_Q):  # rows of a query lie apart, but in one shard
        table = table.take(pa.array(np.argsort(code_N, kind="stable")))
        code_N, ids = _codes(table[labelled.query])
        start_Q = np.flatnonzero(np.r_[True, code_N[1:] != code_N[:-1]])
    query_N = np.repeat(np.arange(len(start_Q)), np.diff(np.r_[start_Q, len(code_N)]))
    label_N = labels_of(table, labelled, target)
    score_N = floats(table[labelled.score]).astype(np.float32)
    probability = labelled.probability
    item_N, _ = _codes(table[labelled.item])
    sample = Sample(
        num_queries=len(start_Q),
        query_N=query_N,
        item_N=item_N.astype(np.int64),
        score_N=score_N,
        probability_N=expit(score_N.astype(np.float64)) if probability is None else floats(table[probability]),
        positive_N=np.asarray(target.positive(label_N), bool),
        gain_N=np.asarray(target.gain(label_N), np.float64),
        weight_N=np.ones(len(label_N)) if labelled.weight is None else floats(table[labelled.weight]),
    )
    items = _one(table[labelled.item])
    return Shard(sample=sample, query_Q=ids.take(pa.array(code_N[start_Q])), item_N=items, table=table)


def labels_of(table: pa.Table, labelled: Labelled, target: Target) -> np.ndarray:
    """label_N, float64. Raises ValueError for one that the target does not know."""
    label_N = floats(table[labelled.label])
    if (outside := np.flatnonzero(target.outside(label_N))).size:
        raise ValueError(f"label {label_N[outside[0]]:g} is not possible for {target.name} ({len(outside)} such rows)")
    return label_N


def check_full(table: pa.Table, columns: list[str]) -> None:
    """Raises ValueError for a missing value."""
    for name in columns:
        if nulls := table[name].null_count:
            raise ValueError(f"column {name!r} is empty in {nulls} of {len(table)} rows; fill it, or drop these rows")


def query_hashes(table: pa.Table, labelled: Labelled, seed: int) -> np.ndarray:
    """uint64 hash_N of each row's query."""
    code_N, ids = _codes(table[labelled.query])
    start_M = np.flatnonzero(np.r_[True, code_N[1:] != code_N[:-1]])
    return np.repeat(hashes(ids.take(pa.array(code_N[start_M])), seed), np.diff(np.r_[start_M, len(code_N)]))


def hashes(ids: pa.Array, seed: int) -> np.ndarray:
    """uint64 hash of each id; numbers are hashed as they are written."""
    return hash_ids(ids.to_pylist(), seed)


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """(number of each value, the values numbered)."""
    array = _one(column)
    if not isinstance(array, pa.DictionaryArray):
        if pa.types.is_integer(array.type):
            values = array.to_numpy()
            if values.size and int(values.min()) >= 0 and int(values.max()) < 1 << 32 and column.num_chunks:
                return values.astype(np.int64), _Numbers(array.type)
        array = array.dictionary_encode()
    return array.indices.to_numpy(), array.dictionary


class _Numbers:
    """Whole numbers that stand for themselves."""

    def __init__(self, kind: pa.DataType) -> None:
        self.kind = kind

    def take(self, index: pa.Array) -> pa.Array:
        return index.cast(self.kind)


def _one(column: pa.ChunkedArray) -> pa.Array:
    array = column.unify_dictionaries().combine_chunks() if pa.types.is_dictionary(column.type) else column
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _run(column: pa.ChunkedArray, value: object) -> int:
    """How many values at the start are this one."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    other = pc.index(pc.equal(column, pa.scalar(value, column.type)), False).as_py()
    return len(column) if other < 0 else other


def floats(array: pa.ChunkedArray) -> np.ndarray:
    return array.to_numpy().astype(np.float64)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
