"""A scorer that looks scores up, and what is counted of its tiles."""

from typing import Any

import numpy as np
import pyarrow as pa

from recsys import grid, merge, part
from recsys.scorer import Scorer
from recsys.store import Folder
from recsys.tile import Frozen, TileScorer

OUTPUTS = ("relevance", "click")


class Table(Scorer):
    """Looks scores up: the row numbers are the ids."""

    outputs = OUTPUTS

    def __init__(self, score_TQI: np.ndarray) -> None:
        self.score_TQI = score_TQI
        self.num_item_encodings = 0
        self.num_query_encodings = 0

    def encode_queries(self, table) -> Any:
        self.num_query_encodings += 1
        return np.array([int(i[1:]) for i in table["query_id"].to_pylist()])

    def encode_items(self, table) -> list[int]:
        self.num_item_encodings += 1
        return [int(i[1:]) for i in table["item_id"].to_pylist()]

    def score(self, queries: Any, items: Any) -> np.ndarray:
        return self.score_TQI[:, queries][:, :, items]

    def score_pairs(self, queries: Any, items: Any, pair_P2: np.ndarray) -> np.ndarray:
        return self.score_TQI[:, np.array(queries)[pair_P2[:, 0]], np.array(items)[pair_P2[:, 1]]]


def ids(prefix: str, number: int) -> pa.Table:
    return pa.table({f"{prefix}_id": [f"{prefix[0]}{i:04d}" for i in range(number)]})


def world(seed: int, num_queries: int, num_items: int, num_labelled: int):
    """Scores with many ties, and frozen values for some pairs that differ from what the tile computes."""
    rng = np.random.default_rng(seed)
    score_TQI = rng.integers(-3, 4, (2, num_queries, num_items)).astype(np.float32) / 2
    cells = np.sort(rng.choice(num_queries * num_items, min(num_labelled, num_queries * num_items), replace=False))
    query_row_L, item_row_L = np.divmod(cells, num_items)
    frozen = Frozen(
        query_row_L=query_row_L,
        item_row_L=item_row_L,
        score_TL=score_TQI[:, query_row_L, item_row_L]
        + np.float32(0.25) * rng.integers(-1, 2, (2, len(cells))).astype("f4"),
        group_L=item_row_L,
    )
    truth_TQI = score_TQI.copy()
    truth_TQI[:, query_row_L, item_row_L] = frozen.score_TL
    return score_TQI, truth_TQI, frozen


def scorer(
    folder: Folder,
    score_TQI,
    frozen,
    *,
    keep="every",
    score_type="float32",
    top_k=3,
    cache_bytes=10**6,
    text_I=None,
    **more: Any,
) -> TileScorer:
    items = ids("item", score_TQI.shape[2])
    items = items.append_column("text", items["item_id"] if text_I is None else pa.chunked_array([text_I]))
    return TileScorer(
        scorer=Table(score_TQI),
        folder=folder,
        fingerprint="f" * 32,
        keep=keep,
        score_type=score_type,
        top_k=top_k,
        cache_bytes=cache_bytes,
        queries=ids("query", score_TQI.shape[1]),
        read_items=lambda rows: items.take(pa.array(rows)),
        frozen=frozen,
        **more,
    )


def totals(folder: Folder, frozen: Frozen, tiles, num_queries: int, num_items: int, candidate_P2=None, top_k=3):
    merged = merge.merge((part.read_counters(folder, t) for t in tiles), top_k)
    query_ids, item_ids = ids("query", num_queries)["query_id"], ids("item", num_items)["item_id"]
    asked = merge.Grid([grid.Market(0, num_queries, 0, num_items)], candidate_P2, num_items)
    order = [("query_row", "ascending"), ("output", "ascending"), ("bin", "ascending")]
    ranks = merged.ranks(labelled(frozen), query_ids, item_ids, asked)
    return merged.histogram.sort_by(order), ranks, merged.top(query_ids, item_ids, "table")


def labelled(frozen: Frozen) -> np.ndarray:
    return np.stack([frozen.query_row_L, frozen.item_row_L], axis=1)
