from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.source import Esci
from recsys.tables import TableError
from tests.data import data_folder
from tests.source.files import read, write

GRADES = {"E": 3.0, "S": 2.0, "C": 1.0, "I": 0.0}
PRODUCTS = pa.table(
    {
        "product_id": ["B1", "B1", "B2"],
        "product_title": ["sofa", "sofá", "ランプ"],
        "product_description": [None, "rojo", None],
        "product_bullet_point": ["soft\nred", None, None],
        "product_brand": ["Ikea", None, None],
        "product_color": ["red", None, None],
        "product_locale": ["us", "es", "jp"],
    }
)
EXAMPLES = pa.table(
    {
        "example_id": [1, 2, 3, 4],
        "query": ["sofa", "sofa", "lamp", "sofa"],
        "query_id": [1, 2, 3, 1],
        "product_id": ["B1", "B1", "B2", "B9"],
        "product_locale": ["us", "es", "jp", "us"],
        "esci_label": ["E", "C", "I", "?"],
        "split": ["train"] * 4,
    }
)


def source(path: Path, **changes: Any) -> Esci:
    values: dict[str, Any] = {"fields": ["title", "bullets"], "locales": ["us", "es", "jp"], "labels": GRADES}
    return Esci(path=str(path), **values | changes)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    pq.write_table(PRODUCTS, tmp_path / "shopping_queries_dataset_products.parquet")
    pq.write_table(EXAMPLES, tmp_path / "shopping_queries_dataset_examples.parquet")
    return tmp_path


def test_the_official_files(official: Path) -> None:
    shop = source(official)
    assert len(shop.identity()) == 2
    items = read(shop, "items").to_pylist()
    assert [i["item_id"] for i in items] == ["us:B1", "es:B1", "jp:B2"]
    assert (items[0]["text"], items[0]["brand"], items[0]["colour"]) == ("sofa soft\nred", "Ikea", "red")
    queries = read(shop, "queries").to_pylist()
    assert [(q["query_id"], q["text"], q["locale"]) for q in queries] == [
        ("us:sofa", "sofa", "us"),
        ("es:sofa", "sofa", "es"),
        ("jp:lamp", "lamp", "jp"),
    ]
    judgments = read(shop, "judgments").to_pylist()
    assert [(j["query_id"], j["item_id"], j["label"]) for j in judgments] == [
        ("us:sofa", "us:B1", 3.0),
        ("es:sofa", "es:B1", 1.0),
        ("jp:lamp", "jp:B2", 0.0),
        ("us:sofa", "us:B9", None),
    ]


def test_locales_and_grades_are_chosen(official: Path) -> None:
    shop = source(official, locales=["es"], labels={"E": 1.0, "C": 0.1}, fields=["description", "title"])
    assert read(shop, "items")["text"].to_pylist() == ["rojo sofá"]
    assert read(shop, "queries")["query_id"].to_pylist() == ["es:sofa"]
    assert read(shop, "judgments")["label"].to_pylist() == [0.1]


def test_errors_name_the_remedy(official: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"source.labels=\{'X': 1.0\} must give grades to E, S, C, I"):
        source(official, labels={"X": 1.0})
    with pytest.raises(ValueError, match=r"source.locales=\[\]"):
        source(official, locales=[])
    with pytest.raises(ValueError, match=r"source.fields=\['name'\]"):
        source(official, fields=["name"])
    (official / "shopping_queries_dataset_products.parquet").unlink()
    with pytest.raises(TableError, match=r"neither esci_pairs.parquet nor .*examples.parquet'\]; check source.path"):
        source(official).identity()
    with pytest.raises(TableError, match=r"no such folder"):
        source(tmp_path / "nowhere").identity()
    pq.write_table(EXAMPLES, write(tmp_path, "esci_pairs.parquet", ""))
    with pytest.raises(TableError, match=r"esci_pairs.parquet has no columns \['product_title'"):
        source(official).identity()


def test_the_sample() -> None:
    folder = data_folder("esci_sample")
    shop = source(folder)
    assert list(shop.identity()) == ["esci_pairs.parquet"]
    items, queries, judgments = (read(shop, t) for t in ("items", "queries", "judgments"))
    rows = pq.read_table(folder / "esci_pairs.parquet").to_pylist()
    assert judgments.num_rows == len(rows) == 2_159
    assert Counter(judgments["label"].to_pylist()) == {3.0: 1_265, 2.0: 551, 1.0: 82, 0.0: 261}
    assert set(queries["query_id"].to_pylist()) == {f"{r['query_locale']}:{r['query']}" for r in rows}
    assert items["item_id"].to_pylist() == list(dict.fromkeys(f"{r['product_locale']}:{r['product_id']}" for r in rows))
    assert (items.num_rows, queries.num_rows) == (2_158, 2_116)
    assert Counter(queries["locale"].to_pylist()).keys() == {"us", "es", "jp"}
    spanish = source(folder, locales=["es"])
    assert read(spanish, "judgments").num_rows == 349
