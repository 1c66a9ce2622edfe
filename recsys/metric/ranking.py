"""How well scores order items: AUC, GAUC, nDCG, MRR, MAP, recall, precision, hit rate.

Ties count in expectation over random order, except where nDCG is asked for another rule.

Two pools. The judged pool ranks the labelled pairs of a query among themselves: a random ranker already scores high on
it, so show `sample.random()` beside it. The catalogue ranks them among all scored items; unjudged ones gain 0 and are
not positive. Shapes: N rows, P pairs (in `auc`: positive rows), M negative rows, Q queries,
R weightings.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import digamma

from recsys.metric import _pairs
from recsys.metric._pairs import Pairs
from recsys.metric._query_mean import QueryMean, by_observations, by_positives, equally
from recsys.metric._sample import Sample

FEW = 64  # tied items: sums over so few places are added one by one, which is more exact than a closed form


def auc(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    """Probability that a positive row scores above a negative one, of any query; ties count 1/2 (Mann-Whitney).

    Rows count as often as they were observed. NaN without both classes. Sorted once; each replicate is a cumulative
    sum.
    """
    negative, positive = _sorted_rows(sample, ~sample.positive_N), _sorted_rows(sample, sample.positive_N)
    low_P = np.searchsorted(sample.score_N[negative], sample.score_N[positive], "left")
    high_P = np.searchsorted(sample.score_N[negative], sample.score_N[positive], "right")
    tied = not np.array_equal(low_P, high_P)
    query_M, weight_M = sample.query_N[negative], sample.weight_N[negative]
    query_P, weight_P = sample.query_N[positive], sample.weight_N[positive]
    drawn_M, drawn_P, lower_P, upper_P = np.empty(len(negative)), *np.empty((3, len(positive)))
    below = np.zeros(len(negative) + 1)
    value_R = np.full(weight_QR.shape[1], np.nan)
    for replicate in range(len(value_R)):
        weight_Q = np.ascontiguousarray(weight_QR[:, replicate])
        drawn_M = _draw(weight_Q, query_M, weight_M, out=drawn_M)
        drawn_P = _draw(weight_Q, query_P, weight_P, out=drawn_P)
        np.cumsum(drawn_M, out=below[1:])
        np.take(below, low_P, out=lower_P, mode="clip")
        np.add(lower_P, np.take(below, high_P, out=upper_P, mode="clip") if tied else lower_P, out=lower_P)
        if (total := drawn_P.sum() * below[-1]) > 0:
            value_R[replicate] = np.multiply(drawn_P, lower_P, out=lower_P).sum() / (2 * total)
    return value_R


def _draw(weight_Q: np.ndarray, query_N: np.ndarray, weight_N: np.ndarray, *, out: np.ndarray) -> np.ndarray:
    return np.multiply(np.take(weight_Q, query_N, out=out, mode="clip"), weight_N, out=out)


def _sorted_rows(sample: Sample, mask_N: np.ndarray) -> np.ndarray:
    row_P = np.flatnonzero(mask_N)
    return row_P[np.lexsort((sample.weight_N[row_P], sample.query_N[row_P], sample.score_N[row_P]))]


def _auc_of_query(sample: Sample) -> np.ndarray:
    """auc_Q over the rows of one query; NaN without both classes."""
    num = sample.num_queries
    order = np.lexsort((sample.weight_N, sample.positive_N, -sample.score_N, sample.query_N))
    query_N, weight_N, positive_N = sample.query_N[order], sample.weight_N[order], sample.positive_N[order]
    above_N, _ = _pairs.places(query_N, sample.score_N[order])
    new_N = np.ones(len(order), bool)
    new_N[1:] = (query_N[1:] != query_N[:-1]) | (above_N[1:] != above_N[:-1])
    group_N = np.cumsum(new_N) - 1
    query_G = query_N[new_N]
    positive_G = np.bincount(group_N, weights=weight_N * positive_N)
    negative_G = np.bincount(group_N, weights=weight_N * ~positive_N)
    positive_Q = np.bincount(query_G, weights=positive_G, minlength=num)
    negative_Q = np.bincount(query_G, weights=negative_G, minlength=num)
    before_Q = np.cumsum(negative_Q) - negative_Q
    above_G = np.cumsum(negative_G) - negative_G - before_Q[query_G]
    lost_Q = np.bincount(query_G, weights=positive_G * (above_G + negative_G / 2), minlength=num)
    return _ratio(positive_Q * negative_Q - lost_Q, positive_Q * negative_Q)


gauc = QueryMean(value=_auc_of_query, mass=by_observations)
"""AUC of each query, averaged by impressions, its total weight (Zhou et al., 2018); a query of one class has none."""


gauc_by_positives = QueryMean(value=_auc_of_query, mass=by_positives)
"""AUC of each query, averaged by its number of positives, as RecBole does."""

gauc_unweighted = QueryMean(value=_auc_of_query, mass=equally)
"""AUC of each query, plain mean over the queries with both classes."""


def ndcg(k: int, ties: str = "averaged") -> QueryMean:
    """nDCG@k over the judged pool: discount 1 / log2(1 + rank), gains as the target defines them.

    Tied items: 'averaged' over random order (McSherry & Najork, 2008); 'id', the greater item id first, as trec_eval
    breaks them; 'best', the greater gain first, an upper bound. A query in which nothing gains has no value.
    """
    order = _order(ties, ("averaged", "id", "best"))
    return QueryMean(value=lambda sample: _ndcg(order(_pairs.judged(sample)), _cutoff(k)), mass=equally)


def ndcg_catalogue(k: int, ties: str = "averaged") -> QueryMean:
    """nDCG@k over all scored items: unjudged items gain 0; otherwise as `ndcg`. Which unjudged items are tied with a
    judged one is not known, so ties are 'averaged' or 'best'."""
    order = _order(ties, ("averaged", "best"))
    return QueryMean(value=lambda sample: _ndcg(order(_pairs.catalogue(sample)), _cutoff(k)), mass=equally)


def recall(k: int) -> QueryMean:
    """Share of a query's positive pairs among its first k judged ones."""
    return QueryMean(value=lambda sample: _recall(_pairs.judged(sample), _cutoff(k)), mass=equally)


