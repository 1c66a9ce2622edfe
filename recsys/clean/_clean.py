"""Cleans the raw tables of a source: what is kept, what is quarantined and why, and the balance of rows."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys.clean._cleaner import Cleaner, Known, with_reason
from recsys.clean.duplicates import Duplicates
from recsys.clean.references import References
from recsys.clean.schema import Schema
from recsys.clean.text import Text
from recsys.tables import RAW
from recsys.target import Target

ORDER = (Text, Schema, Duplicates, References)


def clean(
    tables: Mapping[str, pa.Table], cleaners: Mapping[str, Cleaner], targets: Mapping[str, Target] | None = None
) -> tuple[dict[str, pa.Table], dict[str, pa.Table], dict[str, dict[str, Any]]]:
    """Cleaned tables, quarantined rows (with a column `reason`) and counts, each by raw table.

    Counts are {"in", "out", "merged": {reason: n}, "quarantined": {reason: n}, "repaired": {reason: n}}, and
    in = out + merged + quarantined; a repaired row is among those that come out, or was quarantined afterwards for
    something else. Cleaners run in the order text, schema, duplicates, references, whatever the order of the mapping;
    keys are checked before references. With `targets`, labels outside their target's range are quarantined; without,
    they are not looked at.

    Raises TableError for a key that is null or still repeated.
    """
    ordered = sorted(cleaners.values(), key=lambda c: ORDER.index(type(c)))
    kept: dict[str, pa.Table] = {}
    quarantined: dict[str, pa.Table] = {}
    counts: dict[str, dict[str, Any]] = {}
    for name in (n for n in RAW if n in tables):
        known = Known(tables=kept, targets=targets or {})
        table, removed, counts[name] = _clean_table(name, RAW[name].conform(tables[name]), ordered, known)
        kept[name], quarantined[name] = table, removed
    return kept, quarantined, counts


def _clean_table(
    name: str, table: pa.Table, cleaners: list[Cleaner], known: Known
) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    num_in = table.num_rows
    merged, repaired, removed = Counter(), Counter(), [with_reason(table, pa.nulls(num_in, pa.string())).slice(0, 0)]
    for cleaner in [c for c in cleaners if not isinstance(c, References)]:
        table = _step(cleaner, name, table, known, merged, repaired, removed)
    if RAW[name].key:
        RAW[name].check_key(table)
    for cleaner in [c for c in cleaners if isinstance(c, References)]:
        table = _step(cleaner, name, table, known, merged, repaired, removed)
    quarantined = pa.concat_tables(removed)
    reasons = {v["values"]: v["counts"] for v in pc.value_counts(quarantined["reason"]).to_pylist()}
    assert num_in == table.num_rows + quarantined.num_rows + merged.total(), f"rows of '{name}' do not balance"
    count = {
        "in": num_in,
        "out": table.num_rows,
        "merged": dict(merged),
        "quarantined": reasons,
        "repaired": dict(repaired),
    }
    return table, quarantined, count


def _step(
    cleaner: Cleaner,
    name: str,
    table: pa.Table,
    known: Known,
    merged: Counter[str],
    repaired: Counter[str],
    removed: list[pa.Table],
) -> pa.Table:
    cleaned = cleaner.apply(name, table, known)
    merged.update(cleaned.merged)
    repaired.update(cleaned.repaired)
    if cleaned.quarantined is not None:
        removed.append(cleaned.quarantined)
    return cleaned.kept
