import math

import pyarrow as pa
import pytest

from recsys.clean import Known, Schema, label_outside_range
from recsys.tables import IMPRESSIONS
from tests.clean.tables import NONE_KNOWN, TARGETS, items, raw, reasons

NAN, INF = math.nan, math.inf
SHOWN = {"query_id": "q", "item_id": "i", "position": 1, "click": 0, "purchase": 0}
JUDGED = {"query_id": "q", "item_id": "i", "target": "relevance", "label": 1.0}


def test_a_bad_price_is_repaired_and_the_item_stays() -> None:
    table = items({"price": 5.0}, {"price": -1.0}, {"price": NAN}, {"price": None}, {"price": INF}, {"price": 0.0})
    cleaned = Schema().apply("items", table, NONE_KNOWN)
    assert cleaned.kept["price"].to_pylist() == [5.0, None, None, None, None, 0.0]
    assert cleaned.repaired == {"not_finite_price": 2, "price_outside_range": 1}
    assert cleaned.quarantined is None


def test_wrong_required_values_are_quarantined_with_the_first_reason() -> None:
    changes = [{}, {"position": 0}, {"click": -1, "purchase": 2}, {"query_id": None, "position": 0}, {"purchase": None}]
    table = raw("impressions", [{"impression_id": str(n)} | SHOWN | c for n, c in enumerate(changes)])
    cleaned = Schema().apply("impressions", table, NONE_KNOWN)
    assert cleaned.kept["impression_id"].to_pylist() == ["0"]
    assert reasons(cleaned) == ["position_outside_range", "click_outside_range", "null_query_id", "null_purchase"]
    assert cleaned.quarantined is not None
    assert cleaned.quarantined["click"].to_pylist() == [0, -1, 0, 0]
    assert all(f.nullable for f in cleaned.quarantined.schema)


def test_a_propensity_that_is_none_becomes_unknown() -> None:
    table = raw("impressions", [{"impression_id": "a", "propensity": 1.5} | SHOWN])
    cleaned = Schema().apply("impressions", table, NONE_KNOWN)
    assert cleaned.kept["propensity"].to_pylist() == [None]
    assert cleaned.repaired == {"propensity_outside_range": 1}
    assert cleaned.kept.schema.equals(IMPRESSIONS.conform(cleaned.kept).schema)


def test_unknown_kinds_are_quarantined() -> None:
    rows = [{"query_id": str(n), "text": "x", "kind": k} for n, k in enumerate(["search", "User", None])]
    assert reasons(Schema().apply("queries", raw("queries", rows), NONE_KNOWN)) == ["unknown_kind", "null_kind"]


def test_null_keys_are_left_for_the_key_check() -> None:
    cleaned = Schema().apply("items", items({"item_id": None}, {"text": None}), NONE_KNOWN)
    assert cleaned.kept["item_id"].to_pylist() == [None]
    assert reasons(cleaned) == ["null_text"]


def test_scores_that_are_not_finite_are_quarantined() -> None:
    rows = [JUDGED | {"score": s} for s in (0.5, NAN, -INF, None)] + [JUDGED | {"label": NAN, "score": NAN}]
    cleaned = Schema().apply("judgments", raw("judgments", rows, score=pa.float64()), NONE_KNOWN)
    assert reasons(cleaned) == ["not_finite_score"] * 3 + ["not_finite_label"]
    assert cleaned.kept["score"].to_pylist() == [0.5]


@pytest.mark.parametrize("chunks", [1, 3])
def test_labels_outside_their_target(chunks: int) -> None:
    labels = [
        ("relevance", 3.0),
        ("relevance", 3.5),
        ("relevance", -1.0),
        ("click", 9.0),
        (None, 9.0),
        ("relevance", None),
    ]
    table = raw("judgments", [JUDGED | {"target": t, "label": v} for t, v in labels])
    table = pa.concat_tables([table.slice(n * 6 // chunks, 6 // chunks) for n in range(chunks)])
    assert label_outside_range(table, TARGETS).to_pylist() == [False, True, True, False, False, False]
    assert not any(label_outside_range(table, {}).to_pylist())
    cleaned = Schema().apply("judgments", table, Known(tables={}, targets=TARGETS))
    assert reasons(cleaned) == ["label_outside_range", "label_outside_range", "null_target", "null_label"]
