"""Values as the contract wants them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.clean._cleaner import Cleaned, Cleaner, Known, quarantine
from recsys.tables import RAW, Column
from recsys.target import Target

FLOAT32_MAX = 3.4e38  # scores are kept as float32
SCORE = "score"  # a score that the judgments may bring along


@dataclass
class Schema(Cleaner):
    """A wrong value in a column that may be null becomes null ('repaired'): a bad price does not cost the item.
    A row with a wrong or missing value in a required column is quarantined. Null keys are left for the key check."""

    def apply(self, name: str, table: pa.Table, known: Known) -> Cleaned:
        contract = RAW[name]
        nullable = {c.name: c for c in contract.columns if c.nullable}
        keys = {f"null_{k}" for k in contract.key}
        masks, repaired = {}, {}
        for reason, mask in contract.bad_values(table).items():
            column = _column_of(reason, nullable)
            if column is not None:
                repaired[reason] = pc.sum(mask).as_py()
                table = _without(table, column.name, mask)
            elif reason not in keys:
                masks[reason] = mask
        if name == "judgments":
            masks |= {"label_outside_range": label_outside_range(table, known.targets)}
            if SCORE in table.column_names:
                finite = pc.fill_null(pc.less(pc.abs(table[SCORE].cast(pa.float64())), FLOAT32_MAX), False)
                masks["not_finite_score"] = pc.invert(finite)
        return Cleaned(**vars(quarantine(table, masks)) | {"repaired": repaired})


def label_outside_range(judgments: pa.Table, targets: Mapping[str, Target]) -> pa.ChunkedArray:
    """bool_N: labels that are not possible for their target. Nulls, and targets that are not given, pass."""
    outside_N = np.zeros(judgments.num_rows, bool)
    valid_N = pc.is_valid(judgments["label"]).to_numpy()
    label_N = judgments["label"].to_numpy()
    for name, target in targets.items():
        rows_N = pc.fill_null(pc.equal(judgments["target"], name), False).to_numpy() & valid_N
        outside_N |= rows_N & target.outside(label_N)
    return pa.chunked_array([pa.array(outside_N)])


def _column_of(reason: str, columns: Mapping[str, Column]) -> Column | None:
    """The nullable column that a reason of `Contract.bad_values` is about."""
    for name, column in columns.items():
        if reason in (f"not_finite_{name}", f"{name}_outside_range", f"unknown_{name}"):
            return column
    return None


def _without(table: pa.Table, name: str, mask: pa.ChunkedArray) -> pa.Table:
    place = table.column_names.index(name)
    kept = pc.if_else(mask, pa.scalar(None, table[name].type), table[name])
    return table.set_column(place, table.schema.field(name), kept)
