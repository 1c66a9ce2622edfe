"""Slices of queries: head, torso and tail, and what is said about several slices at once.

Shapes: N queries, S slices, R weightings.
"""

from dataclasses import dataclass

import numpy as np

from recsys.metric.bootstrap import simultaneous


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


@dataclass(frozen=True, kw_only=True)
class Extremes:
    """The worst and the best slice, and how far apart they are. Intervals hold although the slices were chosen."""

    worst: int  # row of value_SR
    best: int
    worst_value: float
    worst_low: float
    worst_high: float
    gap: float  # best - worst
    gap_low: float
    gap_high: float


def extremes(value_SR: np.ndarray, level: float) -> Extremes | None:
    """The slices with the lowest and the highest value (where high is good), or None with fewer than two slices.

    The worst of many slices looks worse than it is. The intervals are therefore those of `simultaneous`: over all
    slices for the worst, over all differences of two slices for the gap. Slices without a value are left out.
    """
    slices = np.flatnonzero(np.isfinite(value_SR[:, 0]))
    if len(slices) < 2:
        return None
    value_SR = value_SR[slices]
    order = np.argsort(value_SR[:, 0], kind="stable")
    worst, best = int(order[0]), int(order[-1])
    _, low_S, high_S = simultaneous(value_SR, level)
    one, other = np.triu_indices(len(slices), k=1)
    gap, gap_low, gap_high = simultaneous(value_SR[other] - value_SR[one], level)
    pair = int(np.flatnonzero((one == min(worst, best)) & (other == max(worst, best)))[0])
    ends = (gap[pair], gap_low[pair], gap_high[pair])
    ends = ends if best > worst else (-ends[0], -ends[2], -ends[1])
    return Extremes(
        worst=int(slices[worst]),
        best=int(slices[best]),
        worst_value=float(value_SR[worst, 0]),
        worst_low=float(low_S[worst]),
        worst_high=float(high_S[worst]),
        gap=float(ends[0]),
        gap_low=float(ends[1]),
        gap_high=float(ends[2]),
    )
