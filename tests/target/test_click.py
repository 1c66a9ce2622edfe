"""Clicks are summed over impressions: two rows of a pair at most, with their numbers of observations."""

import numpy as np
import pyarrow as pa

from recsys.tables import JUDGMENTS, LABELS
from recsys.target import Click

CLICK = Click(name="click")
LOG = pa.table(
    {
        "query_id": ["q", "q", "q", "q", "r"],
        "item_id": ["a", "a", "a", "b", "a"],
        "click": pa.array([1, 0, 0, 1, 0], pa.int8()),
        "purchase": pa.array([1, 0, 0, 0, 0], pa.int8()),
    }
)


def rows(labels: pa.Table) -> set[tuple]:
    labels = LABELS.conform(labels)
    return set(zip(*(labels[n].to_pylist() for n in ("query_id", "item_id", "label", "weight")), strict=True))


def test_observations_are_counted():
    counted = rows(CLICK.observe(JUDGMENTS.schema.empty_table(), LOG))
    assert counted == {("q", "a", 1.0, 1.0), ("q", "a", 0.0, 2.0), ("q", "b", 1.0, 1.0), ("r", "a", 0.0, 1.0)}


def test_further_columns_are_kept_apart():
    log = LOG.append_column("device", pa.array(["phone", "phone", "desktop", "phone", "phone"]))
    labels = CLICK.observe(JUDGMENTS.schema.empty_table(), log)
    columns = (labels[n].to_pylist() for n in ("query_id", "item_id", "label", "device", "weight"))
    assert set(zip(*columns, strict=True)) == {
        ("q", "a", 1.0, "phone", 1.0),
        ("q", "a", 0.0, "phone", 1.0),
        ("q", "a", 0.0, "desktop", 1.0),
        ("q", "b", 1.0, "phone", 1.0),
        ("r", "a", 0.0, "phone", 1.0),
    }


def test_judgments_of_clicks_come_before_the_log():
    judged = pa.table({"query_id": ["q"] * 3, "item_id": ["a"] * 3, "target": ["click"] * 3, "label": [1.0, 0.0, 0.0]})
    assert rows(CLICK.observe(judged, LOG)) == {("q", "a", 1.0, 1.0), ("q", "a", 0.0, 2.0)}


def test_values():
    labels = np.array([0.0, 1.0, 0.5, np.nan])
    assert CLICK.outside(labels).tolist() == [False, False, True, True]
    assert CLICK.positive(labels[:2]).tolist() == [False, True]
    assert CLICK.gain(labels[:2]).tolist() == CLICK.unit(labels[:2]).tolist() == [0, 1]
