"""Judgments and impressions of queries and items that nobody knows."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recsys.clean._cleaner import Cleaned, Cleaner, Known, quarantine

OWNERS = {"query_id": "queries", "item_id": "items"}


@dataclass
class References(Cleaner):
    """Quarantines 'unknown_query', else 'unknown_item', against the queries and items that are left after cleaning."""

    def apply(self, name: str, table: pa.Table, known: Known) -> Cleaned:
        if name not in ("judgments", "impressions"):
            return Cleaned(kept=table)
        masks: dict[str, pa.ChunkedArray] = {}
        for column, owner in OWNERS.items():
            if owner in known.tables:
                found = pc.is_in(table[column], value_set=known.tables[owner][column].combine_chunks())
                masks[f"unknown_{column.removesuffix('_id')}"] = pc.invert(found)
        return quarantine(table, masks)