def recall_catalogue(k: int) -> QueryMean:
    """Share of a query's positive pairs among its first k of all scored items."""
    return QueryMean(value=lambda sample: _recall(_pairs.catalogue(sample), _cutoff(k)), mass=equally)


def precision(k: int) -> QueryMean:
    """Share of the first k places that hold a positive pair; places beyond the last judged pair hold none."""
    return QueryMean(value=lambda sample: _precision(_pairs.judged(sample), _cutoff(k)), mass=equally)


def precision_catalogue(k: int) -> QueryMean:
    """Share of the first k of all scored items known to be positive; a query without a labelled pair has none."""
    return QueryMean(value=lambda sample: _precision(_pairs.catalogue(sample), _cutoff(k)), mass=equally)


def hit_rate(k: int) -> QueryMean:
    """Chance of a positive pair among the first k judged ones; a query without a positive has none."""
    return QueryMean(value=lambda sample: _hit(_pairs.judged(sample), _cutoff(k)), mass=equally)


def hit_rate_catalogue(k: int) -> QueryMean:
    """Chance of a positive pair among the first k of all scored items."""
    return QueryMean(value=lambda sample: _hit(_pairs.catalogue(sample), _cutoff(k)), mass=equally)


mrr = QueryMean(value=lambda sample: _reciprocal_rank(_pairs.judged(sample)), mass=equally)
"""Expected 1 / rank of a query's first positive pair among the judged ones; a query without a positive has none."""

mrr_catalogue = QueryMean(value=lambda sample: _reciprocal_rank(_pairs.catalogue(sample)), mass=equally)
"""Expected 1 / rank of a query's first positive pair among all scored items; unjudged items are not positive."""

