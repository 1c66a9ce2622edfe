"""Small raw tables for the tests of cleaning, and the cleaners as configured by default."""

from typing import Any

import pyarrow as pa

from recsys.clean import Cleaned, Cleaner, Duplicates, Known, References, Schema, Text
from recsys.tables import RAW
from recsys.target import Relevance, Target

NONE_KNOWN = Known(tables={}, targets={})
TARGETS: dict[str, Target] = {
    "relevance": Relevance(name="relevance", max_label=3, positive_label=2, gain_map="exponential")
}


def cleaners() -> dict[str, Cleaner]:
    return {
        "references": References(),
        "duplicates": Duplicates(observed=["click", "purchase"]),
        "text": Text(columns=["text", "title", "brand"]),
        "schema": Schema(),
    }


def raw(name: str, rows: list[dict[str, Any]], **extra: pa.DataType) -> pa.Table:
    """A raw table from rows that may leave columns out; `extra` names further columns."""
    fields = [pa.field(c.name, c.type) for c in RAW[name].columns] + [pa.field(n, t) for n, t in extra.items()]
    return RAW[name].conform(pa.Table.from_pylist(rows, schema=pa.schema(fields)))


def items(*rows: dict[str, Any]) -> pa.Table:
    return raw("items", [{"item_id": str(n), "text": f"item {n}"} | row for n, row in enumerate(rows)])


def reasons(cleaned: Cleaned) -> list[str]:
    return [] if cleaned.quarantined is None else cleaned.quarantined["reason"].to_pylist()
