"""What a cleaner does: it looks at one whole raw table and says which rows stay, and why the others do not."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from recsys.target import Target


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """A table after one cleaner. Rows in = kept + quarantined + merged, always."""

    kept: pa.Table
    quarantined: pa.Table | None = None  # the rows taken out, with a column `reason`; None if there are none
    merged: dict[str, int] = field(default_factory=dict)  # reason -> rows that repeat one that is kept
    repaired: dict[str, int] = field(default_factory=dict)  # reason -> rows that stay, with a changed cell


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a cleaner may look at besides its table."""

    tables: Mapping[str, pa.Table]  # raw tables that are clean already: items and queries come first
    targets: Mapping[str, Target]  # those configured; may be empty


@dataclass
class Cleaner(ABC):
    """An option of conf/clean. A pure function of the rows: how a table is cut into chunks never matters."""

    @abstractmethod
    def apply(self, name: str, table: pa.Table, known: Known) -> Cleaned:
        """Cleans the raw table `name`, which conforms to `RAW[name]`."""


def quarantine(table: pa.Table, masks: Mapping[str, pa.ChunkedArray]) -> Cleaned:
    """Takes out the rows under any mask (reason -> mask without nulls), each for the first reason that holds."""
    reason = pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    for name, mask in masks.items():
        reason = pc.if_else(pc.and_(mask, pc.is_null(reason)), name, reason)
    bad = pc.is_valid(reason)
    if not pc.any(bad).as_py():
        return Cleaned(kept=table)
    return Cleaned(kept=table.filter(pc.invert(bad)), quarantined=with_reason(table, reason).filter(bad))


def with_reason(table: pa.Table, reason: pa.ChunkedArray | pa.Array) -> pa.Table:
    """The table with a column `reason`; every column may hold nulls, since these rows broke the contract."""
    fields = [pa.field(f.name, f.type) for f in table.schema] + [pa.field("reason", pa.string())]
    return pa.table([*table.columns, reason], schema=pa.schema(fields))
