"""Purchases per impression, or per click."""

import pyarrow as pa
import pytest

from recsys.tables import JUDGMENTS
from recsys.target import Purchase
from tests.target.test_click import LOG, rows


def test_exposure_decides_what_is_counted():
    none = JUDGMENTS.schema.empty_table()
    per_impression = rows(Purchase(name="purchase", exposure="impression").observe(none, LOG))
    assert per_impression == {("q", "a", 1.0, 1.0), ("q", "a", 0.0, 2.0), ("q", "b", 0.0, 1.0), ("r", "a", 0.0, 1.0)}
    per_click = rows(Purchase(name="purchase", exposure="click").observe(none, LOG))
    assert per_click == {("q", "a", 1.0, 1.0), ("q", "b", 0.0, 1.0)}


def test_an_unknown_exposure_is_refused():
    with pytest.raises(ValueError, match="exposure='page' is unknown"):
        Purchase(name="purchase", exposure="page")


def test_no_log_no_labels():
    empty = LOG.slice(0, 0)
    assert Purchase(name="purchase", exposure="click").observe(JUDGMENTS.schema.empty_table(), empty).num_rows == 0
    assert isinstance(empty, pa.Table)
