"""What is predicted, as a noun of its own: where it is observed, what counts as positive, what it gains."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


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

    def num_grades(self) -> int:
        """Whole grades, from 0 up, that a label is rounded to; 0 where labels are no grades."""
        return 0

    @abstractmethod
    def describe(self) -> str:
        """One sentence for the report: what is positive and what it gains."""


def count_observations(pairs: pa.Table, target: str) -> pa.Table:
    """LABELS rows of a binary target: one per (query, item, label, further columns), weight = how often it was
    observed. `pairs` has query_id, item_id, label, one row per observation.
    """
    extra = _further(pairs)
    counted = pairs.group_by(["query_id", "item_id", "label", *extra], use_threads=False).aggregate([([], "count_all")])
    columns = {
        "query_id": counted["query_id"],
        "item_id": counted["item_id"],
        "target": pa.array([target] * counted.num_rows, pa.string()),
        "label": counted["label"].cast(pa.float64()),
        "weight": counted["count_all"].cast(pa.float64()),
    }
    return pa.table(columns | {n: counted[n] for n in extra})


def mean_judgment(pairs: pa.Table, target: str) -> pa.Table:
    """LABELS rows of a graded target: one per (query, item), label = mean grade. A further column is null where the
    judgments of a pair differ in it."""
    extra = _further(pairs)
    distinct = pc.CountOptions(mode="all")  # null is a value too
    alike = [(n, "first") for n in extra] + [(n, "count_distinct", distinct) for n in extra]
    mean = pairs.group_by(["query_id", "item_id"], use_threads=False).aggregate([("label", "mean"), *alike])
    columns = {
        "query_id": mean["query_id"],
        "item_id": mean["item_id"],
        "target": pa.array([target] * mean.num_rows, pa.string()),
        "label": mean["label_mean"].cast(pa.float64()),
        "weight": pa.array(np.ones(mean.num_rows)),
    }
    one_value = {n: pc.equal(mean[f"{n}_count_distinct"], 1) for n in extra}
    return pa.table(columns | {n: pc.if_else(one_value[n], mean[f"{n}_first"], None) for n in extra})


def _further(pairs: pa.Table) -> list[str]:
    return [n for n in pairs.column_names if n not in ("query_id", "item_id", "target", "label")]
