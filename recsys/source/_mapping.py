"""From the user's columns to a contract's: names, constants, further columns, plain types."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.tables import Contract, TableError

ALL = "*"
RESERVED = ("score", "weight", "split", "uncalibrated", "probability", "reason")  # what later stages add to a row
PREFIXES = ("score_", "probability_")  # likewise


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """How one file becomes one raw table.

    A contract column comes from the file's column it is mapped to, from a constant, or from the column of its own name.
    A further column that would clash with one of ours is called `given_<name>`.
    """

    contract: Contract
    columns: dict[str, str]  # our column -> the file's; may name further columns too
    constants: dict[str, str] = field(default_factory=dict)  # our column -> the same value in every row
    further: list[str] = field(default_factory=list)  # the file's columns that travel along; ['*'] for all others
    numbers: list[str] = field(default_factory=list)  # further columns that hold numbers
    key: str = "source.columns"  # where the mapping is configured, for messages

    def resolve(self, names: list[str], file: str) -> dict[str, str]:
        """Our column -> the file's column, for all that are read. TableError: what is missing, what to change."""
        resolved: dict[str, str] = {}
        for ours, theirs in self.columns.items():
            if theirs not in names:
                raise TableError(f"{file} has no column '{theirs}'; it has {names}; change {self.key}.{ours}")
            resolved[ours] = theirs
        for column in self.contract.columns:
            if column.name in resolved or column.name in self.constants:
                continue
            if column.name in names:
                resolved[column.name] = column.name
            elif not column.optional:
                raise TableError(
                    f"{file} has no column '{column.name}' ({column.meaning}); it has {names}; "
                    f"name one of them in {self.key}.{column.name}"
                )
        for theirs in self._further(names, set(resolved.values()), file):
            taken = theirs in (*self.contract.names, *RESERVED, *resolved) or theirs.startswith(PREFIXES)
            resolved[f"given_{theirs}" if taken else theirs] = theirs
        unknown = [n for n in self.numbers if n not in resolved]
        if unknown:
            raise TableError(f"numbers={unknown} are not among the columns read from {file}: {sorted(resolved)}")
        return resolved

    def _further(self, names: list[str], used: set[str], file: str) -> list[str]:
        if ALL in self.further:
            return [n for n in names if n not in used]
        missing = [n for n in self.further if n not in names]
        if missing:
            raise TableError(f"{file} has no columns {missing}; it has {names}; change the list of further columns")
        return [n for n in self.further if n not in used]

    def apply(self, table: pa.Table, resolved: dict[str, str]) -> pa.Table:
        """The raw table, conforming to its contract."""
        columns: dict[str, pa.ChunkedArray | pa.Array] = {}
        for ours, theirs in resolved.items():
            if ours in self.contract.names:
                columns[ours] = table[theirs]
            else:
                columns[ours] = number(table[theirs], ours) if ours in self.numbers else plain(table[theirs], ours)
        for ours, value in self.constants.items():
            columns[ours] = pa.repeat(pa.scalar(value), table.num_rows)
        return self.contract.conform(pa.table(columns))


def plain(array: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """A further column as string, number or boolean; TableError for a nested one."""
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_float64(kind):
        return array
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return array.cast(pa.float64())
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise TableError(
            f"column '{name}' is {kind}; a further column holds strings, numbers or booleans: leave it out"
        )
    return array.cast(pa.string())


def number(array: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """A column as float64; TableError naming a value that is no number."""
    try:
        return array.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TableError(f"column '{name}' is to hold numbers: {' '.join(str(error).split())}") from error


def joined(table: pa.Table, columns: list[str]) -> pa.ChunkedArray:
    """One text per row: the cells of these columns that are neither null nor empty, separated by a space.

    Not by `null_handling="skip"`, which in pyarrow 26 drops the rows in which every cell is null.
    """
    texts, *others = (pc.fill_null(table[c].cast(pa.string()), "") for c in columns)
    for other in others:
        both = pc.and_(pc.not_equal(texts, ""), pc.not_equal(other, ""))
        texts = pc.binary_join_element_wise(texts, pc.if_else(both, " ", ""), other, "")
    return texts


def graded(labels: pa.ChunkedArray, grades: dict[str, float]) -> pa.ChunkedArray:
    """float64 grade of each label; null where the label is not among the grades."""
    position = pc.index_in(labels, value_set=pa.array(list(grades), pa.string()))
    return pc.take(pa.array(list(grades.values()), pa.float64()), position)


def distinct(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The distinct rows without nulls in the first column, in order of first appearance, as one shard."""
    parts = [_distinct(t) for t in tables]
    if parts:
        yield _distinct(pa.concat_tables(parts))


def _distinct(table: pa.Table) -> pa.Table:
    table = table.filter(pc.is_valid(table[0]))
    numbered = table.append_column("", pa.array(np.arange(table.num_rows)))
    first = numbered.group_by(table.column_names, use_threads=False).aggregate([("", "min")])["_min"]
    return table.take(np.sort(first.to_numpy()))
