"""What a histogram proves: metrics of the rows it was made from lie between two ends, whatever their scores are.

Within a cell the order of the scores is unknown, unless the cell holds a single score: then its rows are tied. Every
function returns (low, value, high), the exact metric certainly between the ends, and the value as if the scores of a
cell were spread evenly. Shapes: C cells, by ascending score; weights are integers in any unit.
"""

import math
from collections.abc import Callable

import numpy as np

Bracket = tuple[float, float, float]
NOTHING = (math.nan, math.nan, math.nan)


def auc(negative_C: np.ndarray, positive_C: np.ndarray, tied_C: np.ndarray) -> Bracket:
    """Probability that a positive row scores above a negative one, ties counting 1/2: pairs within one cell that is
    not tied count 0 at worst and 1 at best. In integers of any size, divided once. NaN without both classes."""
    negative, positive = _exact(negative_C), _exact(positive_C)
    most = int(negative.sum()) * int(positive.sum())
    if most == 0:
        return NOTHING
    below = np.cumsum(negative) - negative
    half = int((positive * (2 * below + negative)).sum())
    doubt = int((positive * negative)[~tied_C].sum())
    return (half - doubt) / (2 * most), half / (2 * most), (half + doubt) / (2 * most)


def average_precision(negative_C: np.ndarray, positive_C: np.ndarray, tied_C: np.ndarray) -> Bracket:
    """Area under precision and recall by steps (scikit-learn's average precision), tied rows being one step.

    In a cell of p positives and n negatives below T positives and F negatives, the precision at a positive is at best
    that of all p before any n, (T + p) / (T + p + F); at worst all n come first and the positives one by one: the
    integral of (T + x) / (T + x + F + n) over x from 0 to p. NaN without a positive.
    """
    negative_C, positive_C, tied_C = (array_C[::-1] for array_C in (negative_C, positive_C, tied_C))
    full = positive_C > 0
    if not full.any():
        return NOTHING
    before = np.cumsum(positive_C) - positive_C, np.cumsum(negative_C) - negative_C
    above, against = (part[full].astype(np.float64) for part in before)
    p, n, tied = positive_C[full].astype(np.float64), negative_C[full].astype(np.float64), tied_C[full]
    step = p * (above + p) / (above + against + p + n)
    best = np.where(tied, step, p * (above + p) / (above + against + p))
    worst = np.where(tied, step, _mean_share(above, above + against + n, p, np.ones_like(p)) * p)
    even = np.where(tied, step, _mean_share(above, above + against, p + n, p / (p + n)) * p)
    total = float(positive_C.sum())
    return float(worst.sum()) / total, float(even.sum()) / total, float(best.sum()) / total


def ks(negative_C: np.ndarray, positive_C: np.ndarray, tied_C: np.ndarray) -> Bracket:
    """Largest distance of the two classes' distributions of scores (Kolmogorov–Smirnov). NaN without both classes."""
    total = float(negative_C.sum()), float(positive_C.sum())
    if min(total) == 0:
        return NOTHING
    after = np.cumsum(negative_C) / total[0] - np.cumsum(positive_C) / total[1]
    seen = float(np.abs(after).max())
    before = np.r_[0.0, after[:-1]]
    apart = np.maximum(np.abs(before + negative_C / total[0]), np.abs(before - positive_C / total[1]))
    return seen, seen, float(max(seen, apart[~tied_C].max(initial=0.0)))


def after(
    negative_C: np.ndarray,
    positive_C: np.ndarray,
    edge_C: np.ndarray,
    highest: float,
    predict: Callable[[np.ndarray], np.ndarray],
    *,
    num_bins: int,
    clip: float,
) -> dict[str, Bracket]:
    """log_loss, brier and ece of a non-decreasing map from scores to probabilities, without another look at the rows.

    `edge_C` is the lowest score of each cell (the lowest of all rows for the first), `highest` the highest score. The
    probabilities of a cell lie between those of its edges, so do the losses; ECE: each cell's sum of probabilities is
    moved to where the gap of its bin is smallest or largest, and a cell that straddles an edge counts fully in doubt.
    """
    full = (negative_C + positive_C) > 0
    n, p = negative_C[full].astype(np.float64), positive_C[full].astype(np.float64)
    upper_C = np.r_[edge_C[1:], highest].astype(np.float32)
    low = np.clip(predict(edge_C[full]), clip, 1 - clip)
    high = np.clip(predict(np.minimum(upper_C, np.float32(highest))[full]), clip, 1 - clip)
    if (high < low).any():
        raise ValueError("the map of scores to probabilities decreases somewhere; use one that preserves order")
    middle, total = (low + high) / 2, float(n.sum() + p.sum())
    if total == 0:
        return dict.fromkeys(("log_loss", "brier", "ece"), NOTHING)

    def mean(positive: np.ndarray, negative: np.ndarray) -> float:
        return float((p * positive + n * negative).sum()) / total

    loss = mean(-np.log(high), -np.log1p(-low)), mean(-np.log(middle), -np.log1p(-middle))
    square = mean((1 - high) ** 2, low**2), mean((1 - middle) ** 2, middle**2)
    return {
        "log_loss": (*loss, mean(-np.log(low), -np.log1p(-high))),
        "brier": (*square, mean((1 - low) ** 2, high**2)),
        "ece": _ece(n + p, p, low, middle, high, num_bins, total),
    }


def _ece(weight, positive, low, middle, high, num_bins: int, total: float) -> Bracket:
    first, last = (np.minimum((edge * num_bins).astype(np.int64), num_bins - 1) for edge in (low, high))
    inside = first == last
    bin_C = np.minimum((middle * num_bins).astype(np.int64), num_bins - 1)
    gap = np.bincount(bin_C, weight * middle - positive, num_bins)
    sure_low = np.bincount(first[inside], (weight * low - positive)[inside], num_bins)
    sure_high = np.bincount(first[inside], (weight * high - positive)[inside], num_bins)
    least = np.where((sure_low <= 0) & (sure_high >= 0), 0.0, np.minimum(np.abs(sure_low), np.abs(sure_high)))
    most = np.maximum(np.abs(sure_low), np.abs(sure_high))
    doubt = float(np.maximum(weight * high, positive)[~inside].sum())
    return (
        max(float(least.sum()) - doubt, 0.0) / total,
        float(np.abs(gap).sum()) / total,
        (float(most.sum()) + doubt) / total,
    )


def _mean_share(a: np.ndarray, b: np.ndarray, length: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Mean of (a + slope x) / (b + x) over x from 0 to length: slope + (a - slope b) ln(1 + length / b) / length."""
    spread = np.log1p(np.divide(length, b, out=np.zeros_like(b), where=b > 0))
    return np.where(b > 0, slope + (a - slope * b) * spread / length, slope)


def _exact(value_C: np.ndarray) -> np.ndarray:
    """Python integers, which do not overflow."""
    return np.array(value_C.tolist(), object) if value_C.size else np.zeros(0, object)
