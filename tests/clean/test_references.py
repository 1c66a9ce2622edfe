from recsys.clean import Known, References
from tests.clean.tables import items, raw, reasons

KNOWN = Known(
    tables={"items": items({}, {}), "queries": raw("queries", [{"query_id": "q", "text": "x", "kind": "search"}])},
    targets={},
)
PAIRS = [("q", "0"), ("?", "0"), ("q", "?"), ("?", "?"), ("q", "1")]


def test_unknown_queries_and_items_are_quarantined() -> None:
    rows = [{"query_id": q, "item_id": i, "target": "relevance", "label": 1.0} for q, i in PAIRS]
    cleaned = References().apply("judgments", raw("judgments", rows), KNOWN)
    assert reasons(cleaned) == ["unknown_query", "unknown_item", "unknown_query"]
    assert cleaned.kept["item_id"].to_pylist() == ["0", "1"]


def test_impressions_are_looked_at_and_items_are_not() -> None:
    shown = {"position": 1, "click": 0, "purchase": 0}
    rows = [{"impression_id": str(n), "query_id": q, "item_id": i} | shown for n, (q, i) in enumerate(PAIRS)]
    assert References().apply("impressions", raw("impressions", rows), KNOWN).kept.num_rows == 2
    assert References().apply("items", KNOWN.tables["items"], KNOWN).kept is KNOWN.tables["items"]
