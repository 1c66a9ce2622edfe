"""The query x item grid cut into tiles, in pure integers. Rows are positions in the sorted corpus tables.

A market is a maximal run of rows with the same locale; queries meet the items of their own market only.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, order=True)
class Tile:
    """A query range x an item range. `index` numbers the tiles of a plan; `block` those that share their items."""

    index: int
    block: int
    query_start: int
    query_stop: int
    item_start: int
    item_stop: int

    @property
    def num_pairs(self) -> int:
        return (self.query_stop - self.query_start) * (self.item_stop - self.item_start)

    @property
    def name(self) -> str:
        return f"part-{self.index:09d}"


@dataclass(frozen=True)
class Market:
    """The rows of one locale in both tables."""

    query_start: int
    query_stop: int
    item_start: int
    item_stop: int


def runs(values: Sequence[str | None]) -> list[tuple[str | None, int, int]]:
    """(value, start, stop) of each run of equal values."""
    found: list[tuple[str | None, int, int]] = []
    start = 0
    for stop in range(1, len(values) + 1):
        if stop == len(values) or values[stop] != values[start]:
            found.append((values[start], start, stop))
            start = stop
    return found


def markets(query_locales: Sequence[str | None], item_locales: Sequence[str | None]) -> list[Market]:
    """The markets both tables have, in item order. One market if either table has no locale at all.

    Locales must be sorted so that each forms one run.
    """
    if not any(v is not None for v in query_locales) or not any(v is not None for v in item_locales):
        return [Market(0, len(query_locales), 0, len(item_locales))]
    queries = {value: (start, stop) for value, start, stop in runs(query_locales)}
    items = {value: (start, stop) for value, start, stop in runs(item_locales)}
    return [Market(*queries[value], *span) for value, span in items.items() if value in queries]


def spans(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """[start, stop) cut into as few near-equal spans of at most `size` as possible."""
    count = -(-(stop - start) // size)
    edges = [start + (stop - start) * i // count for i in range(count + 1)] if count else []
    return list(itertools.pairwise(edges))


MOST_PAIRS = 2**23  # scores in memory at a time, over all outputs: 32 MiB
CHUNKS_PER_WORKER = 4  # blocks of items that each worker gets, so that none is idle long at the end
FEW_QUERIES = 32  # a tile has so many where it can: items are encoded once for all of them
ROW_S = 1e-3  # a query's row of a tile is worth ten times what opening and closing its counters costs


def shape(
    num_queries: int,
    num_items: int,
    *,
    pair_s: float,
    seconds: float,
    item_bytes: float,
    cache_bytes: float,
    outputs: int,
    workers: int,
    queries: int | None = None,
    items: int | None = None,
) -> tuple[int, int]:
    """(queries, items) of a tile: as given, and otherwise in powers of two, so that it takes at most `seconds`.

    Items enough that a query's row is worth its counters, and otherwise so few that every worker gets several blocks;
    never more than the cache holds once encoded. Queries enough that items are worth encoding.
    """
    most = MOST_PAIRS / outputs
    pairs = min(max(1.0, seconds / pair_s), most)
    few = queries or min(num_queries, FEW_QUERIES)
    if items is None:
        wanted = max(num_items / (workers * CHUNKS_PER_WORKER), ROW_S / pair_s)
        items = _power_of_two(min(wanted, num_items, cache_bytes / max(item_bytes, 1.0), pairs / few))
        fit = pairs / items
    else:
        fit = min(max(pairs / items, few), most / items)
    return queries or min(_power_of_two(fit), _power_of_two(2 * num_queries - 1)), items


def block_items(num_items: int, *, item_bytes: float, cache_bytes: float, workers: int) -> int:
    """Items of a block of candidates, at most: several blocks for every worker, and none that the cache cannot hold."""
    return max(1, int(min(-(-num_items // (workers * CHUNKS_PER_WORKER)), cache_bytes / max(item_bytes, 1.0))))


def _power_of_two(value: float) -> int:
    """The highest that is not above the value; at least 1."""
    return 1 << max(0, int(value).bit_length() - 1)


def plan(markets: Sequence[Market], tile_queries: int, tile_items: int) -> list[Tile]:
    """Every pair of every market in exactly one tile; the tiles of a block follow each other."""
    if tile_queries < 1 or tile_items < 1:
        raise ValueError(f"tiles of {tile_queries} queries x {tile_items} items hold nothing; both must be at least 1")
    tiles: list[Tile] = []
    block = 0
    for market in markets:
        for items in spans(market.item_start, market.item_stop, tile_items):
            for queries in spans(market.query_start, market.query_stop, tile_queries):
                tiles.append(Tile(len(tiles), block, *queries, *items))
            block += 1
    return tiles


def plan_pairs(pair_P2: np.ndarray, size: int, num_items: int, items: int | None = None) -> list[Tile]:
    """Tiles of about `size` listed pairs each, cut between queries; pair_P2 is sorted by (query row, item row).

    Where `items` is given, the items are cut into blocks of at most so many first: a tile then has the pairs of its
    queries with the items of its block. Otherwise each tile spans all items, and is a block of its own.
    """
    blocks = spans(0, num_items, items or num_items)
    order_P, first_B = _block_order(pair_P2, blocks)
    tiles: list[Tile] = []
    for block, (first, last) in enumerate(itertools.pairwise(first_B)):
        query_N = pair_P2[order_P[first:last], 0]
        start_N = np.flatnonzero(np.r_[True, np.diff(query_N) != 0])[: len(query_N)]
        stop_N = np.r_[start_N[1:], len(query_N)]
        at = 0
        while at < len(start_N):
            end = min(int(np.searchsorted(stop_N, start_N[at] + size)), len(start_N) - 1)
            low, high = int(query_N[start_N[at]]), int(query_N[start_N[end]]) + 1
            tiles.append(Tile(len(tiles), len(tiles) if items is None else block, low, high, *blocks[block]))
            at = end + 1
    return tiles


def tile_order(pair_P2: np.ndarray, tiles: Sequence[Tile]) -> np.ndarray:
    """Positions of the listed pairs, tile after tile of `plan_pairs`."""
    return _block_order(pair_P2, _blocks(tiles))[0]


def count_pairs(pair_P2: np.ndarray, tiles: Sequence[Tile]) -> np.ndarray:
    """Number of the listed pairs in each tile of `plan_pairs`."""
    blocks = _blocks(tiles)
    order_P, first_B = _block_order(pair_P2, blocks)
    query_B = {b: pair_P2[order_P[first:last], 0] for b, (first, last) in enumerate(itertools.pairwise(first_B))}
    at = {span: number for number, span in enumerate(blocks)}
    found = [np.searchsorted(query_B[at[t.item_start, t.item_stop]], (t.query_start, t.query_stop)) for t in tiles]
    return np.array([high - low for low, high in found], np.int64)


def _blocks(tiles: Sequence[Tile]) -> list[tuple[int, int]]:
    return sorted({(t.item_start, t.item_stop) for t in tiles})


def _block_order(pair_P2: np.ndarray, blocks: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the pairs by block of items, then as they were; where each block's begin, and the last one's end."""
    block_P = np.searchsorted([start for start, _ in blocks], pair_P2[:, 1], side="right") - 1
    order_P = np.argsort(block_P, kind="stable")
    return order_P, np.searchsorted(block_P[order_P], np.arange(len(blocks) + 1))
