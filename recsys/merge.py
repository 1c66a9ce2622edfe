"""Add up the counters of a run's tiles: exact ranks, the top K and the histogram of every query. No Ray in it.

Parts are read one at a time. Sums are integers, so the order of the parts does not matter. Until they are handed out,
totals name an output by its number: 2 GiB of text are the most that one Arrow array holds.
"""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.grid import Market
from recsys.part import Counters
from recsys.shortlist import Shortlist
from recsys.tables import RANKS, TOP

_PENDING_ROWS = 1_000_000
_SLICE = 2**24  # rows whose names are one array


class _Total:
    """A running total of tables. Those that come are kept until they outweigh it, so that adding n of them costs
    n log n, and memory stays within twice the total."""

    def __init__(self, reduce: Callable[[pa.Table], pa.Table]) -> None:
        self._reduce = reduce
        self._tables: list[pa.Table] = []
        self._settled = 0  # rows of the first table, which is reduced

    def add(self, table: pa.Table) -> None:
        self._tables.append(table)
        if sum(t.num_rows for t in self._tables[1:]) > max(self._settled, _PENDING_ROWS):
            self.table()

    def table(self) -> pa.Table:
        """The total of all tables so far."""
        assert self._tables
        if len(self._tables) > 1 or not self._settled:
            self._tables = [self._reduce(pa.concat_tables(self._tables)).combine_chunks()]
            self._settled = max(1, self._tables[0].num_rows)
        return self._tables[0]


class Merged:
    """Running totals over tiles; `add` in any order, then read the three tables."""

    def __init__(self, top_k: int) -> None:
        keys = ["query_row", "output"]
        self._histogram = _Total(partial(_sum, keys=[*keys, "bin"], values=["count"]))
        self._labelled = _Total(partial(_sum, keys=[*keys, "item_row"], values=["num_above", "num_tied"]))
        self._top = _Total(partial(_best, k=top_k))
        self._top_k = top_k
        self._outputs: pa.Array | None = None  # all of them, in order: every tile has every one

    def add(self, counters: Counters) -> None:
        if self._outputs is None:
            self._outputs = pc.unique(counters.histogram["output"]).sort()
        totals = (self._histogram, self._labelled, self._top)
        for total, table in zip(totals, (counters.histogram, counters.labelled, counters.top), strict=True):
            total.add(self._numbered(table))

    def _numbered(self, table: pa.Table) -> pa.Table:
        number_N = pc.index_in(table["output"], value_set=self._outputs)
        return table.set_column(table.column_names.index("output"), "output", number_N)

    def _with_names(self, table: pa.Table) -> pa.Table:
        assert self._outputs is not None
        at = table.column_names.index("output")
        return table.set_column(at, "output", _take(self._outputs, table["output"]))

    @property
    def histogram(self) -> pa.Table:
        """query_row, output, bin, count: every pair of the grid once per output."""
        return self._with_names(self._histogram.table())

    def num_pairs(self) -> int:
        """Pairs counted, from the histogram of the first output: an independent count of what was scored."""
        histogram = self._histogram.table()
        return pc.sum(histogram.filter(pc.equal(histogram["output"], 0))["count"]).as_py()

    def ranks(
        self,
        labelled_P2: np.ndarray,
        query_ids: pa.ChunkedArray,
        item_ids: pa.ChunkedArray,
        grid: "Grid",
        shortlist: Shortlist | None = None,
    ) -> pa.Table:
        """RANKS of all labelled pairs, labelled_P2 (query row, item row), for every output.

        Where only candidates were scored, the items that were not stand tied below them, or as the first model of a
        cascade ranked them: then an output ranks its own shortlist alone. An item of another market
        than its query's, which is never shown there, stands behind all that are.
        """
        assert self._outputs is not None
        labelled, histogram = self._labelled.table(), self._histogram.table()
        asked = pa.table(
            {
                "query_row": np.repeat(labelled_P2[:, 0], len(self._outputs)),
                "item_row": np.repeat(labelled_P2[:, 1], len(self._outputs)),
                "output": np.tile(np.arange(len(self._outputs), dtype=np.int32), len(labelled_P2)),
            }
        )
        order = [("query_row", "ascending"), ("item_row", "ascending"), ("output", "ascending")]
        totals = histogram.group_by(["query_row", "output"], use_threads=False).aggregate([("count", "sum")])
        table = asked.join(labelled, keys=["query_row", "item_row", "output"])
        table = table.join(totals, keys=["query_row", "output"]).sort_by(order)
        for name in ("num_above", "num_tied", "count_sum"):  # null where nothing of the query was scored
            table = table.set_column(table.column_names.index(name), name, pc.fill_null(table[name], 0))
        table = self._with_names(table)
        query_row_N, item_row_N = table["query_row"].to_numpy(), table["item_row"].to_numpy()
        scored_N = table["count_sum"].to_numpy()
        num_items_N, within_N = grid.num_items(query_row_N), grid.within(query_row_N, item_row_N)
        if shortlist is None:
            ranked_N = grid.scored(query_row_N, item_row_N)
            above_N, tied_N = scored_N, num_items_N - scored_N
        else:
            ranked_N, above_N, tied_N = shortlist.below(query_row_N, item_row_N, table["output"])
        above_N = np.where(ranked_N, table["num_above"].to_numpy(), above_N)
        tied_N = np.where(ranked_N, table["num_tied"].to_numpy(), tied_N)
        assert (~within_N | ((tied_N >= 1) & (above_N + tied_N <= num_items_N))).all(), "a place beyond the market"
        columns = {
            "query_id": _take(query_ids, table["query_row"]),
            "item_id": _take(item_ids, table["item_row"]),
            "output": table["output"],
            "num_above": pa.array(np.where(within_N, above_N, num_items_N)),
            "num_tied": pa.array(np.where(within_N, tied_N, 1)),
            "num_items": pa.array(np.where(within_N, num_items_N, num_items_N + 1)),
        }
        return RANKS.conform(pa.table(columns))

    def top(
        self, query_ids: pa.ChunkedArray, item_ids: pa.ChunkedArray, model: str, shortlist: Shortlist | None = None
    ) -> pa.Table:
        """TOP: the K best items of each query and output, best first; in a cascade, what its first model put beyond
        the shortlists fills them up."""
        table = self._top.table()
        table = self._with_names(table.append_column("rank", _rank_in_group(table)))
        table = table.append_column("model", _named(model, table))
        if shortlist is not None:
            rest = shortlist.rest(self._top_k)
            rest = rest.append_column("model", _named(str(shortlist.told(model)["first"]), rest))
            table = pa.concat_tables([table, rest.select(table.column_names)])
            table = table.sort_by([(n, "ascending") for n in ("query_row", "output", "rank")])
            assert table["rank"].equals(pa.chunked_array([_rank_in_group(table)])), "a place is taken twice, or empty"
        columns = {
            "query_id": _take(query_ids, table["query_row"]),
            "output": table["output"],
            "rank": table["rank"],
            "item_id": _take(item_ids, table["item_row"]),
            "score": table["score"],
            "model": table["model"],
        }
        return TOP.conform(pa.table(columns))


