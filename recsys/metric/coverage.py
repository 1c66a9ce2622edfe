"""What the first places show: how much of the catalogue, how evenly, how well known, how varied.

The items that appear in the first K places of the queries are given by their codes, 0 ... number of items - 1, and,
where it matters who asked, the queries by theirs. Shapes: T places, I items, Q queries.
"""

import numpy as np


def coverage(item_T: np.ndarray, num_items: int) -> float:
    """Share of the catalogue that appears at least once among the given top items; NaN for an empty catalogue."""
    _check(item_T, num_items)
    return len(np.unique(item_T)) / num_items if num_items else float("nan")


def gini(item_T: np.ndarray, num_items: int) -> float:
    """Gini coefficient of exposure over the whole catalogue, items never shown included.

    sum of (2 i - n - 1) x_i / (n sum of x), x ascending: 0 if all items are shown equally often, 1 - 1 / n if a single
    one is shown; NaN if nothing is.
    """
    _check(item_T, num_items)
    exposure_I = np.sort(np.bincount(item_T, minlength=num_items))
    total = exposure_I.sum()
    if not total:
        return float("nan")
    rank_I = np.arange(1, num_items + 1)
    return float(((2 * rank_I - num_items - 1) * exposure_I).sum() / (num_items * total))


def entropy(item_T: np.ndarray, num_items: int) -> float:
    """Shannon's entropy of exposure over that of showing all items equally often (Pielou, 1966): 1 is even, 0 a single
    item; NaN if nothing is shown or there is one item alone."""
    _check(item_T, num_items)
    if not len(item_T) or num_items < 2:
        return float("nan")
    share_S = np.sort(np.unique(item_T, return_counts=True)[1]) / len(item_T)
    return float(-(share_S * np.log(share_S)).sum() / np.log(num_items) + 0.0)


def lorenz(item_T: np.ndarray, num_items: int) -> np.ndarray:
    """share_I1: share of all places that the 0, 1, 2, ... most shown items take (a Lorenz curve); NaN if nothing is
    shown."""
    _check(item_T, num_items)
    shown_I = np.sort(np.bincount(item_T, minlength=num_items))[::-1]
    return np.concatenate([[0], np.cumsum(shown_I)]) / (len(item_T) or np.nan)


def top_share(item_T: np.ndarray, num_items: int, share: float) -> float:
    """Share of all places that the given share of the catalogue takes, of the items shown most often (at least one)."""
    return float(lorenz(item_T, num_items)[num_top(num_items, share)])


def num_top(num_items: int, share: float) -> int:
    """How many items are the given share of the catalogue: at least one, of those there are."""
    if not 0 < share <= 1:
        raise ValueError(f"share={share} of the catalogue must lie above 0 and not above 1")
    return min(max(1, round(num_items * share)), num_items)


def popularity_bias(query_T: np.ndarray, item_T: np.ndarray, popularity_I: np.ndarray, num_queries: int) -> np.ndarray:
    """value_Q: mean popularity of what the query shows over that of the catalogue (Abdollahpouri et al., 2019, as a
    ratio): 1 shows what is as popular as the catalogue on average. NaN where nothing is shown or popular."""
    average = _known(popularity_I).mean() if len(popularity_I) else 0.0
    mean_Q = _mean_of_list(query_T, popularity_I[item_T], num_queries)
    return mean_Q / average if average > 0 else np.full(num_queries, np.nan)


def novelty(query_T: np.ndarray, item_T: np.ndarray, popularity_I: np.ndarray, num_queries: int) -> np.ndarray:
    """value_Q: mean self-information -log2 p(i) of what the query shows, in bits (Zhou et al., 2010).

    p(i) = (popularity + 1) / sum over the catalogue of the same: an item nobody has met is the most novel, not
    infinitely so. NaN where nothing is shown.
    """
    known_I = _known(popularity_I) + 1.0
    return _mean_of_list(query_T, -np.log2(known_I / known_I.sum())[item_T], num_queries)


def diversity(query_T: np.ndarray, item_T: np.ndarray, group_I: np.ndarray, num_queries: int) -> np.ndarray:
    """value_Q: share of the pairs of items shown for a query that belong to different groups (intra-list diversity;
    Smyth & McClave, 2001). Items of no group (-1) are left out; NaN with fewer than two."""
    group_T = group_I[item_T]
    query_T, group_T = query_T[group_T >= 0], group_T[group_T >= 0]
    num_Q = np.bincount(query_T, minlength=num_queries)
    both_C2, count_C = np.unique(np.stack([query_T, group_T], axis=1), axis=0, return_counts=True)
    same_Q = np.bincount(both_C2[:, 0], weights=count_C * (count_C - 1), minlength=num_queries)
    all_Q = (num_Q * (num_Q - 1)).astype(np.float64)
    return 1 - np.divide(same_Q, all_Q, out=np.full(num_queries, np.nan), where=all_Q > 0)


def mean_over_queries(value_Q: np.ndarray, weight_QR: np.ndarray) -> np.ndarray:
    """value_R: weighted mean over the queries that have a value."""
    defined_Q = np.isfinite(value_Q)
    weight_DR, value_D = weight_QR[defined_Q], value_Q[defined_Q]
    value_R = np.full(weight_QR.shape[1], np.nan)
    for replicate in range(len(value_R)):
        if (total := weight_DR[:, replicate].sum()) > 0:
            value_R[replicate] = (weight_DR[:, replicate] * value_D).sum() / total
    return value_R


def _mean_of_list(query_T: np.ndarray, value_T: np.ndarray, num_queries: int) -> np.ndarray:
    order = np.lexsort((value_T, query_T))
    sum_Q = np.bincount(query_T[order], weights=value_T[order], minlength=num_queries)
    num_Q = np.bincount(query_T, minlength=num_queries)
    return np.divide(sum_Q, num_Q, out=np.full(num_queries, np.nan), where=num_Q > 0)


def _known(popularity_I: np.ndarray) -> np.ndarray:
    wrong = np.flatnonzero(~((popularity_I >= 0) & (popularity_I < np.inf)))
    if len(wrong):
        raise ValueError(f"popularity {popularity_I[wrong[0]]} of item {wrong[0]} must be a number of at least 0")
    return popularity_I


def _check(item_T: np.ndarray, num_items: int) -> None:
    if len(item_T) and not (item_T.min() >= 0 and item_T.max() < num_items):
        raise ValueError(f"item codes {item_T.min()} ... {item_T.max()} do not fit a catalogue of {num_items} items")
