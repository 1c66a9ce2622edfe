"""Metrics that are a mean over queries, and sums that do not depend on the order of the rows.

Shapes: N rows, Q queries, R weightings.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recsys.metric._sample import Metric, Sample


@dataclass(frozen=True, kw_only=True)
class QueryMean:
    """A metric: sum(weight * mass * value) / sum(weight * mass) over the queries that have a value."""

    value: Callable[[Sample], np.ndarray]  # value_Q, NaN where the query has none: it is excluded, not 0 or 1
    mass: Callable[[Sample], np.ndarray]  # mass_Q, how much a query counts

    def __call__(self, sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
        value_Q = self.value(sample)
        defined_Q = np.isfinite(value_Q)
        value_D, mass_D, weight_DR = value_Q[defined_Q], self.mass(sample)[defined_Q], weight_QR[defined_Q]
        value_R = np.full(weight_QR.shape[1], np.nan)
        for replicate in range(len(value_R)):
            weight_D = weight_DR[:, replicate] * mass_D
            if (total := weight_D.sum()) > 0:
                value_R[replicate] = (weight_D * value_D).sum() / total
        return value_R


def equally(sample: Sample) -> np.ndarray:
    """mass_Q: every query counts the same."""
    return np.ones(sample.num_queries)


def by_observations(sample: Sample) -> np.ndarray:
    """mass_Q: a query counts as often as it was observed."""
    return sum_by_query(sample, sample.weight_N)


def by_positives(sample: Sample) -> np.ndarray:
    """mass_Q: a query counts as often as it was observed with a positive label."""
    return sum_by_query(sample, sample.weight_N * sample.positive_N)


def sum_by_query(sample: Sample, value_N: np.ndarray) -> np.ndarray:
    """sum_Q, the same bits for any order of the rows within a query: small values are added first."""
    order = np.lexsort((value_N, sample.query_N))
    return np.bincount(sample.query_N[order], weights=value_N[order], minlength=sample.num_queries)


def rarer_class(sample: Sample) -> int:
    """Queries with a positive, or those with a negative if they are fewer: what tells of both is as scarce as that."""
    seen_N = sample.weight_N > 0
    return min(len(np.unique(sample.query_N[seen_N & (sample.positive_N == has)])) for has in (True, False))


def mean_by_query(sample: Sample, value_N: np.ndarray) -> np.ndarray:
    """mean_Q over the observations of a query, NaN where it has none; the same bits for any order of its rows."""
    total_Q = sum_by_query(sample, sample.weight_N)
    mean_Q = np.full(sample.num_queries, np.nan)
    return np.divide(sum_by_query(sample, sample.weight_N * value_N), total_Q, out=mean_Q, where=total_Q > 0)


def num_queries(metric: Metric, sample: Sample) -> int:
    """Queries that have a part in the metric: those with a value, or with a row where the metric is not a mean."""
    if isinstance(metric, QueryMean):
        return int(np.isfinite(metric.value(sample)).sum())
    return len(np.unique(sample.query_N))