mean_average_precision = QueryMean(value=lambda sample: _average_precision(_pairs.judged(sample)), mass=equally)
"""MAP: mean over a query's positive pairs of the precision at their ranks; a query without a positive has none."""

mean_average_precision_catalogue = QueryMean(
    value=lambda sample: _average_precision(_pairs.catalogue(sample)), mass=equally
)
"""MAP over all scored items; unjudged items are not positive."""

auc_catalogue = QueryMean(value=lambda sample: _auc_of_catalogue(_pairs.catalogue(sample)), mass=equally)
"""Probability that a positive stands above an item of the catalogue that is not known to be positive; ties count 1/2.

Per query exact from the places of its positives, which are taken out of each other's way; then averaged over queries.
"""


def _order(ties: str, known: tuple[str, ...]) -> Callable[[Pairs], Pairs]:
    if ties not in known:
        raise ValueError(f"ties={ties!r} is unknown here; use {', '.join(known)}")
    if ties == "averaged":
        return lambda pairs: pairs
    return lambda pairs: pairs.untied(pairs.item_P if ties == "id" else pairs.gain_P)


def _cutoff(k: int) -> int:
    if k < 1:
        raise ValueError(f"k={k} must be at least 1: it is the number of places that are looked at")
    return k


def _ndcg(pairs: Pairs, k: int) -> np.ndarray:
    last_P = pairs.above_P + pairs.tied_P
    depth = min(k, int(last_P.max(initial=0)))
    discount = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, depth + 2)))])
    share_P = (discount[np.minimum(last_P, depth)] - discount[np.minimum(pairs.above_P, depth)]) / pairs.tied_P
    best = np.lexsort((-pairs.gain_P, pairs.query_P))
    first_P = np.searchsorted(pairs.query_P, pairs.query_P, "left")
    place_P = np.minimum(np.arange(len(best)) - first_P, depth)
    ideal_P = pairs.gain_P[best] * (discount[np.minimum(place_P + 1, depth)] - discount[place_P])
    return _ratio(pairs.sum_by_query(pairs.gain_P * share_P), pairs.sum_by_query(ideal_P))


def _recall(pairs: Pairs, k: int) -> np.ndarray:
    found_P = np.clip((k - pairs.above_P) / pairs.tied_P, 0.0, 1.0)
    return _ratio(pairs.sum_by_query(found_P * pairs.positive_P), pairs.sum_by_query(pairs.positive_P))


def _precision(pairs: Pairs, k: int) -> np.ndarray:
    found_P = np.clip((k - pairs.above_P) / pairs.tied_P, 0.0, 1.0)
    labelled_Q = np.bincount(pairs.query_P, minlength=pairs.num_queries) > 0
    return np.where(labelled_Q, pairs.sum_by_query(found_P * pairs.positive_P) / k, np.nan)


def _hit(pairs: Pairs, k: int) -> np.ndarray:
    """1 - chance that no positive of the best tied group that has one takes a place before k (hypergeometric)."""
    query_Q, above_Q, tied_Q, positive_Q = _first_positives(pairs)
    places_Q = np.clip(k - above_Q, 0, tied_Q)
    missed_Q = np.ones(len(query_Q))
    for place in range(int(places_Q.max(initial=0))):
        other_Q = np.maximum(tied_Q - positive_Q - place, 0)
        missed_Q *= np.where(place < places_Q, other_Q / np.maximum(tied_Q - place, 1), 1.0)
    value_Q = np.full(pairs.num_queries, np.nan)
    value_Q[query_Q] = 1 - missed_Q
    return value_Q


