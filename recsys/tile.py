"""Score one tile: check, score, one atomic part with its counters. No Ray in it.

Shapes: Q queries and I items of the tile, T outputs, L labelled pairs of the tile's queries, B histogram bins.
Row numbers are positions in the corpus tables (`query_row`, `item_row`).
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.grid import Tile
from recsys.part import Counters, Receipt, committed, write_part
from recsys.scorer import Encoded, Scorer, num_bytes
from recsys.store import Folder
from recsys.tables import scores_schema

KEEPS = ("every", "top", "labelled")
SCORE_TYPES = ("float32", "float16")
NUM_BINS = 4096


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """Scores of all labelled pairs of a market's queries, sorted by query row, then item row."""

    query_row_L: np.ndarray  # int64
    item_row_L: np.ndarray  # int64
    score_TL: np.ndarray  # float32
    group_L: np.ndarray  # int64: which text the item has, of those that any labelled item has

    def of(self, query_start: int, query_stop: int) -> "Frozen":
        """The labelled pairs of a range of queries."""
        span = slice(*np.searchsorted(self.query_row_L, (query_start, query_stop)))
        return Frozen(
            query_row_L=self.query_row_L[span],
            item_row_L=self.item_row_L[span],
            score_TL=self.score_TL[:, span],
            group_L=self.group_L[span],
        )

    def each_text_once(self) -> np.ndarray:
        """Positions of the first of each query's labelled pairs with the same text, by query, then by text."""
        stride = 1 + self.group_L.max(initial=0)
        return np.unique(self.query_row_L * stride + self.group_L, return_index=True)[1]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Items of a tile, encoded."""

    item_row_I: np.ndarray  # int64, ascending
    table: pa.Table
    encoded: Encoded
    group_I: np.ndarray  # int64: which text of a labelled item each has, -1 for another


def bin_of(score_N: np.ndarray) -> np.ndarray:
    """The histogram bin of each float32 score, 0 .. 4095: the upper 12 bits of an order-preserving integer.

    Sign, exponent and 3 bits of mantissa: bins are at most 12.5 % wide relative to the score, and need no range.
    """
    bits = (np.asarray(score_N, np.float32) + np.float32(0)).view(np.int32)  # -0 becomes 0
    flip = bits >> 31  # all ones where negative: there, larger magnitudes are smaller numbers
    flip &= 0x7FFFFFFF
    bits ^= flip
    bits >>= 20
    bits += NUM_BINS // 2
    return bits


_UPPER_B = np.r_[NUM_BINS - 1 : NUM_BINS // 2 - 1 : -1, 0 : NUM_BINS // 2]  # the upper 12 bits of each bin's scores
_LOWEST_B = (_UPPER_B << 20 | np.where(_UPPER_B < NUM_BINS // 2, 0, 0xFFFFF)).astype(np.uint32).view(np.float32)


def bin_counts(score_I: np.ndarray) -> np.ndarray:
    """count_B: how many of the float32 scores each bin of `bin_of` holds."""
    bits = (score_I + np.float32(0)).view(np.uint32)  # -0 becomes 0
    bits >>= 20
    return np.bincount(bits, minlength=NUM_BINS)[_UPPER_B]


def reach(bin_F: np.ndarray, count_F: np.ndarray, k: int) -> np.float32:
    """A score that the best k of those counted reach, and few others: the lowest of the bin of the k-th.

    `bin_F` are bins in ascending order, and `count_F` how many scores each holds.
    """
    at = int(np.searchsorted(np.cumsum(count_F[::-1]), k))
    return _LOWEST_B[bin_F[-1 - at]] if at < len(bin_F) else np.float32(-np.inf)


def best(score_I: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k highest scores, best first; ties in order of position."""
    if k < len(score_I):
        threshold = np.partition(score_I, len(score_I) - k)[len(score_I) - k]
        chosen = np.flatnonzero(score_I >= threshold)
        if surplus := len(chosen) - k:
            tied = np.flatnonzero(score_I[chosen] == threshold)
            chosen = np.delete(chosen, tied[len(tied) - surplus :])
    else:
        chosen = np.arange(len(score_I))
    return chosen[np.argsort(-score_I[chosen], kind="stable")]


