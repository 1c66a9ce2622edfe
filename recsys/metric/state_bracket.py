"""What a histogram proves: metrics of the rows it was made from lie between two ends, whatever their scores are.

Within a cell the order of the scores is unknown, unless the cell holds a single score: then its rows are tied. Every
function returns (low, value, high), the exact metric certainly between the ends, and the value as if the scores of a
cell were spread evenly. Shapes: C cells, by ascending score; weights are integers in any unit.
"""

import math

import numpy as np

Ends = tuple[float, float, float]  # low, value, high
NOTHING = (math.nan, math.nan, math.nan)


def auc(negative_C: np.ndarray, positive_C: np.ndarray, tied_C: np.ndarray) -> Ends:
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


def average_precision(negative_C: np.ndarray, positive_C: np.ndarray, tied_C: np.ndarray) -> Ends:
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


def ks(negative_C: np.ndarray, positive_C: np.ndarray, tied_C: np.ndarray) -> Ends:
    """Largest distance of the two classes' distributions of scores (Kolmogorov–Smirnov). NaN without both classes."""
    total = float(negative_C.sum()), float(positive_C.sum())
    if min(total) == 0:
        return NOTHING
    after = np.cumsum(negative_C) / total[0] - np.cumsum(positive_C) / total[1]
    seen = float(np.abs(after).max())
    before = np.r_[0.0, after[:-1]]
    apart = np.maximum(np.abs(before + negative_C / total[0]), np.abs(before - positive_C / total[1]))
    return seen, seen, float(max(seen, apart[~tied_C].max(initial=0.0)))


def _mean_share(a: np.ndarray, b: np.ndarray, length: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Mean of (a + slope x) / (b + x) over x from 0 to length: slope + (a - slope b) ln(1 + length / b) / length."""
    spread = np.log1p(np.divide(length, b, out=np.zeros_like(b), where=b > 0))
    return np.where(b > 0, slope + (a - slope * b) * spread / length, slope)


def _exact(value_C: np.ndarray) -> np.ndarray:
    """Python integers, which do not overflow."""
    return np.array(value_C.tolist(), object) if value_C.size else np.zeros(0, object)
