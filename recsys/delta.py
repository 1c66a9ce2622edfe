"""What a finished scoring (the base) and a new one have in common, so that only what is new is scored. No Ray in it.

A plan with a base numbers queries and items by position: an order of the corpus rows in which the rows that a block of
the base has in common with the new corpus stand together. Without a base, positions are rows. Within a block rows
ascend, so ties in a tile are broken as they are between tiles.
What a tile counts is told apart by query, but not by item: so a tile of the base serves those of its queries that are
as they were, if all of its items are.
Shapes: N rows of a table, L labelled pairs, S rows of a market, B rows of a block.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import grid
from recsys.grid import Market, Tile
from recsys.part import Counters, Receipt, committed, read_part, write_part
from recsys.store import MANIFEST, Folder
from recsys.tile import Frozen, TileScorer


@dataclass(frozen=True, kw_only=True)
class Side:
    """All queries, or all items, in the order of a plan."""

    row_N: np.ndarray  # int64: row of the corpus table at each position
    base_N: np.ndarray  # int64: position in the base's plan of what is as it was there; -1 for all else

    def position_of_row(self) -> np.ndarray:
        return _inverse(self.row_N, len(self.row_N))

    def position_of_base(self, size: int) -> np.ndarray:
        """The position of each of at least the first `size` positions of the base; -1 for what is not as it was."""
        return _inverse(self.base_N, max(size, int(self.base_N.max(initial=-1)) + 1))

    def to_table(self) -> pa.Table:
        return pa.table({"row": self.row_N, "base": self.base_N})

    @classmethod
    def from_table(cls, table: pa.Table) -> "Side":
        return cls(row_N=table["row"].to_numpy(), base_N=table["base"].to_numpy())

    def permuted(self, table: pa.Table) -> pa.Table:
        """Rows of the corpus table by position."""
        return table.take(pa.array(self.row_N))


def untouched(num_rows: int) -> Side:
    """The order of a plan without a base."""
    return Side(row_N=np.arange(num_rows), base_N=np.full(num_rows, -1))


def by_position(frozen: Frozen, queries: Side, items: Side) -> Frozen:
    """Frozen scores with positions for rows; those of a query stay in order of item rows."""
    query_L, item_L = queries.position_of_row()[frozen.query_row_L], items.position_of_row()[frozen.item_row_L]
    order = np.lexsort((frozen.item_row_L, query_L))
    return Frozen(
        query_row_L=query_L[order],
        item_row_L=item_L[order],
        score_TL=frozen.score_TL[:, order],
        group_L=frozen.group_L[order],
    )


def _inverse(value_N: np.ndarray, size: int) -> np.ndarray:
    index_N = np.full(size, -1, np.int64)
    at = np.flatnonzero(value_N >= 0)
    index_N[value_N[at]] = at
    return index_N


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A plan by position, and what of it a base has counted."""

    queries: Side
    items: Side
    tiles: list[Tile]  # in positions
    taken: dict[int, Tile]  # tile -> the tile of the base that counted all its pairs

    def rows(self, counters: Counters) -> Counters:
        """Counters by position, numbered by row."""
        return renumbered(counters, self.queries.row_N, self.items.row_N)


def unchanged(old: pa.Table, new: pa.Table) -> np.ndarray:
    """For each row of `new` the row of `old` with the same id (the first column) and the same content; -1 for none."""
    key, *others = new.column_names
    at_N = pc.index_in(new[key], value_set=old[key].combine_chunks())
    same_N = pc.is_valid(at_N)
    for name in others:
        before, now = (t.cast(pa.large_string()) for t in (old[name], new[name]))
        before = before.take(at_N)
        equal_N = pc.fill_null(pc.equal(before, now), False)
        both_null_N = pc.and_(pc.is_null(before), pc.is_null(now))
        same_N = pc.and_(same_N, pc.or_(equal_N, both_null_N))
    return pc.if_else(same_N, pc.fill_null(at_N, 0), -1).to_numpy().astype(np.int64)