@dataclass(frozen=True, kw_only=True)
class Row:
    """All scores of one query in a tile."""

    query_row: int
    item_row_I: np.ndarray  # int64, ascending
    score_TI: np.ndarray  # float32
    listed_TI: np.ndarray | None = None  # bool: which of them an output ranks; None for all


def count(rows: list[Row], frozen: Frozen, outputs: tuple[str, ...], top_k: int) -> Counters:
    """The counters of a tile's rows; `frozen` has the labelled pairs of its queries."""
    histogram, labelled, top = _Columns(), _Columns(), _Columns()
    query_row_Q = [row.query_row for row in rows]
    first_Q, last_Q = (np.searchsorted(frozen.query_row_L, query_row_Q, side) for side in ("left", "right"))
    for row, first, last in zip(rows, first_Q.tolist(), last_Q.tolist(), strict=True):
        for t, output in enumerate(outputs):
            score_I, item_row_I = row.score_TI[t], row.item_row_I
            count_B = bin_counts(score_I)
            bin_F = np.flatnonzero(count_B > 0)
            count_F = count_B[bin_F]
            histogram.add(row.query_row, output, bin=bin_F, count=count_F)
            if row.listed_TI is None:
                high = np.flatnonzero(score_I >= reach(bin_F, count_F, top_k))
                chosen = high[best(score_I[high], top_k)]
            else:  # the histogram has every pair; an order has those of its own shortlist
                item_row_I, score_I = item_row_I[row.listed_TI[t]], score_I[row.listed_TI[t]]
                chosen = best(score_I, top_k)
            top.add(row.query_row, output, item_row=item_row_I[chosen], score=score_I[chosen])
            if last > first:
                ordered, score_L = np.sort(score_I), frozen.score_TL[t, first:last]
                right_L, left_L = (np.searchsorted(ordered, score_L, side) for side in ("right", "left"))
                item_row_L, num_above_L = frozen.item_row_L[first:last], len(ordered) - right_L
                labelled.add(
                    row.query_row, output, item_row=item_row_L, num_above=num_above_L, num_tied=right_L - left_L
                )
    return Counters(
        histogram=histogram.table({"bin": pa.int32(), "count": pa.int64()}),
        labelled=labelled.table({"item_row": pa.int64(), "num_above": pa.int64(), "num_tied": pa.int64()}),
        top=top.table({"item_row": pa.int64(), "score": pa.float32()}),
    )


class _Columns:
    """Collects arrays that share a query and an output, and makes one table of them."""

    def __init__(self) -> None:
        self.query_rows: list[int] = []
        self.outputs: list[str] = []
        self.chunks: list[dict[str, np.ndarray]] = []

    def add(self, query_row: int, output: str, **columns: np.ndarray) -> None:
        self.query_rows.append(query_row)
        self.outputs.append(output)
        self.chunks.append(columns)

    def table(self, types: dict[str, pa.DataType]) -> pa.Table:
        sizes = [len(next(iter(columns.values()))) for columns in self.chunks]
        of_chunk = np.repeat(np.arange(len(sizes)), sizes)
        arrays = {
            "query_row": pa.array(np.array(self.query_rows, np.int64)[of_chunk]),
            "output": pa.array(self.outputs, pa.string()).take(pa.array(of_chunk)),
        }
        for name, kind in types.items():
            parts = [columns[name] for columns in self.chunks]
            arrays[name] = pa.array(np.concatenate(parts).astype(kind.to_pandas_dtype()) if parts else [], kind)
        return pa.table(arrays)


