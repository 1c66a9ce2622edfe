"""Ranking metrics of many queries at once, from one sort of packed integers: no row is moved twice.

A query here is whatever keeps its pairs apart: a query, or a query's items of one slice. Shapes: N rows, P pairs,
Q queries, L kinds of pairs (a gain, whether positive), X positive pairs. All counts are integers; what is not is
summed in the order (query, score downwards, gain upwards), so that the order of the rows makes no difference.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from recsys.metric.ranking import _expected_reciprocal


@dataclass(frozen=True, kw_only=True)
class PairSet:
    """Pairs of a query and an item, each once, in any order."""

    query_P: np.ndarray  # int64
    key_P: np.ndarray  # uint32, see `state_grid.order_key`
    kind_P: np.ndarray  # int64: index of (gain, positive)
    gain_L: np.ndarray  # float64, ascending
    positive_L: np.ndarray  # bool

    @classmethod
    def of(cls, query_P: np.ndarray, key_P: np.ndarray, gain_P: np.ndarray, positive_P: np.ndarray) -> "PairSet":
        """The pairs, their kinds numbered by ascending gain."""
        code_P = gain_P.astype(np.int64)
        if code_P.size and code_P.min() >= 0 and code_P.max() < 256 and (code_P == gain_P).all():
            code_P <<= 1  # few whole gains need no sorting
            code_P |= positive_P
            present = np.flatnonzero(np.bincount(code_P, minlength=512))
            number = np.zeros(512, np.int64)
            number[present] = np.arange(len(present))
            kinds = {"gain_L": (present // 2).astype(np.float64), "positive_L": present % 2 == 1}
            return cls(query_P=query_P, key_P=key_P, kind_P=number[code_P], **kinds)
        gain_V, value_P = np.unique(gain_P, return_inverse=True)
        code_C, kind_P = np.unique(value_P * 2 + positive_P, return_inverse=True)
        kinds = {"gain_L": gain_V[code_C // 2], "positive_L": code_C % 2 == 1}
        return cls(query_P=query_P, key_P=key_P, kind_P=kind_P, **kinds)

    def regrouped(self, query_P: np.ndarray) -> "PairSet":
        """The same pairs kept apart in another way."""
        return PairSet(
            query_P=query_P,
            key_P=self.key_P,
            kind_P=self.kind_P,
            gain_L=self.gain_L,
            positive_L=self.positive_L,
        )


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """What a query's ranking is worth. Arrays have length Q; a value that is not defined is 0, see the counts."""

    num_pairs: np.ndarray  # int64
    num_gain: np.ndarray  # int64: pairs that gain
    num_positive: np.ndarray  # int64
    ndcg: np.ndarray  # float64, of the first k; ties averaged
    ndcg_random: np.ndarray  # what a random order gets in expectation
    mrr: np.ndarray
    mrr_random: np.ndarray
    recall: np.ndarray
    recall_random: np.ndarray
    precision: np.ndarray
    hit_rate: np.ndarray
    map: np.ndarray  # average precision in expectation over random order of ties
    auc_lost: np.ndarray  # int64: (positive, negative) pairs in wrong order, in halves


def rank(pairs: PairSet, num_queries: int, k: int) -> Ranked:
    """The ranking metrics of all queries: definitions as in `ranking`, ties in expectation over random order."""
    query_P, key_P, kind_P = _sorted(pairs)
    num_kinds = len(pairs.gain_L)
    count_QL = np.bincount(query_P * num_kinds + kind_P, minlength=num_queries * num_kinds)
    count_QL = count_QL.reshape(num_queries, num_kinds)
    num_Q = count_QL.sum(axis=1)
    num_positive_Q, num_gain_Q = count_QL[:, pairs.positive_L].sum(axis=1), count_QL[:, pairs.gain_L > 0].sum(axis=1)
    start_Q = np.cumsum(num_Q) - num_Q
    discount = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    ideal_Q = _ideal(count_QL, pairs.gain_L, discount)
    all_Q = discount[np.minimum(num_Q, k)] * (count_QL * pairs.gain_L).sum(axis=1)

    counts_L = (pairs.gain_L > 0) | pairs.positive_L
    only_first = not counts_L[:1].any() and bool(counts_L[1:].all())  # as mostly: all but those that gain nothing
    row_X = np.flatnonzero(kind_P if only_first else counts_L[kind_P])
    above_X, tied_X = _places(query_P, key_P, start_Q, row_X)
    query_X, kind_X = query_P[row_X], kind_P[row_X]
    near = above_X < k
    share = discount[np.minimum(above_X[near] + tied_X[near], k)] - discount[above_X[near]]
    dcg_Q = np.bincount(query_X[near], pairs.gain_L[kind_X[near]] * share / tied_X[near], num_queries)
    if not pairs.positive_L[counts_L].all():
        kept = pairs.positive_L[kind_X]
        query_X, above_X, tied_X = query_X[kept], above_X[kept], tied_X[kept]
    found_Q = np.bincount(query_X, np.clip((k - above_X) / tied_X, 0.0, 1.0), num_queries)
    first_Q = np.cumsum(num_positive_Q) - num_positive_Q
    ahead_X, equal_X = _positive_places(query_X, above_X, first_Q)
    lost_X = 2 * (above_X - ahead_X) + (tied_X - equal_X)
    lost_Q = np.diff(np.r_[0, np.cumsum(lost_X)][np.r_[first_Q, len(lost_X)]])
    has_Q = num_positive_Q > 0
    return Ranked(
        num_pairs=num_Q,
        num_gain=num_gain_Q,
        num_positive=num_positive_Q,
        ndcg=_over(dcg_Q, ideal_Q),
        ndcg_random=_over(_over(all_Q, num_Q), ideal_Q),
        mrr=_first_rank(above_X, tied_X, equal_X, first_Q, has_Q),
        mrr_random=_reciprocal(np.zeros(has_Q.sum(), np.int64), num_Q[has_Q], num_positive_Q[has_Q], has_Q),
        recall=_over(found_Q, num_positive_Q),
        precision=found_Q / k,
        hit_rate=_hit(above_X, tied_X, equal_X, first_Q, has_Q, k),
        recall_random=np.where(has_Q, np.minimum(_over(np.full(num_queries, float(k)), num_Q), 1.0), 0.0),
        map=_over(
            np.bincount(query_X, _precision(above_X, tied_X, ahead_X, equal_X), num_queries),
            num_positive_Q,
        ),
        auc_lost=lost_Q,
    )


