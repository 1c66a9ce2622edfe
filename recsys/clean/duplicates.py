"""Rows that say the same twice."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.clean._cleaner import Cleaned, Cleaner, Known

ROW = "\x00row"


@dataclass
class Duplicates(Cleaner):
    """Rows that agree in every column are merged into the first; null agrees with null, NaN with NaN, 0 with -0.

    Judgments of an observed outcome are not merged: equal rows are several observations. Two raters who agree are told
    from a copied row only by a further column that names the rater.
    """

    observed: list[str]  # targets whose judgments are observations, one per row

    def apply(self, name: str, table: pa.Table, known: Known) -> Cleaned:
        keyed = pa.table(
            [_comparable(c) for c in table.columns] + [pa.array(np.arange(table.num_rows))],
            names=[*map(str, range(table.num_columns)), ROW],
        )
        first = keyed.group_by(keyed.column_names[:-1], use_threads=False).aggregate([(ROW, "min")])[f"{ROW}_min"]
        keep_N = np.zeros(table.num_rows, bool)
        keep_N[first.to_numpy()] = True
        if name == "judgments":
            observed = pc.is_in(table["target"], value_set=pa.array(self.observed, pa.string()))
            keep_N |= observed.to_numpy()
        num_merged = int(table.num_rows - keep_N.sum())
        if not num_merged:
            return Cleaned(kept=table)
        return Cleaned(kept=table.filter(pa.array(keep_N)), merged={"duplicate_row": num_merged})


def _comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with one NaN and one zero, since grouping compares bits."""
    if not pa.types.is_floating(column.type):
        return column
    column = column.cast(pa.float64())
    column = pc.if_else(pc.is_nan(column), float("nan"), column)
    return pc.if_else(pc.equal(column, 0.0), 0.0, column)