@dataclass(kw_only=True)
class TileScorer:
    """Scores tiles of one run into a folder. Keeps the encodings of the last blocks of items that fit, and of the first
    queries seen that fit: every block of items meets the same queries in the same order."""

    scorer: Scorer
    folder: Folder
    fingerprint: str  # of the scores stage: a part of other work is not taken for one of this
    keep: str
    score_type: str  # of the scores kept; what is counted and ranked is always float32
    top_k: int
    cache_bytes: int  # of encoded items that are kept, and of encoded queries
    queries: pa.Table  # all queries of the corpus
    read_items: Callable[[np.ndarray], pa.Table]  # ascending item rows -> those rows of the corpus items
    frozen: Frozen
    texts: pa.Array | None = None  # of labelled items, by group; None where rows of one text may have several scores
    candidate_P2: np.ndarray | None = None  # sorted (query row, item row): only these pairs, or None for every pair
    listed_TP: np.ndarray | None = None  # bool: which candidates an output ranks, or None for all
    by_block: bool = False  # candidates' tiles of one block come together: all its candidate items are encoded at once
    model: str = ""  # its name, for the footer: all rows of a part are of one model

    def __post_init__(self) -> None:
        self._blocks: dict[tuple[int, int], Block] = {}
        self._queries: dict[tuple[int, int], Encoded] = {}
        self._cached = 0  # bytes
        self._encode_s = 0.0  # of the tile at work

    def __call__(self, tile: Tile) -> Receipt:
        """The tile's receipt; scores it unless its part is already there, whole and of this run."""
        if (receipt := committed(self.folder, tile, self.fingerprint)) is not None:
            return receipt
        started, self._encode_s = time.perf_counter(), 0.0
        rows, block = self._dense(tile) if self.candidate_P2 is None else self._candidates(tile)
        return self._commit(tile, rows, block, started)

    def _dense(self, tile: Tile) -> tuple[list[Row], Block]:
        """Every query of the tile with every item.

        A labelled pair has its frozen score, and so has a pair whose item reads the same: rounding makes and breaks no
        tie.
        """
        block = self._encode_block(tile)
        score_TQI = np.require(self.scorer.score(self._encode_queries(tile), block.encoded), np.float32, "W")
        frozen = self.frozen.of(tile.query_start, tile.query_stop)
        query_L = frozen.query_row_L - tile.query_start
        for at_L, item_X in (_twins(frozen, block), _themselves(frozen, tile)):
            score_TQI[:, query_L[at_L], item_X] = frozen.score_TL[:, at_L]
        rows = [
            Row(query_row=tile.query_start + q, item_row_I=block.item_row_I, score_TI=score_TQI[:, q])
            for q in range(score_TQI.shape[1])
        ]
        return rows, block

    def _candidates(self, tile: Tile) -> tuple[list[Row], Block]:
        """Every query of the tile with its candidates; only items that are candidates are encoded."""
        assert self.candidate_P2 is not None
        first, last = np.searchsorted(self.candidate_P2[:, 0], (tile.query_start, tile.query_stop))
        asked_P = first + np.flatnonzero(_inside(self.candidate_P2[first:last, 1], tile))
        pair_P2 = self.candidate_P2[asked_P]
        block = self._encode_block(tile) if self.by_block else self._encode_items(np.unique(pair_P2[:, 1]))
        at_P = np.searchsorted(block.item_row_I, pair_P2[:, 1])
        local_P2 = np.stack([pair_P2[:, 0] - tile.query_start, at_P], axis=1)
        score_TP = np.array(self.scorer.score_pairs(self._encode_queries(tile), block.encoded, local_P2), np.float32)
        frozen = self.frozen.of(tile.query_start, tile.query_stop)
        here_L = np.flatnonzero(_inside(frozen.item_row_L, tile))
        for of_L, column_P, column_L in (
            (frozen.each_text_once(), block.group_I[at_P], frozen.group_L),
            (here_L, pair_P2[:, 1], frozen.item_row_L),
        ):
            found_P, at_L = _same(pair_P2[:, 0], column_P, frozen.query_row_L[of_L], column_L[of_L])
            score_TP[:, found_P] = frozen.score_TL[:, of_L[at_L]]
        edges = np.searchsorted(pair_P2[:, 0], np.arange(tile.query_start, tile.query_stop + 1))
        rows = [
            Row(
                query_row=tile.query_start + q,
                item_row_I=pair_P2[a:b, 1],
                score_TI=score_TP[:, a:b],
                listed_TI=None if self.listed_TP is None else self.listed_TP[:, asked_P[a:b]],
            )
            for q, (a, b) in enumerate(itertools.pairwise(edges))
        ]
        return rows, block

    def _commit(self, tile: Tile, rows: list[Row], block: Block, started: float) -> Receipt:
        frozen = self.frozen.of(tile.query_start, tile.query_stop)
        counters = count(rows, frozen, self.scorer.outputs, self.top_k)
        wrong_N = ~np.isfinite(_LOWEST_B[counters.histogram["bin"].to_numpy()])
        if wrong_N.any():
            query_row = counters.histogram["query_row"].to_numpy()[wrong_N][0]
            query = self.queries["query_id"][int(query_row)].as_py()
            raise FloatingPointError(
                f"tile {tile.index}: the model gave a score that is not finite for query {query!r}"
            )
        table = self._kept(rows, block, frozen, counters.top)
        num_pairs = sum(len(r.item_row_I) for r in rows)
        names = {"fingerprint": self.fingerprint, "model": self.model}
        receipt = write_part(self.folder, tile, table, counters, num_pairs=num_pairs, **names)
        return replace(receipt, seconds=time.perf_counter() - started, encode_s=self._encode_s)

    def _kept(self, rows: list[Row], block: Block, frozen: Frozen, top: pa.Table) -> pa.Table:
        """The rows the part keeps: sorted by query row, then item row, with original ids."""
        if self.keep == "every":
            chosen = [np.arange(len(row.item_row_I)) for row in rows]
        elif self.keep == "top":
            chosen = _chosen(rows, top["query_row"].to_numpy(), top["item_row"].to_numpy())
        else:
            chosen = _chosen(rows, frozen.query_row_L, frozen.item_row_L)
        query_row_N = np.repeat([row.query_row for row in rows], [len(c) for c in chosen])
        item_row_N = np.concatenate([row.item_row_I[c] for row, c in zip(rows, chosen, strict=True)])
        score_TN = np.concatenate([row.score_TI[:, c] for row, c in zip(rows, chosen, strict=True)], axis=1)
        if (highest := np.abs(score_TN).max(initial=0)) > np.finfo(self.score_type).max:
            raise OverflowError(f"a score of {highest:g} does not fit into {self.score_type}; use score_type=float32")
        arrays = [
            self.queries["query_id"].take(pa.array(query_row_N)),
            block.table["item_id"].take(pa.array(np.searchsorted(block.item_row_I, item_row_N))),
            *(pa.array(score_N.astype(self.score_type)) for score_N in score_TN),
        ]
        return pa.table(arrays, schema=scores_schema(self.scorer.outputs, self.score_type))

    def _encode_block(self, tile: Tile) -> Block:
        """The tile's block of items, or of its candidates where only these are asked for."""
        span = (tile.item_start, tile.item_stop)
        if span in self._blocks:
            self._blocks[span] = self._blocks.pop(span)  # the last is the one that was met last
            return self._blocks[span]
        sizes = [num_bytes(block.encoded) for block in self._blocks.values()]
        while sizes and sum(sizes) + max(sizes) > self.cache_bytes:  # makes room before the new block is encoded
            del self._blocks[next(iter(self._blocks))], sizes[0]
        rows = np.arange(*span)
        if self.candidate_P2 is not None:
            item_row_P = self.candidate_P2[:, 1]
            rows = np.unique(item_row_P[_inside(item_row_P, tile)])
        self._blocks[span] = self._encode_items(rows)
        return self._blocks[span]

    def _encode_items(self, item_row_I: np.ndarray) -> Block:
        table = self.read_items(item_row_I)
        encoded = self._timed(self.scorer.encode_items, table)
        group_I = np.full(len(table), -1) if self.texts is None else group_of(table["text"], self.texts)
        return Block(item_row_I=item_row_I, table=table, encoded=encoded, group_I=group_I)

    def _encode_queries(self, tile: Tile) -> Encoded:
        span = (tile.query_start, tile.query_stop)
        if span in self._queries:
            return self._queries[span]
        encoded = self._timed(self.scorer.encode_queries, self.queries.slice(span[0], span[1] - span[0]))
        if self._cached + (size := num_bytes(encoded)) <= self.cache_bytes:
            self._queries[span] = encoded
            self._cached += size
        return encoded

    def _timed(self, encode: Callable[[pa.Table], Encoded], table: pa.Table) -> Encoded:
        started = time.perf_counter()
        encoded = encode(table)
        self._encode_s += time.perf_counter() - started
        return encoded


