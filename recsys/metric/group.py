"""Slices of queries: head, torso and tail, and what is said about several slices at once.

Shapes: N queries, S slices, R weightings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.metric.bootstrap import NO_SPREAD, difference, interval, reach, standard_error


def head_torso_tail(frequency_N: np.ndarray) -> np.ndarray:
    """'head', 'torso' or 'tail' for each query, by thirds of the traffic.

    A query is head if less than a third of all requests ask more frequent ones, tail if less than a third ask rarer
    ones, and torso between. Where both hold, it is head if fewer queries are more frequent than rarer. Equal
    frequencies fall together, so the order of the queries is irrelevant; if all are equal, all are torso. Raises
    ValueError for a frequency below 0 or NaN.
    """
    frequency_N = np.asarray(frequency_N, np.float64)
    wrong = np.flatnonzero(~((frequency_N >= 0) & (frequency_N < np.inf)))
    if len(wrong):
        raise ValueError(
            f"frequency {frequency_N[wrong[0]]} at row {wrong[0]} is not a number of requests; "
            "leave out queries of unknown frequency"
        )
    value_V, value_N, count_V = np.unique(frequency_N, return_inverse=True, return_counts=True)
    mass_V = value_V * count_V
    rarer_V, commoner_V = np.cumsum(mass_V) - mass_V, mass_V.sum() - np.cumsum(mass_V)
    num_rarer_V, num_commoner_V = np.cumsum(count_V) - count_V, len(value_N) - np.cumsum(count_V)
    third = mass_V.sum() / 3
    head_V = (commoner_V < third) & ((rarer_V >= third) | (num_commoner_V < num_rarer_V))
    tail_V = (rarer_V < third) & ((commoner_V >= third) | (num_rarer_V < num_commoner_V))
    return np.select([head_V, tail_V], ["head", "tail"], "torso")[value_N]


def macro(value_SR: np.ndarray) -> np.ndarray:
    """value_R: plain mean over the slices, each counting the same; NaN where a slice has no value."""
    return np.asarray(value_SR, np.float64).mean(axis=0)


def macro_interval(
    value_SR: np.ndarray, level: float, *, num_queries_S: Sequence[int], num_queries: int, scale: str
) -> tuple[float, float, float]:
    """(value, low, high) of `macro`, linear, by Student's t of all `num_queries`. A slice without spread brings the
    distance to the ends of its own interval on `scale`, in squares (Zou & Donner, 2008)."""
    value_R = macro(value_SR)
    value, error = float(value_R[0]), standard_error(value_R)
    if num_queries < 2 or not np.isfinite(value + error):
        return value, np.nan, np.nan
    down = up = (reach(level, num_queries) * error) ** 2
    for value_R, num in zip(value_SR, num_queries_S, strict=True):
        if standard_error(value_R) <= NO_SPREAD:
            middle, low, high = interval(value_R, level, num_queries=num, scale=scale)
            down += ((middle - low) / len(value_SR)) ** 2
            up += ((high - middle) / len(value_SR)) ** 2
    return value, float(value - np.sqrt(down)), float(value + np.sqrt(up))


@dataclass(frozen=True, kw_only=True)
class Extremes:
    """The worst and the best slice, and how far apart they are. Intervals hold although the slices were chosen."""

    worst: int  # row of value_SR
    best: int
    worst_value: float
    worst_low: float
    worst_high: float
    gap: float  # the higher of the two less the lower
    gap_low: float
    gap_high: float


def extremes(
    value_SR: np.ndarray,
    level: float,
    *,
    num_queries_S: Sequence[int],
    size_S: Sequence[float],
    scale: str,
    better: str,
) -> Extremes | None:
    """The worst and the best slice (`better`: 'higher' or 'lower'), or None with fewer than two slices.

    The worst of many slices looks worse than it is. Each interval is therefore one at level 1 - (1 - level) / T, by
    Student's t of the slice's own queries: T = S slices for the worst, T = S (S - 1) / 2 pairs of slices for the gap
    (Bonferroni; Dunn, 1961), so that all T hold at once, hence also the one that was picked. Picked low slices also
    look steadier than they are, so a slice is taken to vary at least as slices do on average, each at its size
    (`size_S`: what variance falls with, as a rule the queries). Slices without a standard error are left out.
    """
    error_S = np.array([standard_error(value_R) for value_R in value_SR])
    slices = np.flatnonzero(np.isfinite(value_SR[:, 0] + error_S) & (np.asarray(num_queries_S) > 1))
    if len(slices) < 2:
        return None
    value_SR, num_S = value_SR[slices], np.asarray(num_queries_S)[slices]
    least_S = _least(error_S[slices], np.asarray(size_S, np.float64)[slices])
    order = np.argsort(value_SR[:, 0] if better == "higher" else -value_SR[:, 0], kind="stable")
    worst, best = int(order[0]), int(order[-1])
    one = interval(
        value_SR[worst],
        1 - (1 - level) / len(slices),
        num_queries=int(num_S[worst]),
        scale=scale,
        least_error=float(least_S[worst]),
    )
    high, low = (best, worst) if better == "higher" else (worst, best)
    gap = difference(
        value_SR[high],
        value_SR[low],
        1 - (1 - level) / (len(slices) * (len(slices) - 1) / 2),
        num_queries=(int(num_S[high]), int(num_S[low])),
        scale=scale,
        least_errors=(float(least_S[high]), float(least_S[low])),
    )
    return Extremes(
        worst=int(slices[worst]),
        best=int(slices[best]),
        worst_value=one[0],
        worst_low=one[1],
        worst_high=one[2],
        gap=gap[0],
        gap_low=gap[1],
        gap_high=gap[2],
    )


def _least(error_S: np.ndarray, size_S: np.ndarray) -> np.ndarray:
    """Standard error of each slice with the average variance, weighted by size."""
    return np.sqrt((size_S**2 * error_S**2).sum() / size_S.sum() / size_S)
