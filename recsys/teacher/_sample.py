"""Which pairs of the grid are taught: as many of every query, some from its best-scored items, the others from all.

Shapes: Q train queries, N hard pairs on offer, P pairs drawn.
"""

import numpy as np
import pyarrow as pa

from recsys import grid
from recsys import seed as seeds


def sample_pairs(
    queries: pa.Table, items: pa.Table, hard_N2: np.ndarray, *, num_pairs: int, hard_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """pair_P2, sorted unique (query row, item row) of train queries with items of their market, and hard_P, bool.

    Each query has the same number of pairs, to within one, whatever its frequency; all its items where there are fewer.
    Of these, `hard_fraction` are drawn from `hard_N2` (sorted, unique), where that offers so many, and the others
    uniformly from the rest of the market. A query's draw depends on the seed, its id and its number of pairs alone.
    Raises ValueError if there are fewer pairs than train queries.
    """
    row_Q, start_Q, stop_Q = _train_queries(queries, items)
    if num_pairs < len(row_Q):
        raise ValueError(
            f"teacher.pairs={num_pairs} is fewer than the {len(row_Q)} train queries; use at least one for each"
        )
    number_Q = np.full(len(row_Q), num_pairs // max(1, len(row_Q)))
    order_Q = np.random.default_rng(seeds.seed(seed, "model", "teacher")).permutation(len(row_Q))
    number_Q[order_Q[: num_pairs - number_Q.sum()]] += 1
    offer_Q = np.searchsorted(hard_N2[:, 0], row_Q), np.searchsorted(hard_N2[:, 0], row_Q, side="right")
    id_Q = queries["query_id"].take(pa.array(row_Q)).to_pylist()
    drawn, hard = [], []
    for q, row in enumerate(row_Q):
        chance = np.random.default_rng(seeds.seed(seed, "model", f"teacher-{id_Q[q]}"))
        size = stop_Q[q] - start_Q[q]
        number = min(number_Q[q], size)
        offer = hard_N2[offer_Q[0][q] : offer_Q[1][q], 1]
        best = chance.permutation(offer)[: int(hard_fraction * number + 0.5)]
        others = start_Q[q] + chance.choice(size, number, replace=False)
        others = others[~np.isin(others, best)][: number - len(best)]
        item_row = np.concatenate([best, others])
        order = np.argsort(item_row)
        drawn.append(np.stack([np.full(number, row), item_row], axis=1)[order])
        hard.append((np.arange(number) < len(best))[order])
    return np.concatenate(drawn), np.concatenate(hard)


def _train_queries(queries: pa.Table, items: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the train queries that have items in their market, ascending, and the span of these items.

    Raises ValueError if there are none.
    """
    start, stop = np.zeros(len(queries), np.int64), np.zeros(len(queries), np.int64)
    for m in grid.markets(queries["locale"].to_pylist(), items["locale"].to_pylist()):
        start[m.query_start : m.query_stop], stop[m.query_start : m.query_stop] = m.item_start, m.item_stop
    in_train = np.array([split == "train" for split in queries["split"].to_pylist()], bool)
    row_Q = np.flatnonzero(in_train & (start < stop))
    if not len(row_Q):
        raise ValueError("no train query has an item of its locale, so there is nothing to teach; raise split.train")
    return row_Q, start[row_Q], stop[row_Q]
