"""From labelled rows to ranked pairs: one entry per query and item, with its place among its competitors.

Shapes: N rows, P pairs. Pairs come by query, best first, and equal places by ascending gain, so that sums over them are
the same bits whatever the order of the rows or the numbering of the items.
"""

from dataclasses import dataclass, replace

import numpy as np

from recsys.metric._sample import Sample


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs with a place. A tied group fills the places above + 1 ... above + tied in random order."""

    num_queries: int
    query_P: np.ndarray  # int64, ascending
    item_P: np.ndarray  # int64 code of the item
    above_P: np.ndarray  # int64, competitors with a strictly higher score
    tied_P: np.ndarray  # int64, competitors with the same score, itself included
    total_P: np.ndarray  # int64, competitors of the query, itself included
    gain_P: np.ndarray  # float64
    positive_P: np.ndarray  # bool

    def sum_by_query(self, value_P: np.ndarray) -> np.ndarray:
        """sum_Q of a value per pair."""
        return np.bincount(self.query_P, weights=value_P, minlength=self.num_queries)

    def untied(self, worth_P: np.ndarray) -> "Pairs":
        """The same pairs, tied ones in descending order of worth: the first of a group takes its first place."""
        order = np.lexsort((-worth_P, self.above_P, self.query_P))
        query_P, above_P = self.query_P[order], self.above_P[order]
        new_P = np.ones(len(order), bool)
        new_P[1:] = (query_P[1:] != query_P[:-1]) | (above_P[1:] != above_P[:-1])
        first_P = np.flatnonzero(new_P)[np.cumsum(new_P) - 1]
        return replace(
            self,
            item_P=self.item_P[order],
            above_P=above_P + np.arange(len(order)) - first_P,
            tied_P=np.ones(len(order), np.int64),
            gain_P=self.gain_P[order],
            positive_P=self.positive_P[order],
        )


def judged(sample: Sample) -> Pairs:
    """Every judged pair among the judged pairs of its query."""
    query_P, row_P, gain_P, positive_P = _merge(sample)
    score_P = sample.score_N[row_P]
    order = np.lexsort((gain_P, -score_P, query_P))
    query_P, score_P = query_P[order], score_P[order]
    above_P, tied_P = places(query_P, score_P)
    return Pairs(
        num_queries=sample.num_queries,
        query_P=query_P,
        item_P=sample.item_N[row_P[order]],
        above_P=above_P,
        tied_P=tied_P,
        total_P=np.bincount(query_P, minlength=sample.num_queries)[query_P],
        gain_P=gain_P[order],
        positive_P=positive_P[order],
    )


def catalogue(sample: Sample) -> Pairs:
    """Every judged pair among all scored items of its query. Raises ValueError where only judged pairs were scored."""
    if sample.above_N is None or sample.tied_N is None or sample.total_N is None:
        raise ValueError(
            "the sample has no places in the whole catalogue (above_N, tied_N, total_N); score every pair, "
            "or use the metric of the judged pool"
        )
    query_P, row_P, gain_P, positive_P = _merge(sample)
    order = np.lexsort((gain_P, sample.above_N[row_P], query_P))
    row_P = row_P[order]
    return Pairs(
        num_queries=sample.num_queries,
        query_P=query_P[order],
        item_P=sample.item_N[row_P],
        above_P=sample.above_N[row_P],
        tied_P=sample.tied_N[row_P],
        total_P=sample.total_N[row_P],
        gain_P=gain_P[order],
        positive_P=positive_P[order],
    )


def places(query_P: np.ndarray, key_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(above_P, tied_P) among the given pairs, which come by query and then best first; equal keys are tied."""
    if not len(query_P):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    new_query_P = np.r_[True, query_P[1:] != query_P[:-1]]
    new_group_P = new_query_P | np.r_[True, key_P[1:] != key_P[:-1]]
    group_P = np.cumsum(new_group_P) - 1
    start_G = np.flatnonzero(new_group_P)
    start_query_P = np.flatnonzero(new_query_P)[np.cumsum(new_query_P) - 1]
    tied_G = np.diff(np.r_[start_G, len(query_P)])
    return start_G[group_P] - start_query_P, tied_G[group_P]


def _merge(sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(query_P, one row of each pair, weighted mean gain_P, positive_P if any row is); weight 0 is no row."""
    row_N = np.flatnonzero(sample.weight_N > 0)
    query_N, item_N = sample.query_N[row_N], sample.item_N[row_N]
    gain_N, weight_N = sample.gain_N[row_N], sample.weight_N[row_N]
    order = np.lexsort((weight_N, gain_N, item_N, query_N))
    query_N, item_N, gain_N, weight_N = query_N[order], item_N[order], gain_N[order], weight_N[order]
    new_N = np.ones(len(order), bool)
    new_N[1:] = (query_N[1:] != query_N[:-1]) | (item_N[1:] != item_N[:-1])
    pair_N = np.cumsum(new_N) - 1
    positive_P = np.bincount(pair_N, weights=sample.positive_N[row_N][order]) > 0
    gain_P = np.bincount(pair_N, weights=weight_N * gain_N) / np.bincount(pair_N, weights=weight_N)
    return query_N[new_N], row_N[order][new_N], gain_P, positive_P
