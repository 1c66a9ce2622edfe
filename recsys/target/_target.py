"""What is predicted, as a noun of its own: where it is observed, what counts as positive, what it gains."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass
class Target(ABC):
    """A thing to predict for a query-item pair. Labels are float64; a probability always means P(positive)."""

    name: str

    @abstractmethod
    def observe(self, judgments: pa.Table, impressions: pa.Table) -> pa.Table:
        """The labels of this target (contract LABELS) from corpus judgments and impressions; may have no rows."""

    @abstractmethod
    def positive(self, label_N: np.ndarray) -> np.ndarray:
        """bool_N: which labels count as positive."""

    @abstractmethod
    def gain(self, label_N: np.ndarray) -> np.ndarray:
        """float64_N, at least 0: what showing such an item is worth in nDCG."""

    @abstractmethod
    def unit(self, label_N: np.ndarray) -> np.ndarray:
        """float64_N in [0, 1]: the label as a model is trained to predict it."""

    @abstractmethod
    def outside(self, label_N: np.ndarray) -> np.ndarray:
        """bool_N: labels that are not possible for this target (NaN included)."""

    @abstractmethod
    def describe(self) -> str:
        """One sentence for the report: what is positive and what it gains."""


def count_observations(pairs: pa.Table, target: str) -> pa.Table:
    """LABELS rows of a binary target: one per (query, item, label), weight = how often it was observed.

    `pairs` has query_id, item_id, label, one row per observation; further columns keep their first value.
    """
    extra = [n for n in pairs.column_names if n not in ("query_id", "item_id", "target", "label")]
    keys = ["query_id", "item_id", "label"]
    counted = pairs.group_by(keys, use_threads=False).aggregate([([], "count_all"), *((n, "first") for n in extra)])
    columns = {
        "query_id": counted["query_id"],
        "item_id": counted["item_id"],
        "target": pa.array([target] * counted.num_rows, pa.string()),
        "label": counted["label"].cast(pa.float64()),
        "weight": counted["count_all"].cast(pa.float64()),
    }
    return pa.table(columns | {n: counted[f"{n}_first"] for n in extra})


def mean_judgment(pairs: pa.Table, target: str) -> pa.Table:
    """LABELS rows of a graded target: one per (query, item), label = mean grade. Further columns: first value."""
    extra = [n for n in pairs.column_names if n not in ("query_id", "item_id", "target", "label")]
    keys = ["query_id", "item_id"]
    mean = pairs.group_by(keys, use_threads=False).aggregate([("label", "mean"), *((n, "first") for n in extra)])
    columns = {
        "query_id": mean["query_id"],
        "item_id": mean["item_id"],
        "target": pa.array([target] * mean.num_rows, pa.string()),
        "label": mean["label_mean"].cast(pa.float64()),
        "weight": pa.array(np.ones(mean.num_rows)),
    }
    return pa.table(columns | {n: mean[f"{n}_first"] for n in extra})
