"""Metrics: pure functions from labelled rows and query weights to numbers with intervals."""

from recsys.metric._effective import Unit
from recsys.metric._query_mean import QueryMean, num_queries
from recsys.metric._sample import Metric, Sample

__all__ = ["Metric", "QueryMean", "Sample", "Unit", "num_queries"]