def weighted_auc(
    query_N: np.ndarray, key_N: np.ndarray, positive_N: np.ndarray, unit_N: np.ndarray, num_queries: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(auc_Q, positive_Q, total_Q) of weighted rows; weights are int64 units, which add exactly. 0 with one class."""
    order = _argsort(query_N, key_N)
    query_N, key_N, unit_N = query_N[order], key_N[order], unit_N[order]
    positive_unit_N = np.where(positive_N[order], unit_N, 0)
    new_N = np.ones(len(order), bool)
    new_N[1:] = (query_N[1:] != query_N[:-1]) | (key_N[1:] != key_N[:-1])
    start_G = np.flatnonzero(new_N)
    query_G = query_N[start_G]
    positive_G, total_G = (_sums(unit, start_G) for unit in (positive_unit_N, unit_N))
    negative_G = total_G - positive_G
    edge_Q = np.searchsorted(query_G, np.arange(num_queries + 1))
    positive_Q, total_Q = (_between(sum_G, edge_Q) for sum_G in (positive_G, total_G))
    reach_G = np.cumsum(negative_G)
    above_G = reach_G - negative_G - np.r_[0, reach_G][edge_Q[query_G]]  # keys ascend: these lie below
    won_Q = np.bincount(query_G, positive_G * (above_G + negative_G / 2), num_queries)
    return _over(won_Q, positive_Q.astype(np.float64) * (total_Q - positive_Q)), positive_Q, total_Q


def _sums(value_N: np.ndarray, start_G: np.ndarray) -> np.ndarray:
    return np.add.reduceat(value_N, start_G) if len(start_G) else np.zeros(0, np.int64)


def _between(value_G: np.ndarray, edge_Q: np.ndarray) -> np.ndarray:
    return np.diff(np.r_[0, np.cumsum(value_G)][edge_Q])


def _bits(largest: int) -> int:
    return max(int(largest).bit_length(), 1)


def _sorted(pairs: PairSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(query_P, inverted key_P, kind_P) in the order (query, score downwards, gain upwards)."""
    down_P = ~pairs.key_P
    low = _bits(len(pairs.gain_L) - 1)
    if _bits(pairs.query_P.max(initial=0)) + 32 + low > 64:
        order = np.lexsort((pairs.kind_P, down_P, pairs.query_P))
        return pairs.query_P[order], down_P[order], pairs.kind_P[order]
    packed_P = pairs.query_P.astype(np.uint64)
    packed_P <<= np.uint64(32)
    packed_P |= down_P
    packed_P <<= np.uint64(low)
    packed_P |= pairs.kind_P.astype(np.int64, copy=False).view(np.uint64)
    packed_P.sort()
    kind_P = (packed_P & np.uint64((1 << low) - 1)).view(np.int64)
    packed_P >>= np.uint64(low)
    return (packed_P >> np.uint64(32)).view(np.int64), packed_P.astype(np.uint32), kind_P


def _argsort(query_N: np.ndarray, key_N: np.ndarray) -> np.ndarray:
    return np.argsort((query_N.astype(np.uint64) << np.uint64(32)) | key_N)


def _places(
    query_P: np.ndarray, key_P: np.ndarray, start_Q: np.ndarray, row_X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(above_X, tied_X) of some rows among the sorted pairs of their query."""
    new_P = np.ones(len(key_P), bool)
    new_P[1:] = key_P[1:] != key_P[:-1]
    new_P[start_Q[start_Q < len(key_P)]] = True  # a query without pairs shares its start with the next
    start_G = np.flatnonzero(new_P)
    if len(start_G) == len(key_P):
        return row_X - start_Q[query_P[row_X]], np.ones(len(row_X), np.int64)
    group_X = np.cumsum(new_P)[row_X] - 1
    tied_G = np.diff(np.r_[start_G, len(key_P)])
    return start_G[group_X] - start_Q[query_P[row_X]], tied_G[group_X]


def _positive_places(query_X: np.ndarray, above_X: np.ndarray, first_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(positives strictly ahead, positives tied) of each positive, which come by query and place."""
    new_X = np.ones(len(above_X), bool)
    new_X[1:] = (above_X[1:] != above_X[:-1]) | (query_X[1:] != query_X[:-1])
    start_G = np.flatnonzero(new_X)
    group_X = np.cumsum(new_X) - 1
    equal_G = np.diff(np.r_[start_G, len(above_X)])
    return start_G[group_X] - first_Q[query_X], equal_G[group_X]


def _ideal(count_QL: np.ndarray, gain_L: np.ndarray, discount: np.ndarray) -> np.ndarray:
    """The best DCG: the highest gains first."""
    count_QL, gain_L = count_QL[:, ::-1], gain_L[::-1]
    place_QL = np.minimum(np.cumsum(count_QL, axis=1), len(discount) - 1)
    share_QL = np.diff(discount[place_QL], axis=1, prepend=0.0)
    return (share_QL * gain_L).sum(axis=1)


def _precision(above_X: np.ndarray, tied_X: np.ndarray, ahead_X: np.ndarray, equal_X: np.ndarray) -> np.ndarray:
    """Expected precision at a positive that is one of m in a tied group of t, a pairs and p positives ahead of it.

    The mean over j = 1 .. t of (p + 1 + (j - 1) c) / (a + j), c = (m - 1) / (t - 1): c + (p + 1 - c (a + 1)) *
    (H(a + t) - H(a)) / t.
    """
    precise_X = (ahead_X + 1) / (above_X + 1)
    many = np.flatnonzero(tied_X > 1)
    if len(many):
        above, tied = above_X[many], tied_X[many]
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, (above + tied).max() + 1))])
        slope = (equal_X[many] - 1) / (tied - 1)
        spread = (harmonic[above + tied] - harmonic[above]) / tied
        precise_X[many] = slope + (ahead_X[many] + 1 - slope * (above + 1)) * spread
    return precise_X


