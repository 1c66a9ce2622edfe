"""Pairs that some other system has scored already: calibrate and report need no model."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from recsys.source._files import File, find
from recsys.source._mapping import Mapping, distinct, number
from recsys.source._reader import reader_of
from recsys.source._source import Source
from recsys.tables import ITEMS, JUDGMENTS, QUERIES, TableError

SUFFIXES = (".csv", ".tsv", ".parquet", ".csv.gz", ".tsv.gz")


@dataclass
class Scored(Source):
    """One table of (query, item, label, score); every other column travels along and becomes a slice.

    Judgments carry the given score as a float64 column `score`; queries and items are those that occur.
    """

    gives_scores: ClassVar[bool] = True

    path: str
    query: str
    item: str
    label: str
    score: str
    query_text: str | None
    item_text: str | None
    target: str
    further: list[str]
    numeric: list[str]

    def tables(self) -> tuple[str, ...]:
        return ("items", "queries", "judgments")

    def identity(self) -> dict[str, str]:
        known = {}
        for file in self._files():
            self._resolve(file)
            known[file.name] = file.identity()
        if not any(reader_of(f).has_rows(f) for f in self._files()):
            raise TableError(f"no rows in {self.path}; give at least one scored pair")
        return known

    def read(self, table: str) -> Iterator[pa.Table]:
        if table == "items":
            yield from (ITEMS.conform(t) for t in distinct(self._texts("item_id", self.item, self.item_text)))
        elif table == "queries":
            for shard in distinct(self._texts("query_id", self.query, self.query_text)):
                yield QUERIES.conform(shard.append_column("kind", pa.repeat(pa.scalar("search"), shard.num_rows)))
        else:
            judgments = pa.concat_tables(list(self._judgments()), promote_options="default")
            _check_one_score(judgments)
            yield judgments

    def _files(self) -> list[File]:
        return find(self.path, SUFFIXES)

    def _mapping(self) -> Mapping:
        return Mapping(
            contract=JUDGMENTS,
            columns={"query_id": self.query, "item_id": self.item, "label": self.label, "score": self.score},
            constants={"target": self.target},
            further=self.further,
            numbers=self.numeric,
            key="source",
        )

    def _resolve(self, file: File) -> dict[str, str]:
        names = reader_of(file).names(file)
        for key, column in self._named().items():
            if column not in names:
                raise TableError(
                    f"{file.name} has no column '{column}'; it has {names}; set source.{key} to one of them"
                )
        resolved = self._mapping().resolve(names, file.name)
        texts = {self.query_text, self.item_text}
        return {ours: theirs for ours, theirs in resolved.items() if theirs not in texts or ours in ITEM_AND_QUERY}

    def _named(self) -> dict[str, str]:
        keys = ("query", "item", "label", "score", "query_text", "item_text")
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}

    def _texts(self, name: str, column: str, text: str | None) -> Iterator[pa.Table]:
        for file in self._files():
            for shard in reader_of(file).shards(file, list(dict.fromkeys([column, text or column]))):
                columns = {name: shard[column].cast(pa.string()), "text": shard[text or column].cast(pa.string())}
                yield pa.table(columns)

    def _judgments(self) -> Iterator[pa.Table]:
        mapping = self._mapping()
        for file in self._files():
            resolved = self._resolve(file)
            for shard in reader_of(file).shards(file, list(dict.fromkeys(resolved.values()))):
                table = mapping.apply(shard, resolved)
                place = table.column_names.index("score")
                yield table.set_column(place, "score", number(table["score"], "score"))


ITEM_AND_QUERY = ("query_id", "item_id", "label", "score")  # a text column may be one of these as well


def _check_one_score(judgments: pa.Table) -> None:
    """Raises TableError where a pair has two different (finite) scores."""
    finite = judgments.filter(pc.is_finite(judgments["score"])).select(["query_id", "item_id", "score"])
    pairs = finite.group_by(["query_id", "item_id"], use_threads=False).aggregate([("score", "min"), ("score", "max")])
    torn = pairs.filter(pc.not_equal(pairs["score_min"], pairs["score_max"]))
    if torn.num_rows:
        first = torn.slice(0, 1).to_pylist()[0]
        raise TableError(
            f"query '{first['query_id']}', item '{first['item_id']}' has the scores {first['score_min']} and "
            f"{first['score_max']} ({torn.num_rows} such pairs); a pair has one score: make the query id distinguish "
            f"the contexts (session, device, user), or keep one row"
        )
