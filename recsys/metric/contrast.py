"""One part of the queries or items less another, or less what it should be: its interval, and whether it is chance.

A part in which hardly anything happened hardly varies: 20 queries without a click seem certain of their rate. If there
were no difference, as a test supposes, the part would vary as much as the rest does, at its own size. Where it varies
less than half as much, that variance is taken for its own (the variance under the hypothesis, as in score tests;
Farrington & Manning, 1990).

Shapes: R weightings of the queries, of which column 0 is the estimate.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import t

from recsys.metric import bootstrap
from recsys.metric.bootstrap import NO_SPREAD, standard_error

FEW = 0.5  # of the variance that is due


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """The part and the rest under the same weights."""

    own_R: np.ndarray
    rest_R: np.ndarray
    num_queries: tuple[int, int]  # that count in the part, in the rest
    size: tuple[float, float]  # of each, in what variance falls with: rows, or queries where each counts the same
    scale: str  # of the metric: see `bootstrap.interval`

    @property
    def value_R(self) -> np.ndarray:
        return self.own_R - self.rest_R

    @property
    def smaller(self) -> int:
        """Queries that count in the smaller part."""
        return min(self.num_queries)

    @cached_property
    def missing(self) -> float:
        """Variance that the two do not show, and would if they were alike."""
        own, rest = (standard_error(part_R) ** 2 for part_R in (self.own_R, self.rest_R))
        if not (math.isfinite(own + rest) and min(self.size) > 0):
            return 0.0
        ratio = self.size[1] / self.size[0]
        return _missing(own, rest * ratio) + _missing(rest, own / ratio)

    def interval(self, level: float) -> tuple[float, float, float]:
        """(value, low, high) of `bootstrap.difference`. It leaves out 0 only if it does so with what is missing as
        well: else it reaches as far as that."""
        ends = bootstrap.difference(self.own_R, self.rest_R, level, num_queries=self.num_queries, scale=self.scale)
        return _cautious(ends, self.value_R, level, self.smaller, self.missing)

    @property
    def p(self) -> float:
        """Two-sided, of a true difference of 0, by Student's t with what is missing; NaN where it cannot be known."""
        return _p(self.value_R, self.smaller, self.missing)


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The part less a number that it should have."""

    own_R: np.ndarray
    number: float
    smaller: int  # queries that count
    due: float  # variance at that number

    @property
    def value_R(self) -> np.ndarray:
        return self.own_R - self.number

    @property
    def missing(self) -> float:
        """Variance that it does not show, and would if it had that number."""
        return _missing(standard_error(self.own_R) ** 2, self.due)

    def interval(self, level: float) -> tuple[float, float, float]:
        """(value, low, high); likewise."""
        ends = bootstrap.interval(self.value_R, level, num_queries=self.smaller)
        return _cautious(ends, self.value_R, level, self.smaller, self.missing)

    @property
    def p(self) -> float:
        """Likewise."""
        return _p(self.value_R, self.smaller, self.missing)


def _missing(seen: float, due: float) -> float:
    return due - seen if seen < FEW * due else 0.0


def _cautious(
    ends: tuple[float, float, float], value_R: np.ndarray, level: float, num: int, missing: float
) -> tuple[float, float, float]:
    value, low, high = ends
    variance = standard_error(value_R) ** 2 + missing
    if num < 2 or not missing > 0 or not math.isfinite(value + variance):
        return ends
    half = bootstrap.reach(level, num) * math.sqrt(variance)
    if half < abs(value):
        return ends
    return value, float(np.fmin(low, value - half)), float(np.fmax(high, value + half))


def _p(value_R: np.ndarray, num: int, missing: float) -> float:
    variance = standard_error(value_R) ** 2 + missing
    if not (variance > NO_SPREAD**2 and num > 1 and math.isfinite(value_R[0])):
        return math.nan
    return float(2 * t.sf(abs(value_R[0]) / math.sqrt(variance * num / (num - 1)), num - 1))
