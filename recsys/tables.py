"""THE contract: every table of a run, its columns, keys, units and ranges.

Raw tables come from a source and may carry further columns (strings, numbers, booleans), which travel with the row
and become slices in the report. Corpus, score and calibration tables are written by the stages and read by anyone.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

SPLITS = ("train", "validation", "test")
KINDS = ("search", "user")
INCLUSION = "inclusion_probability"  # column of labels: the chance with which the row was kept


class TableError(ValueError):
    """A table breaks its contract: the message names table, column, value and remedy."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its Arrow type, what it means, and the values it may hold."""

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False
    optional: bool = False  # may be absent from a raw table; then it is filled with nulls
    minimum: float = -math.inf
    maximum: float = math.inf
    values: tuple[str, ...] = ()  # the only allowed values, if not empty


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A table's columns and key. `extra` tells whether further columns are welcome."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    extra: bool = False

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, c.nullable, {"meaning": c.meaning}) for c in self.columns])

    def conform(self, table: pa.Table) -> pa.Table:
        """The table with the contract's columns first, in order and type; further columns after them.

        Raises TableError for a missing column, a type that cannot be cast, or a further column where none is welcome.
        Values are not looked at: see `check_values` and `check_key`.
        """
        arrays, fields = [], []
        for column in self.columns:
            array = self._column(table, column)
            arrays.append(array)
            fields.append(pa.field(column.name, column.type, column.nullable))
        further = [n for n in table.column_names if n not in {c.name for c in self.columns}]
        if further and not self.extra:
            raise TableError(f"table '{self.name}' has unknown columns {further}; known: {self.names}")
        for name in further:
            arrays.append(table[name])
            fields.append(pa.field(name, table[name].type, True))
        return pa.table(arrays, schema=pa.schema(fields))

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]

    def _column(self, table: pa.Table, column: Column) -> pa.ChunkedArray:
        if column.name not in table.column_names:
            if column.optional:
                return pa.chunked_array([pa.nulls(table.num_rows, column.type)])
            raise TableError(
                f"table '{self.name}' has no column '{column.name}' ({column.meaning}); "
                f"it has {table.column_names}; map one of them to '{column.name}'"
            )
        try:
            return table[column.name].cast(column.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise TableError(
                f"table '{self.name}', column '{column.name}': {table[column.name].type} cannot become "
                f"{column.type} ({error}); give {column.meaning}"
            ) from error

    def check_rows(self, tables: Iterable[pa.Table]) -> int:
        """Number of rows; raises TableError for an empty table."""
        num_rows = sum(t.num_rows for t in tables)
        if num_rows == 0:
            raise TableError(f"table '{self.name}' is empty; it needs at least one row")
        return num_rows

    def check_key(self, table: pa.Table) -> None:
        """Raises TableError for a key that is null or repeated, naming the first such value and how many there are."""
        for name in self.key:
            if num_null := table[name].null_count:
                row = pc.index(pc.is_null(table[name]), True).as_py()
                raise TableError(
                    f"table '{self.name}': key '{name}' is null in {num_null} of {table.num_rows} rows "
                    f"(first: row {row}); give every row a '{name}' or drop the row"
                )
        counts = table.select(self.key).group_by(list(self.key), use_threads=False).aggregate([([], "count_all")])
        repeated = counts.filter(pc.greater(counts["count_all"], 1))
        if repeated.num_rows:
            value = {n: repeated[n][0].as_py() for n in self.key}
            raise TableError(
                f"table '{self.name}': key {value} occurs {repeated['count_all'][0].as_py()} times with different "
                f"content ({repeated.num_rows} keys are repeated); keep one row per key"
            )

    def bad_values(self, table: pa.Table) -> dict[str, pa.ChunkedArray]:
        """Reason -> mask of the rows that break it: nulls in required columns, NaN, values outside their range."""
        masks: dict[str, pa.ChunkedArray] = {}
        for column in self.columns:
            array = table[column.name]
            if not column.nullable and array.null_count:
                masks[f"null_{column.name}"] = pc.is_null(array)
            if pa.types.is_floating(column.type):
                masks[f"not_finite_{column.name}"] = pc.fill_null(pc.invert(pc.is_finite(array)), False)
            if column.minimum > -math.inf or column.maximum < math.inf:
                outside = pc.or_(pc.less(array, column.minimum), pc.greater(array, column.maximum))
                masks[f"{column.name}_outside_range"] = pc.fill_null(outside, False)
            if column.values:
                known = pc.is_in(array, value_set=pa.array(column.values, column.type))
                masks[f"unknown_{column.name}"] = pc.and_(pc.invert(known), pc.is_valid(array))
        return {reason: mask for reason, mask in masks.items() if pc.any(mask).as_py()}


_query_id = Column(name="query_id", type=pa.string(), meaning="identifies whatever asks: a typed query or a user")
_item_id = Column(name="item_id", type=pa.string(), meaning="identifies an item of the catalogue")
_locale = Column(
    name="locale", type=pa.string(), meaning="market or language, such as 'us'", nullable=True, optional=True
)
_target = Column(name="target", type=pa.string(), meaning="what is predicted: relevance, click or purchase")
_label = Column(name="label", type=pa.float64(), meaning="observed grade (relevance) or outcome (0 or 1)")
_weight = Column(name="weight", type=pa.float64(), meaning="number of observations behind the row", minimum=0)

# ---- raw tables, as a source yields them -------------------------------------------------------------------------

ITEMS = Contract(
    name="items",
    key=("item_id",),
    extra=True,
    columns=(
        _item_id,
        Column(name="text", type=pa.string(), meaning="what a model reads: title, and description where there is one"),
        Column(name="title", type=pa.string(), meaning="short name shown to people", nullable=True, optional=True),
        Column(name="category", type=pa.string(), meaning="category, for slices", nullable=True, optional=True),
        Column(name="brand", type=pa.string(), meaning="brand, for slices", nullable=True, optional=True),
        Column(
            name="price",
            type=pa.float64(),
            meaning="price in the shop's currency",
            nullable=True,
            optional=True,
            minimum=0,
        ),
        _locale,
    ),
)

QUERIES = Contract(
    name="queries",
    key=("query_id",),
    extra=True,
    columns=(
        _query_id,
        Column(
            name="text", type=pa.string(), meaning="typed text, or a user rendered as text from profile and history"
        ),
        Column(name="kind", type=pa.string(), meaning="search or user", values=KINDS),
        _locale,
        Column(
            name="frequency",
            type=pa.float64(),
            meaning="times the query was asked",
            nullable=True,
            optional=True,
            minimum=0,
        ),
    ),
)

JUDGMENTS = Contract(  # may repeat a pair: several raters; extra columns (a given score, slices) travel along
    name="judgments", extra=True, columns=(_query_id, _item_id, _target, _label)
)

IMPRESSIONS = Contract(
    name="impressions",
    key=("impression_id",),
    extra=True,
    columns=(
        Column(name="impression_id", type=pa.string(), meaning="identifies one item shown once"),
        _query_id,
        _item_id,
        Column(name="position", type=pa.int32(), meaning="rank at which the item was shown, 1 = top", minimum=1),
        Column(
            name="propensity",
            type=pa.float64(),
            meaning="probability that the logging policy showed this item here",
            nullable=True,
            optional=True,
            minimum=0,
            maximum=1,
        ),
        Column(name="click", type=pa.int8(), meaning="1 if clicked", minimum=0, maximum=1),
        Column(name="purchase", type=pa.int8(), meaning="1 if bought", minimum=0, maximum=1),
    ),
)

RAW = {c.name: c for c in (ITEMS, QUERIES, JUDGMENTS, IMPRESSIONS)}

# ---- corpus/ : items, queries (with split), impressions as above, and ---------------------------------------------

SPLIT = Column(name="split", type=pa.string(), meaning="which part of the queries: fixed by a hash", values=SPLITS)

LABELS = Contract(  # one row per (query, item, target, label) and values of further columns; outcomes are summed
    name="labels",
    key=("query_id", "item_id", "target", "label"),
    extra=True,
    columns=(_query_id, _item_id, _target, _label, _weight),
)

# ---- scores/ ------------------------------------------------------------------------------------------------------
# labelled/, and in each part of tiles/ : query_id, item_id, then one float32 column `score_<output>` per model output.


def scores_schema(outputs: Iterable[str], kind: str = "float32") -> pa.Schema:
    """Schema of scored pairs: original ids, then one logit per model output, of `kind` float32 or float16."""
    score = {"float32": pa.float32(), "float16": pa.float16()}[kind]
    ids = [pa.field("query_id", pa.string(), False), pa.field("item_id", pa.string(), False)]
    return pa.schema(ids + [pa.field(f"score_{o}", score, False) for o in outputs])


RANKS = Contract(  # exact place of each labelled pair among all items of its query's market
    name="ranks",
    key=("query_id", "item_id", "output"),
    columns=(
        _query_id,
        _item_id,
        Column(name="output", type=pa.string(), meaning="which model output"),
        Column(name="num_above", type=pa.int64(), meaning="items of the query with a strictly higher score", minimum=0),
        Column(name="num_tied", type=pa.int64(), meaning="items with the same score, itself included", minimum=1),
        Column(name="num_items", type=pa.int64(), meaning="items of the query's market", minimum=1),
    ),
)

TOP = Contract(  # ties in score are ordered by item_id
    name="top",
    key=("query_id", "output", "rank"),
    columns=(
        _query_id,
        Column(name="output", type=pa.string(), meaning="which model output"),
        Column(name="rank", type=pa.int32(), meaning="1 = best", minimum=1),
        _item_id,
        Column(name="score", type=pa.float32(), meaning="unbounded logit"),
        Column(
            name="model", type=pa.string(), meaning="which model gave the score; those of two models cannot be compared"
        ),
    ),
)

# ---- calibration/ -------------------------------------------------------------------------------------------------

CALIBRATED = Contract(  # one row per label: what calibrate hands to report
    name="calibrated",
    columns=(
        _query_id,
        _item_id,
        _target,
        _label,
        _weight,
        SPLIT,
        Column(name="score", type=pa.float32(), meaning="unbounded logit"),
        Column(name="uncalibrated", type=pa.float64(), meaning="sigmoid(score)", minimum=0, maximum=1),
        Column(
            name="probability",
            type=pa.float64(),
            meaning="calibrated, by a calibrator fitted without this row's query",
            minimum=0,
            maximum=1,
        ),
    ),
    extra=True,
)