def merge(parts: Iterable[Counters], top_k: int) -> Merged:
    """The totals of all parts."""
    merged = Merged(top_k)
    for counters in parts:
        merged.add(counters)
    return merged


class Grid:
    """Which pairs were in question, and which of them were scored."""

    def __init__(self, markets: list[Market], candidate_P2: np.ndarray | None, num_items: int) -> None:
        self._markets = markets
        self._stride = num_items
        self._candidates = (
            None if candidate_P2 is None else np.sort(candidate_P2[:, 0] * num_items + candidate_P2[:, 1])
        )

    def num_items(self, query_row_N: np.ndarray) -> np.ndarray:
        """int64: items of the query's market; of the whole catalogue for a query whose market has none."""
        size_N = np.full(len(query_row_N), self._stride, np.int64)
        for m in self._markets:
            size_N[(query_row_N >= m.query_start) & (query_row_N < m.query_stop)] = m.item_stop - m.item_start
        return size_N

    def within(self, query_row_N: np.ndarray, item_row_N: np.ndarray) -> np.ndarray:
        """bool: whether query and item are of one market."""
        inside_N = np.zeros(len(query_row_N), bool)
        for m in self._markets:
            mine = (query_row_N >= m.query_start) & (query_row_N < m.query_stop)
            inside_N |= mine & (item_row_N >= m.item_start) & (item_row_N < m.item_stop)
        return inside_N

    def scored(self, query_row_N: np.ndarray, item_row_N: np.ndarray) -> np.ndarray:
        """bool: whether the pair was scored with the rest of its market: always, unless only candidates were."""
        if self._candidates is None:
            return np.ones(len(query_row_N), bool)
        return np.isin(query_row_N * self._stride + item_row_N, self._candidates)


def _sum(tables: pa.Table, keys: list[str], values: list[str]) -> pa.Table:
    summed = tables.group_by(keys, use_threads=False).aggregate([(v, "sum") for v in values])
    return summed.rename_columns([n.removesuffix("_sum") for n in summed.column_names]).select([*keys, *values])


def _best(tables: pa.Table, k: int) -> pa.Table:
    order = [("query_row", "ascending"), ("output", "ascending"), ("score", "descending"), ("item_row", "ascending")]
    ordered = tables.sort_by(order)
    return ordered.filter(pc.less_equal(_rank_in_group(ordered), k))


def _named(model: str, table: pa.Table) -> pa.ChunkedArray:
    return _take(pa.array([model]), np.zeros(table.num_rows, np.int8))


def _take(names: pa.Array | pa.ChunkedArray, row_N: pa.ChunkedArray | np.ndarray) -> pa.ChunkedArray:
    """names[row_N], a slice of the rows at a time."""
    names = names.combine_chunks() if isinstance(names, pa.ChunkedArray) else names
    row_N = row_N.to_numpy() if isinstance(row_N, pa.ChunkedArray) else row_N
    starts = range(0, max(1, len(row_N)), _SLICE)
    return pa.chunked_array([names.take(pa.array(row_N[start : start + _SLICE])) for start in starts], names.type)


def _rank_in_group(table: pa.Table) -> pa.Array:
    """1, 2, ... within each run of equal (query_row, output)."""
    if table.num_rows == 0:
        return pa.array([], pa.int32())
    query_N = table["query_row"].to_numpy()
    output_N = table["output"]
    if pa.types.is_string(output_N.type):
        output_N = output_N.combine_chunks().dictionary_encode().indices
    output_N = output_N.to_numpy()
    starts = np.flatnonzero(np.r_[True, (np.diff(query_N) != 0) | (np.diff(output_N) != 0)])
    position_N = np.arange(len(query_N))
    return pa.array((position_N - np.repeat(starts, np.diff(np.r_[starts, len(query_N)])) + 1).astype(np.int32))