def _average_precision(pairs: Pairs) -> np.ndarray:
    """The positive at place j of its tied group has, in expectation, (j - 1) (m - 1) / (t - 1) others of the group's m
    positives before it (McSherry & Najork, 2008)."""
    positive = np.flatnonzero(pairs.positive_P)
    query_P, above_P, tied_P = pairs.query_P[positive], pairs.above_P[positive], pairs.tied_P[positive]
    before_P, among_P = _pairs.places(query_P, above_P)
    step_P = (among_P - 1) / np.maximum(tied_P - 1, 1)
    total_P = step_P * tied_P + (before_P + 1 - step_P * (1 + above_P)) * (
        digamma(above_P + tied_P + 1) - digamma(above_P + 1)
    )
    few = tied_P <= FEW
    total_P[few] = 0.0
    for place in range(1, int(tied_P[few].max(initial=0)) + 1):
        here = np.flatnonzero(few & (tied_P >= place))
        total_P[here] += (before_P[here] + 1 + step_P[here] * (place - 1)) / (above_P[here] + place)
    count_Q = np.bincount(query_P, minlength=pairs.num_queries)
    return _ratio(np.bincount(query_P, weights=total_P / tied_P, minlength=pairs.num_queries), count_Q)


def _first_positives(pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(query_Q, above_Q, tied_Q, positive_Q) of the best tied group with a positive, of each query that has one."""
    positive = np.flatnonzero(pairs.positive_P)
    query_P, above_P, tied_P = pairs.query_P[positive], pairs.above_P[positive], pairs.tied_P[positive]
    _, positive_P = _pairs.places(query_P, above_P)
    query_Q, first_Q = np.unique(query_P, return_index=True)
    return query_Q, above_P[first_Q], tied_P[first_Q], positive_P[first_Q]


def _reciprocal_rank(pairs: Pairs) -> np.ndarray:
    query_Q, above_Q, tied_Q, positive_Q = _first_positives(pairs)
    cases = np.stack([above_Q, tied_Q, positive_Q], axis=1)
    case_C3, case_Q = np.unique(cases, axis=0, return_inverse=True)
    value_C = np.array([_expected_reciprocal(*case) for case in case_C3.tolist()])
    value_Q = np.full(pairs.num_queries, np.nan)
    if len(query_Q):
        value_Q[query_Q] = value_C[case_Q]
    return value_Q


def _expected_reciprocal(above: int, tied: int, positive: int) -> float:
    """E[1 / (above + J)]: J is the first of `positive` items in a random order of `tied`.

    P(J = 1) = m / t and P(J = j + 1) / P(J = j) = (t - m - j + 1) / (t - j): negative hypergeometric.
    """
    rank_J = np.arange(1, tied - positive + 2)
    step_J = (tied - positive - rank_J[:-1] + 1) / (tied - rank_J[:-1])
    chance_J = positive / tied * np.concatenate([[1.0], np.cumprod(step_J)])
    return float((chance_J / (above + rank_J)).sum())


def _auc_of_catalogue(pairs: Pairs) -> np.ndarray:
    positive = np.flatnonzero(pairs.positive_P)
    query_P, above_P, tied_P = pairs.query_P[positive], pairs.above_P[positive], pairs.tied_P[positive]
    positive_above_P, positive_tied_P = _pairs.places(query_P, above_P)
    num_positive_Q = np.bincount(query_P, minlength=pairs.num_queries)
    num_other_P = pairs.total_P[positive] - num_positive_Q[query_P]
    lost_P = 2 * (above_P - positive_above_P) + (tied_P - positive_tied_P)  # in halves, hence in integers
    lost_Q = np.bincount(query_P, weights=lost_P, minlength=pairs.num_queries)
    most_Q = np.bincount(query_P, weights=2 * num_other_P, minlength=pairs.num_queries)
    return _ratio(most_Q - lost_Q, most_Q)


def _ratio(numerator_Q: np.ndarray, denominator_Q: np.ndarray) -> np.ndarray:
    value_Q = np.full(len(denominator_Q), np.nan)
    return np.divide(numerator_Q, denominator_Q, out=value_Q, where=denominator_Q > 0)
