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

    def of(self, query_start: int, query_stop: int) -> "Frozen":
        """The labelled pairs of a range of queries."""
        span = slice(*np.searchsorted(self.query_row_L, (query_start, query_stop)))
        return Frozen(
            query_row_L=self.query_row_L[span], item_row_L=self.item_row_L[span], score_TL=self.score_TL[:, span]
        )


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
    """The counters of a tile's rows."""
    histogram, labelled, top = _Columns(), _Columns(), _Columns()
    for row in rows:
        mine = frozen.of(row.query_row, row.query_row + 1)
        for t, output in enumerate(outputs):
            score_I = row.score_TI[t]
            count_B = np.bincount(bin_of(score_I), minlength=NUM_BINS)
            filled = np.flatnonzero(count_B)
            histogram.add(row.query_row, output, bin=filled.astype(np.int32), count=count_B[filled].astype(np.int64))
            item_row_I = row.item_row_I
            if row.listed_TI is not None:  # the histogram has every pair; an order has those of its own shortlist
                item_row_I, score_I = item_row_I[row.listed_TI[t]], score_I[row.listed_TI[t]]
            chosen = best(score_I, top_k)
            top.add(row.query_row, output, item_row=item_row_I[chosen], score=score_I[chosen])
            if len(mine.item_row_L):
                ordered = np.sort(score_I)
                right_L = np.searchsorted(ordered, mine.score_TL[t], side="right")
                left_L = np.searchsorted(ordered, mine.score_TL[t], side="left")
                labelled.add(
                    row.query_row,
                    output,
                    item_row=mine.item_row_L,
                    num_above=(len(ordered) - right_L).astype(np.int64),
                    num_tied=(right_L - left_L).astype(np.int64),
                )
    return Counters(
        histogram=histogram.table({"bin": pa.int32(), "count": pa.int64()}),
        labelled=labelled.table({"item_row": pa.int64(), "num_above": pa.int64(), "num_tied": pa.int64()}),
        top=top.table({"item_row": pa.int64(), "score": pa.float32()}),
    )


