"""WANDS, Wayfair's annotated search data set (Chen et al., ECIR 2022; github.com/wayfair/WANDS)."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recsys.source._files import find, join
from recsys.source._mapping import graded, joined, number
from recsys.source._reader import DelimitedReader, check_rows
from recsys.source._source import Source
from recsys.tables import RAW, TableError

FILES = {"items": "product.csv", "queries": "query.csv", "judgments": "label.csv"}
NUMBERS = ["rating_count", "average_rating", "review_count"]
HIERARCHY, LEVELS = "category hierarchy", " / "
COLUMNS = {
    "items": [
        "product_id",
        "product_name",
        "product_class",
        HIERARCHY,
        "product_description",
        "product_features",
        *NUMBERS,
    ],
    "queries": ["query_id", "query", "query_class"],
    "judgments": ["query_id", "product_id", "label"],
}
FIELDS = {
    "title": "product_name",
    "description": "product_description",
    "class": "product_class",
    "category": HIERARCHY,
    "features": "product_features",
}


@dataclass
class Wands(Source):
    """Home goods with human labels. The category is the top of the hierarchy. Labels without a grade become null."""

    path: str
    fields: list[str]
    labels: dict[str, float]

    def __post_init__(self) -> None:
        unknown = [f for f in self.fields if f not in FIELDS]
        if unknown or not self.fields:
            raise ValueError(f"source.fields={self.fields} must be a choice of {list(FIELDS)}")
        if not self.labels:
            raise ValueError(
                "source.labels={} gives no label a grade; use for example {Exact: 3, Partial: 1, Irrelevant: 0}"
            )

    def tables(self) -> tuple[str, ...]:
        return tuple(FILES)

    def identity(self) -> dict[str, str]:
        known = {}
        for table, name in FILES.items():
            (file,) = find(join(self.path, name), ())
            names = DelimitedReader("\t").names(file)
            missing = [c for c in COLUMNS[table] if c not in names]
            if missing:
                raise TableError(
                    f"{name} has no columns {missing}; it has {names}; use the tab-separated file of WANDS"
                )
            check_rows(DelimitedReader("\t"), [file])
            known[name] = file.identity()
        return known

    def read(self, table: str) -> Iterator[pa.Table]:
        convert = {"items": self._items, "queries": _queries, "judgments": self._judgments}[table]
        (file,) = find(join(self.path, FILES[table]), ())
        for shard in DelimitedReader("\t").shards(file, COLUMNS[table]):
            yield RAW[table].conform(convert(shard))

    def _items(self, products: pa.Table) -> pa.Table:
        columns = {
            "item_id": products["product_id"],
            "text": joined(products, [FIELDS[f] for f in self.fields]),
            "title": products["product_name"],
            "category": pc.list_element(pc.split_pattern(products[HIERARCHY], LEVELS), 0),
            "product_class": products["product_class"],
        }
        return pa.table(columns | {name: number(products[name], name) for name in NUMBERS})

    def _judgments(self, labels: pa.Table) -> pa.Table:
        columns = {
            "query_id": labels["query_id"],
            "item_id": labels["product_id"],
            "target": pa.repeat(pa.scalar("relevance"), labels.num_rows),
            "label": graded(labels["label"], self.labels),
        }
        return pa.table(columns)


def _queries(queries: pa.Table) -> pa.Table:
    columns = {
        "query_id": queries["query_id"],
        "text": queries["query"],
        "kind": pa.repeat(pa.scalar("search"), queries.num_rows),
        "query_class": queries["query_class"],
    }
    return pa.table(columns)
