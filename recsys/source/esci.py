"""Amazon's Shopping Queries data set, ESCI (Reddy et al., arXiv:2206.06588; github.com/amazon-science/esci-data)."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recsys.source._files import File, find, join, listing
from recsys.source._mapping import distinct, graded, joined
from recsys.source._reader import ParquetReader, check_rows
from recsys.source._source import Source
from recsys.tables import RAW, TableError

PAIRS = "esci_pairs.parquet"  # labelled pairs with the products' texts beside them
EXAMPLES = "shopping_queries_dataset_examples.parquet"  # the official pair of files
PRODUCTS = "shopping_queries_dataset_products.parquet"
FIELDS = {"title": "product_title", "description": "product_description", "bullets": "product_bullet_point"}
LABELS = ("E", "S", "C", "I")
QUERY_COLUMNS = ["query", "product_id", "product_locale", "esci_label"]


@dataclass
class Esci(Source):
    """Queries and products of several markets, with the labels Exact, Substitute, Complement, Irrelevant.

    Identifiers are '<locale>:<query text>' and '<locale>:<product id>'. A pair belongs to the locale of its query.
    """

    path: str
    fields: list[str]
    locales: list[str]
    labels: dict[str, float]

    def __post_init__(self) -> None:
        unknown = [f for f in self.fields if f not in FIELDS]
        if unknown or not self.fields:
            raise ValueError(f"source.fields={self.fields} must be a choice of {list(FIELDS)}")
        if not self.locales:
            raise ValueError("source.locales=[] selects nothing; use a choice of us, es, jp")
        if not self.labels or set(self.labels) - set(LABELS):
            raise ValueError(f"source.labels={self.labels} must give grades to {', '.join(LABELS)}")

    def tables(self) -> tuple[str, ...]:
        return ("items", "queries", "judgments")

    def identity(self) -> dict[str, str]:
        known = {}
        for file in {f.name: f for f in (self._file("items"), self._file("judgments"))}.values():
            names = ParquetReader().names(file)
            wanted = [
                *(QUERY_COLUMNS if file.name != PRODUCTS else []),
                *(FIELDS.values() if file.name != EXAMPLES else []),
            ]
            missing = [c for c in wanted if c not in names]
            if missing:
                raise TableError(f"{file.name} has no columns {missing}; it has {names}; use the file of the data set")
            check_rows(ParquetReader(), [file])
            known[file.name] = file.identity()
        return known

    def read(self, table: str) -> Iterator[pa.Table]:
        convert = {"items": self._items, "queries": _askers, "judgments": self._judgments}[table]
        file = self._file(table)
        shards = (convert(shard) for shard in self._shards(file))
        derived = table == "queries" or (table == "items" and file.name == PAIRS)
        for shard in distinct(shards) if derived else shards:
            yield RAW[table].conform(shard)

    def _file(self, table: str) -> File:
        names = listing(self.path)
        if PAIRS in names:
            return find(join(self.path, PAIRS), ())[0]
        if EXAMPLES not in names or PRODUCTS not in names:
            raise TableError(
                f"{self.path} has neither {PAIRS} nor {EXAMPLES} and {PRODUCTS}, but {names[:20]}; check source.path"
            )
        return find(join(self.path, PRODUCTS if table == "items" else EXAMPLES), ())[0]

    def _shards(self, file: File) -> Iterator[pa.Table]:
        """Shards with a column `query_locale`, of the chosen locales."""
        names = ParquetReader().names(file)
        asked = "query_locale" if "query_locale" in names else "product_locale"
        for shard in ParquetReader().shards(file, names):
            if asked == "product_locale":
                shard = shard.append_column("query_locale", shard["product_locale"])
            chosen = pc.is_in(shard["query_locale"].cast(pa.string()), value_set=pa.array(self.locales, pa.string()))
            yield shard.filter(chosen)

    def _items(self, products: pa.Table) -> pa.Table:
        colour = "product_color" if "product_color" in products.column_names else "product_color_name"
        columns = {
            "item_id": _identified(products["product_locale"], products["product_id"]),
            "text": joined(products, [FIELDS[f] for f in self.fields]),
            "title": products["product_title"],
            "brand": products["product_brand"],
            "locale": products["product_locale"],
            "colour": products[colour],
        }
        return pa.table({name: column.cast(pa.string()) for name, column in columns.items()})

    def _judgments(self, pairs: pa.Table) -> pa.Table:
        letter = pc.utf8_upper(pc.utf8_slice_codeunits(pairs["esci_label"].cast(pa.string()), 0, 1))
        columns = {
            "query_id": _identified(pairs["query_locale"], pairs["query"]),
            "item_id": _identified(pairs["product_locale"], pairs["product_id"]),
            "target": pa.repeat(pa.scalar("relevance"), pairs.num_rows),
            "label": graded(letter, self.labels),
        }
        return pa.table(columns)


def _askers(pairs: pa.Table) -> pa.Table:
    columns = {
        "query_id": _identified(pairs["query_locale"], pairs["query"]),
        "text": pairs["query"].cast(pa.string()),
        "kind": pa.repeat(pa.scalar("search"), pairs.num_rows),
        "locale": pairs["query_locale"].cast(pa.string()),
    }
    return pa.table(columns)


def _identified(locale: pa.ChunkedArray, name: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(locale.cast(pa.string()), name.cast(pa.string()), ":")