def _first_rank(
    above_X: np.ndarray, tied_X: np.ndarray, equal_X: np.ndarray, first_Q: np.ndarray, has_Q: np.ndarray
) -> np.ndarray:
    first = first_Q[has_Q]
    return _reciprocal(above_X[first], tied_X[first], equal_X[first], has_Q)


def _hit(
    above_X: np.ndarray, tied_X: np.ndarray, equal_X: np.ndarray, first_Q: np.ndarray, has_Q: np.ndarray, k: int
) -> np.ndarray:
    """Chance that a positive of the best group with one is among the first k: 1 - that all its places there go to
    others, (t - m - j) / (t - j) for j = 0 ... (hypergeometric)."""
    first = first_Q[has_Q]
    above_H, tied_H, positive_H = above_X[first], tied_X[first], equal_X[first]
    places_H = np.clip(k - above_H, 0, tied_H)
    missed_H = np.where(places_H > 0, (tied_H - positive_H) / tied_H, 1.0)
    for place in range(1, int(places_H.max(initial=0))):
        here = np.flatnonzero(places_H > place)
        missed_H[here] *= np.maximum(tied_H[here] - positive_H[here] - place, 0) / (tied_H[here] - place)
    value_Q = np.zeros(len(has_Q))
    value_Q[has_Q] = 1 - missed_H
    return value_Q


def _reciprocal(above_H: np.ndarray, tied_H: np.ndarray, positive_H: np.ndarray, has_Q: np.ndarray) -> np.ndarray:
    """Expected 1 / rank of the first positive of each query that has one."""
    value_H = 1 / (above_H + 1)
    many = np.flatnonzero(tied_H > 1)
    if len(many):
        shape = [int(part_H[many].max()) + 1 for part_H in (above_H, tied_H, positive_H)]
        packed = np.ravel_multi_index((above_H[many], tied_H[many], positive_H[many]), shape)
        packed_C, case = np.unique(packed, return_inverse=True)
        cases = zip(*(part_C.tolist() for part_C in np.unravel_index(packed_C, shape)), strict=True)
        value_H[many] = np.array([_expected(*c) for c in cases])[case]
    value_Q = np.zeros(len(has_Q))
    value_Q[has_Q] = value_H
    return value_Q


_expected = lru_cache(maxsize=1 << 16)(_expected_reciprocal)


def _over(numerator_Q: np.ndarray, denominator_Q: np.ndarray) -> np.ndarray:
    return np.divide(numerator_Q, denominator_Q, out=np.zeros(len(denominator_Q)), where=denominator_Q > 0)
