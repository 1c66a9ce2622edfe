"""User tables in any layout: files per raw table, columns mapped by name. Shared by `delimited` and `parquet`."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from recsys.source._files import File, find, join
from recsys.source._mapping import RESERVED, Mapping, distinct, joined
from recsys.source._reader import Reader, check_rows
from recsys.source._source import Source
from recsys.tables import QUERIES, RAW, TableError

QUERY_TEXT = "query_text"  # may be mapped in judgments or impressions, when there is no table of queries


@dataclass
class MappedSource(Source):
    """Raw tables from the user's own files. Without a table of queries, they are the distinct queries of the judgments,
    else of the impressions: `query_id` is then also the text, unless a column is mapped to `query_text`."""

    path: str
    items: str
    queries: str | None
    judgments: str | None
    impressions: str | None
    columns: dict[str, dict[str, str]]
    constants: dict[str, dict[str, str]]
    further: dict[str, list[str]]
    fields: list[str]

    @abstractmethod
    def reader(self) -> Reader:
        """How the files are read."""

    @abstractmethod
    def suffixes(self) -> tuple[str, ...]:
        """Endings of the files that count, where a folder is given."""

    @abstractmethod
    def numbers(self, table: str) -> list[str]:
        """Further columns of a table that hold numbers, where the files do not say so."""

    def check(self) -> None:
        """Raises ValueError for a configuration that cannot work."""
        for key in ("columns", "constants", "further"):
            unknown = sorted(set(getattr(self, key)) - set(RAW))
            if unknown:
                raise ValueError(f"source.{key} has unknown tables {unknown}; use {list(RAW)}")
        for table, columns in self.columns.items():
            if reserved := sorted(set(columns) & set(RESERVED)):
                raise ValueError(
                    f"source.columns.{table} names {reserved}, which later stages add themselves; use other names, or "
                    "source=scored for scores of your own"
                )
        if len(self.files()) == 1:
            raise ValueError("source: only items are named; name queries, judgments or impressions as well")
        for table, constants in self.constants.items():
            twice = sorted(set(constants) & set(self.columns.get(table, {})))
            if twice:
                raise ValueError(
                    f"source.constants.{table} and source.columns.{table} both give {twice}; keep one of them"
                )
        if self.fields and "text" in {**self.columns.get("items", {}), **self.constants.get("items", {})}:
            raise ValueError(
                f"source.fields={self.fields} makes the items' text; remove 'text' from source.columns.items"
            )

    def files(self) -> dict[str, str]:
        """Raw table -> file, for those that have one."""
        return {table: getattr(self, table) for table in RAW if getattr(self, table) is not None}

    def tables(self) -> tuple[str, ...]:
        return tuple(name for name in RAW if name in self.files() or name == "queries")

    def identity(self) -> dict[str, str]:
        known = {}
        for table in self.files():
            files = self._files(table)
            for file in files:
                self._mapping(table, file)
                known[f"{table}/{file.name}"] = file.identity()
            check_rows(self.reader(), files)
        return known

    def read(self, table: str) -> Iterator[pa.Table]:
        if table not in self.files():
            yield from (QUERIES.conform(self._as_queries(t)) for t in distinct(self._askers()))
            return
        for file in self._files(table):
            mapping, resolved = self._mapping(table, file)
            resolved.pop(QUERY_TEXT, None)
            for shard in self._shards(table, file, resolved):
                yield self._with_text(table, mapping.apply(shard, resolved), shard)

    def _files(self, table: str) -> list[File]:
        return find(join(self.path, self.files()[table]), self.suffixes())

    def _mapping(self, table: str, file: File) -> tuple[Mapping, dict[str, str]]:
        """How a file becomes (a part of) the table, and which of its columns are read. TableError if it cannot."""
        names = self.reader().names(file)
        constants = {c: v for c, v in self.constants.get(table, {}).items() if c not in names}
        if table == "items" and self.fields:
            missing = [n for n in self.fields if n not in names]
            if missing:
                raise TableError(f"{file.name} has no columns {missing}; it has {names}; change source.fields")
            constants["text"] = ""  # filled by `_with_text`
        mapping = Mapping(
            contract=RAW[table],
            columns=self.columns.get(table, {}),
            constants=constants,
            further=self.further.get(table, []),
            numbers=self.numbers(table),
            key=f"source.columns.{table}",
        )
        return mapping, mapping.resolve(names, file.name)

    def _shards(self, table: str, file: File, resolved: dict[str, str]) -> Iterator[pa.Table]:
        """Shards as they are in the file, with the columns that are needed."""
        needed = {*resolved.values(), *(self.fields if table == "items" else [])}
        return self.reader().shards(file, sorted(needed))

    def _with_text(self, table: str, rows: pa.Table, shard: pa.Table) -> pa.Table:
        if table != "items" or not self.fields:
            return rows
        place = rows.column_names.index("text")
        return rows.set_column(place, rows.schema.field("text"), joined(shard, self.fields))

    def _askers(self) -> Iterator[pa.Table]:
        """query_id and text of whoever asks, row by row of the judgments, else of the impressions."""
        table = "judgments" if "judgments" in self.files() else "impressions"
        for file in self._files(table):
            _, resolved = self._mapping(table, file)
            query_id = resolved["query_id"]
            names = {"query_id": query_id, "text": resolved.get(QUERY_TEXT, query_id)}
            for shard in self._shards(table, file, names):
                yield pa.table({ours: shard[theirs].cast(pa.string()) for ours, theirs in names.items()})

    def _as_queries(self, askers: pa.Table) -> pa.Table:
        constants = {"kind": "search"} | self.constants.get("queries", {})
        for name, value in constants.items():
            askers = askers.append_column(name, pa.repeat(pa.scalar(value), askers.num_rows))
        return askers
