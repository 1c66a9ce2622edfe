"""The Chorus electronics shop: an Icecat catalogue and graded search ratings (github.com/querqy/chorus)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recsys.source._files import find, join
from recsys.source._mapping import distinct, joined
from recsys.source._reader import DelimitedReader, ParquetReader, Reader, check_rows
from recsys.source._source import Source
from recsys.tables import RAW, TableError

CATALOGUE, RATINGS = "icecat_products.parquet", "Broad_Query_Set_rated.csv"
FIELDS = {"title": "title", "description": "short_description", "brand": "supplier"}
COLUMNS = {
    CATALOGUE: ["id", "title", "short_description", "supplier", "price", "attributes"],
    RATINGS: ["query", "docid", "rating"],
}
CENTS = 100.0


@dataclass
class Chorus(Source):
    """Items join the ratings on `docid` (names in the rating files are damaged); a query is identified by its text."""

    path: str
    fields: list[str]
    category: str | None
    attributes: list[str]

    def __post_init__(self) -> None:
        unknown = [f for f in self.fields if f not in FIELDS]
        if unknown or not self.fields:
            raise ValueError(f"source.fields={self.fields} must be a choice of {list(FIELDS)}")

    def tables(self) -> tuple[str, ...]:
        return ("items", "queries", "judgments")

    def identity(self) -> dict[str, str]:
        known = {}
        for name in (CATALOGUE, RATINGS):
            (file,) = find(join(self.path, name), ())
            names = _reader(name).names(file)
            missing = [c for c in COLUMNS[name] if c not in names]
            if missing:
                raise TableError(f"{name} has no columns {missing}; it has {names}; use the file of the Chorus project")
            check_rows(_reader(name), [file])
            known[name] = file.identity()
        return known

    def read(self, table: str) -> Iterator[pa.Table]:
        convert = {"items": self._items, "queries": _askers, "judgments": _judgments}[table]
        shards = (convert(shard) for shard in self._shards(CATALOGUE if table == "items" else RATINGS))
        for shard in distinct(shards) if table == "queries" else shards:
            yield RAW[table].conform(shard)

    def _shards(self, name: str) -> Iterator[pa.Table]:
        (file,) = find(join(self.path, name), ())
        yield from _reader(name).shards(file, COLUMNS[name])

    def _items(self, products: pa.Table) -> pa.Table:
        attributes = [json.loads(a) if a else {} for a in products["attributes"].to_pylist()]
        columns = {
            "item_id": products["id"],
            "text": joined(products, [FIELDS[f] for f in self.fields]),
            "title": products["title"],
            "brand": products["supplier"],
            "price": pc.divide(products["price"].cast(pa.float64()), CENTS),
        }
        if self.category:
            columns["category"] = _attribute(attributes, self.category)
        for name in self.attributes:
            columns[name.removeprefix("attr_t_")] = _attribute(attributes, name)
        return pa.table(columns)


def _reader(name: str) -> Reader:
    return ParquetReader() if name == CATALOGUE else DelimitedReader(",")


def _attribute(attributes: list[dict], name: str) -> pa.Array:
    return pa.array([None if a.get(name) is None else str(a[name]) for a in attributes], pa.string())


def _askers(ratings: pa.Table) -> pa.Table:
    kind = pa.repeat(pa.scalar("search"), ratings.num_rows)
    return pa.table({"query_id": ratings["query"], "text": ratings["query"], "kind": kind})


def _judgments(ratings: pa.Table) -> pa.Table:
    target = pa.repeat(pa.scalar("relevance"), ratings.num_rows)
    return pa.table(
        {"query_id": ratings["query"], "item_id": ratings["docid"], "target": target, "label": ratings["rating"]}
    )