def known_labels(
    pair_L2: np.ndarray, base_pair_L2: np.ndarray, query_old_N: np.ndarray, item_old_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which labelled pair of the base is each new one (-1: none); and for each query, whether it is as it was: its text
    and labels, and the items of these.

    Pairs are (query row, item row), each once; `*_old_N` are the rows of the base's corpus, from `unchanged`.
    """
    old_L2 = np.stack([query_old_N[pair_L2[:, 0]], item_old_N[pair_L2[:, 1]]], axis=1)
    stride = 1 + max(base_pair_L2[:, 1].max(initial=0), old_L2[:, 1].max(initial=0))
    base_key_L = base_pair_L2 @ (stride, 1)
    key_L = np.where((old_L2 >= 0).all(axis=1), old_L2 @ (stride, 1), -1)
    order = np.argsort(base_key_L, kind="stable")
    found = np.searchsorted(base_key_L[order], key_L)
    at_L = np.append(order, -1)[np.where(found < len(order), found, -1)]
    at_L = np.where((at_L >= 0) & (np.append(base_key_L, -2)[at_L] == key_L), at_L, -1)
    num_queries = len(query_old_N)
    labels_N = np.bincount(pair_L2[:, 0], minlength=num_queries)
    known_N = np.bincount(pair_L2[at_L >= 0, 0], minlength=num_queries)
    before = np.bincount(base_pair_L2[:, 0], minlength=int(query_old_N.max(initial=0)) + 1)
    return at_L, (query_old_N >= 0) & (known_N == labels_N) & (before[query_old_N] == labels_N)


def plan(
    markets: Sequence[Market],
    base: Delta,
    *,
    query_old_N: np.ndarray,
    item_old_N: np.ndarray,
    tile_queries: int,
    tile_items: int,
) -> Delta:
    """Every pair of every market in exactly one tile, and as many as can be in tiles that a tile of the base serves.

    `*_old_N` are rows of the base's corpus for what is as it was there, -1 for the others. A block of items stays if
    all of it is as it was, a block of queries with those that are. The rest is cut into new blocks.
    """
    by_span = {(t.query_start, t.query_stop, t.item_start, t.item_stop): t for t in base.tiles}
    query_base_N = np.where(query_old_N >= 0, base.queries.position_of_row()[query_old_N], -1)
    item_base_N = np.where(item_old_N >= 0, base.items.position_of_row()[item_old_N], -1)
    queries = _Blocks(query_base_N, [(t.query_start, t.query_stop) for t in base.tiles], tile_queries, whole=False)
    items = _Blocks(item_base_N, [(t.item_start, t.item_stop) for t in base.tiles], tile_items, whole=True)
    tiles: list[Tile] = []
    taken: dict[int, Tile] = {}
    block = 0
    for market in markets:
        query_blocks = queries.cut(market.query_start, market.query_stop)
        for item_span, item_start, item_stop in items.cut(market.item_start, market.item_stop):
            for query_span, query_start, query_stop in query_blocks:
                tile = Tile(len(tiles), block, query_start, query_stop, item_start, item_stop)
                if query_span and item_span and (before := by_span.get((*query_span, *item_span))) is not None:
                    taken[tile.index] = before
                tiles.append(tile)
            block += 1
    return Delta(queries=queries.side(), items=items.side(), tiles=tiles, taken=taken)


Span = tuple[int, int]


class _Blocks:
    """Puts the rows of one side into an order, block by block."""

    def __init__(self, base_N: np.ndarray, spans: list[Span], size: int, *, whole: bool) -> None:
        self.base_N, self.size, self.whole = base_N, size, whole
        self.spans = sorted(set(spans))
        self.chunks: list[np.ndarray] = []
        self.length = 0

    def cut(self, start: int, stop: int) -> list[tuple[Span | None, int, int]]:
        """The blocks of the rows of a market: the base's span, or None for a new one, and the positions it got."""
        row_S = np.arange(start, stop)
        base_S = self.base_N[row_S]
        span_S = np.searchsorted([a for a, _ in self.spans], base_S, side="right") - 1
        by_span = np.argsort(span_S, kind="stable")
        edges = np.searchsorted(span_S[by_span], np.arange(len(self.spans) + 1))
        kept, blocks = np.zeros(len(row_S), bool), []
        for n, (a, b) in enumerate(self.spans):
            members = by_span[edges[n] : edges[n + 1]]
            members = members[base_S[members] < b]
            ascending = len(members) > 0 and bool((np.diff(base_S[members]) > 0).all())
            if ascending and (len(members) == b - a or not self.whole):
                kept[members] = True
                blocks.append(((a, b), *self._add(row_S[members])))
        others = row_S[~kept]
        return blocks + [(None, *self._add(others[a:b])) for a, b in grid.spans(0, len(others), self.size)]

    def _add(self, row_B: np.ndarray) -> Span:
        self.chunks.append(row_B)
        self.length += len(row_B)
        return self.length - len(row_B), self.length

    def side(self) -> Side:
        """The order; rows of no market come last."""
        left = np.ones(len(self.base_N), bool)
        for chunk in self.chunks:
            left[chunk] = False
        row_N = np.concatenate([*self.chunks, np.flatnonzero(left)])
        return Side(row_N=row_N, base_N=self.base_N[row_N])


def renumbered(counters: Counters, query_N: np.ndarray, item_N: np.ndarray) -> Counters:
    """The counters with other numbers for queries and items."""

    def of(table: pa.Table) -> pa.Table:
        for name, number_N in (("query_row", query_N), ("item_row", item_N)):
            if (at := table.schema.get_field_index(name)) >= 0:
                array = pa.array(number_N[table[name].to_numpy()], pa.int64())
                table = table.set_column(at, table.schema.field(at), array)
        return table

    return Counters(histogram=of(counters.histogram), labelled=of(counters.labelled), top=of(counters.top))


@dataclass(kw_only=True)
class TakeOver:
    """Takes over what a base has counted, and has all else scored; also where the base's part is damaged."""

    score: TileScorer  # by position
    base: Folder  # the base's scores/
    base_fingerprint: str  # of its scores
    delta: Delta

    def __post_init__(self) -> None:
        counted = max((t.query_stop for t in self.delta.taken.values()), default=0)
        self._query_N = self.delta.queries.position_of_base(counted)
        self._item_N = self.delta.items.position_of_base(0)

    def __call__(self, tile: Tile) -> Receipt:
        """The tile's receipt."""
        if (receipt := committed(self.score.folder, tile, self.score.fingerprint)) is not None:
            return receipt
        before = self.delta.taken.get(tile.index)
        receipt = None if before is None else self._take(tile, before)
        return self.score(tile) if receipt is None else receipt

    def _take(self, tile: Tile, before: Tile) -> Receipt | None:
        """Commits the part of the base, cut down to the tile's queries; None if it is damaged or missing.

        Raises FileNotFoundError if all of the base is.
        """
        started = time.perf_counter()
        if (part := read_part(self.base.join("tiles"), f"{before.name}.parquet")) is None:
            if not self.base.exists(MANIFEST):
                raise FileNotFoundError(f"the scores to take over are gone from {self.base.path}; bring them back")
            return None
        facts, table = part
        found = facts["fingerprint"], int(facts["tile"]), int(facts["pairs"])
        if found != (self.base_fingerprint, before.index, before.num_pairs):
            return None
        counters = self._counters(Counters.from_text(facts["counters"]), tile)
        query_ids = self.score.queries["query_id"].slice(tile.query_start, tile.query_stop - tile.query_start)
        table = table.filter(pc.is_in(table["query_id"], value_set=query_ids.combine_chunks())).combine_chunks()
        receipt = write_part(
            self.score.folder,
            tile,
            table,
            counters,
            fingerprint=self.score.fingerprint,
            model=self.score.model,
            num_pairs=tile.num_pairs,
            taken=self.base_fingerprint,
        )
        return replace(receipt, seconds=time.perf_counter() - started)

    def _counters(self, counters: Counters, tile: Tile) -> Counters:
        """Those of the tile's queries, by their new positions."""

        def mine(table: pa.Table) -> pa.Table:
            position_N = self._query_N[table["query_row"].to_numpy()]
            return table.filter(pa.array((position_N >= tile.query_start) & (position_N < tile.query_stop)))

        kept = Counters(histogram=mine(counters.histogram), labelled=mine(counters.labelled), top=mine(counters.top))
        return renumbered(kept, self._query_N, self._item_N)