def group_of(text_N: pa.ChunkedArray, texts: pa.Array) -> np.ndarray:
    """Position of each row's text among `texts`, -1 where it is none of them. Null is ''."""
    at_N = pc.index_in(pc.fill_null(text_N, ""), value_set=texts)
    return pc.fill_null(at_N, -1).to_numpy().astype(np.int64)


def _twins(frozen: Frozen, block: Block) -> tuple[np.ndarray, np.ndarray]:
    """Positions of labelled pairs, and of the items of a block that have the text of their item."""
    at_L = frozen.each_text_once()
    order_I = np.argsort(block.group_I, kind="stable")
    ordered_I, group_L = block.group_I[order_I], frozen.group_L[at_L]
    first_L, last_L = (np.searchsorted(ordered_I, group_L, side) for side in ("left", "right"))
    num_L = last_L - first_L
    offset_X = np.arange(num_L.sum()) - np.repeat(np.cumsum(num_L) - num_L, num_L)
    return np.repeat(at_L, num_L), order_I[np.repeat(first_L, num_L) + offset_X]


def _themselves(frozen: Frozen, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    """Positions of labelled pairs, and of their items, where these are the tile's."""
    here_L = np.flatnonzero(_inside(frozen.item_row_L, tile))
    return here_L, frozen.item_row_L[here_L] - tile.item_start


def _same(
    query_P: np.ndarray, value_P: np.ndarray, query_L: np.ndarray, value_L: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of pairs that have a partner of the same query and value, and of their partners, each of which differs
    from the others."""
    stride = 1 + max(value_P.max(initial=0), value_L.max(initial=0))
    key_L, key_P = query_L * stride + value_L, np.where(value_P < 0, -1, query_P * stride + value_P)
    order_L = np.argsort(key_L, kind="stable")
    at_P = np.searchsorted(key_L[order_L], key_P)
    found_P = np.flatnonzero(np.append(key_L[order_L], -2)[at_P] == key_P)
    return found_P, order_L[at_P[found_P]]


def _inside(item_row_N: np.ndarray, tile: Tile) -> np.ndarray:
    """bool: which items are of the tile."""
    return (item_row_N >= tile.item_start) & (item_row_N < tile.item_stop)


def _chosen(rows: list[Row], query_row_N: np.ndarray, item_row_N: np.ndarray) -> list[np.ndarray]:
    """For each row the positions of the items that are listed for its query, ascending; others are passed over."""
    stride = int(item_row_N.max(initial=0)) + 1
    key_N = np.sort(query_row_N * stride + item_row_N)
    query_row_N, item_row_N = np.divmod(key_N[np.diff(key_N, prepend=-1) > 0], stride)
    query_rows = [row.query_row for row in rows]
    first_Q, last_Q = (np.searchsorted(query_row_N, query_rows, side).tolist() for side in ("left", "right"))
    chosen = []
    for row, first, last in zip(rows, first_Q, last_Q, strict=True):
        at_N = np.searchsorted(row.item_row_I, item_row_N[first:last])
        at_N = at_N[at_N < len(row.item_row_I)]  # both ascend: what lies beyond comes last
        chosen.append(at_N[row.item_row_I[at_N] == item_row_N[first : first + len(at_N)]])
    return chosen