class _Columns:
    """Collects arrays that share a query and an output, and makes one table of them."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, str, dict[str, np.ndarray]]] = []

    def add(self, query_row: int, output: str, **columns: np.ndarray) -> None:
        self.chunks.append((query_row, output, columns))

    def table(self, types: dict[str, pa.DataType]) -> pa.Table:
        sizes = [len(next(iter(columns.values()))) for _, _, columns in self.chunks]
        arrays = {
            "query_row": pa.array(np.repeat([q for q, _, _ in self.chunks], sizes).astype(np.int64)),
            "output": pa.array(np.repeat([o for _, o, _ in self.chunks], sizes).tolist(), pa.string()),
        }
        for name, kind in types.items():
            parts = [columns[name] for _, _, columns in self.chunks]
            arrays[name] = pa.array(np.concatenate(parts) if parts else [], kind)
        return pa.table(arrays)


@dataclass(kw_only=True)
class TileScorer:
    """Scores tiles of one run into a folder. Keeps the encodings of the last block of items, and of the first queries
    seen that fit: tiles come block after block, each with the same queries, so that these are met again."""

    scorer: Scorer
    folder: Folder
    fingerprint: str  # of the scores stage: a part of other work is not taken for one of this
    keep: str
    score_type: str  # of the scores kept; what is counted and ranked is always float32
    top_k: int
    cache_bytes: int  # of encoded queries that are kept
    queries: pa.Table  # all queries of the corpus
    read_items: Callable[[np.ndarray], pa.Table]  # ascending item rows -> those rows of the corpus items
    frozen: Frozen
    candidate_P2: np.ndarray | None = None  # sorted (query row, item row): only these pairs, or None for every pair
    listed_TP: np.ndarray | None = None  # bool: which candidates an output ranks, or None for all
    model: str = ""  # its name, for the footer: all rows of a part are of one model

    def __post_init__(self) -> None:
        self._items: tuple[tuple[int, int], pa.Table, Encoded] | None = None
        self._queries: dict[tuple[int, int], Encoded] = {}
        self._cached = 0  # bytes
        self._encode_s = 0.0  # of the tile at work

    def __call__(self, tile: Tile) -> Receipt:
        """The tile's receipt; scores it unless its part is already there, whole and of this run."""
        if (receipt := committed(self.folder, tile, self.fingerprint)) is not None:
            return receipt
        started, self._encode_s = time.perf_counter(), 0.0
        rows, item_row_I, items = self._dense(tile) if self.candidate_P2 is None else self._candidates(tile)
        return self._commit(tile, rows, item_row_I, items, started)

    def _dense(self, tile: Tile) -> tuple[list[Row], np.ndarray, pa.Table]:
        """Every query of the tile with every item; the item rows, and the items themselves."""
        table, items = self._encode_items(tile)
        score_TQI = np.require(self.scorer.score(self._encode_queries(tile), items), np.float32, "W")
        frozen = self.frozen.of(tile.query_start, tile.query_stop)
        here = (frozen.item_row_L >= tile.item_start) & (frozen.item_row_L < tile.item_stop)
        query_L, item_L = frozen.query_row_L[here] - tile.query_start, frozen.item_row_L[here] - tile.item_start
        score_TQI[:, query_L, item_L] = frozen.score_TL[:, here]  # so that rounding makes and breaks no tie
        item_row_I = np.arange(tile.item_start, tile.item_stop)
        rows = [
            Row(query_row=tile.query_start + q, item_row_I=item_row_I, score_TI=score_TQI[:, q])
            for q in range(score_TQI.shape[1])
        ]
        return rows, item_row_I, table

    def _candidates(self, tile: Tile) -> tuple[list[Row], np.ndarray, pa.Table]:
        """Every query of the tile with its candidates; only their items are encoded."""
        assert self.candidate_P2 is not None
        span = slice(*np.searchsorted(self.candidate_P2[:, 0], (tile.query_start, tile.query_stop)))
        pair_P2 = self.candidate_P2[span]
        item_row_I, at_P = np.unique(pair_P2[:, 1], return_inverse=True)
        table = self.read_items(item_row_I)
        local_P2 = np.stack([pair_P2[:, 0] - tile.query_start, at_P], axis=1)
        items = self._timed(self.scorer.encode_items, table)
        score_TP = np.array(self.scorer.score_pairs(self._encode_queries(tile), items, local_P2), np.float32)
        frozen = self.frozen.of(tile.query_start, tile.query_stop)
        stride = tile.item_stop
        key_P, key_L = pair_P2 @ (stride, 1), frozen.query_row_L * stride + frozen.item_row_L
        _, at_P, at_L = np.intersect1d(key_P, key_L, assume_unique=True, return_indices=True)
        score_TP[:, at_P] = frozen.score_TL[:, at_L]
        edges = np.searchsorted(pair_P2[:, 0], np.arange(tile.query_start, tile.query_stop + 1))
        rows = [
            Row(
                query_row=tile.query_start + q,
                item_row_I=pair_P2[a:b, 1],
                score_TI=score_TP[:, a:b],
                listed_TI=None if self.listed_TP is None else self.listed_TP[:, span][:, a:b],
            )
            for q, (a, b) in enumerate(itertools.pairwise(edges))
        ]
        return rows, item_row_I, table

    def _commit(self, tile: Tile, rows: list[Row], item_row_I: np.ndarray, items: pa.Table, started: float) -> Receipt:
        for row in rows:
            if not np.isfinite(row.score_TI).all():
                query = self.queries["query_id"][row.query_row].as_py()
                raise FloatingPointError(
                    f"tile {tile.index}: the model gave a score that is not finite for query {query!r}"
                )
        frozen = self.frozen.of(tile.query_start, tile.query_stop)
        counters = count(rows, frozen, self.scorer.outputs, self.top_k)
        table = self._kept(rows, item_row_I, items, frozen, counters.top)
        num_pairs = sum(len(r.item_row_I) for r in rows)
        names = {"fingerprint": self.fingerprint, "model": self.model}
        receipt = write_part(self.folder, tile, table, counters, num_pairs=num_pairs, **names)
        return replace(receipt, seconds=time.perf_counter() - started, encode_s=self._encode_s)

    def _kept(
        self, rows: list[Row], item_row_I: np.ndarray, items: pa.Table, frozen: Frozen, top: pa.Table
    ) -> pa.Table:
        """The rows the part keeps: sorted by query row, then item row, with original ids."""
        top_query_N, top_item_N = top["query_row"].to_numpy(), top["item_row"].to_numpy()
        kept = []
        for row in rows:
            if self.keep == "every":
                chosen = np.arange(len(row.item_row_I))
            elif self.keep == "top":
                span = slice(*np.searchsorted(top_query_N, (row.query_row, row.query_row + 1)))
                chosen = np.searchsorted(row.item_row_I, np.unique(top_item_N[span]))
            else:
                mine = frozen.of(row.query_row, row.query_row + 1)
                chosen = np.flatnonzero(np.isin(row.item_row_I, mine.item_row_L))
            kept.append((np.full(len(chosen), row.query_row), row.item_row_I[chosen], row.score_TI[:, chosen]))
        query_row_N = np.concatenate([k[0] for k in kept])
        item_row_N = np.concatenate([k[1] for k in kept])
        score_TN = np.concatenate([k[2] for k in kept], axis=1)
        if (highest := np.abs(score_TN).max(initial=0)) > np.finfo(self.score_type).max:
            raise OverflowError(f"a score of {highest:g} does not fit into {self.score_type}; use score_type=float32")
        arrays = [
            self.queries["query_id"].take(pa.array(query_row_N)),
            items["item_id"].take(pa.array(np.searchsorted(item_row_I, item_row_N))),
            *(pa.array(score_N.astype(self.score_type)) for score_N in score_TN),
        ]
        return pa.table(arrays, schema=scores_schema(self.scorer.outputs, self.score_type))

    def _encode_items(self, tile: Tile) -> tuple[pa.Table, Encoded]:
        span = (tile.item_start, tile.item_stop)
        if self._items is None or self._items[0] != span:
            self._items = None  # frees the old block before the new one is encoded
            table = self.read_items(np.arange(*span))
            self._items = (span, table, self._timed(self.scorer.encode_items, table))
        return self._items[1], self._items[2]

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
