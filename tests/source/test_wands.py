import shutil
from pathlib import Path
from typing import Any

import pytest

from recsys.source import Wands
from recsys.tables import TableError
from tests.data import data_folder
from tests.source.files import read, write

PRODUCT = (
    "product_id\tproduct_name\tproduct_class\tcategory hierarchy\tproduct_description\tproduct_features\t"
    "rating_count\taverage_rating\treview_count\n"
    "0\tsolid wood platform bed\tBeds\tFurniture / Bedroom Furniture / Beds\t"
    "good , deep\tcolor : green|: no\t15.0\t4.5\t15.0\n"
    '7\t"7 "" qt . slow\tcooker"\tSlow Cookers|Pots\tKitchen\t\t\t\t\t\n'
)
QUERY = "query_id\tquery\tquery_class\n0\tsalon chair\tMassage Chairs\n1\tcooker\t\n"
LABEL = (
    "id\tquery_id\tproduct_id\tlabel\n0\t0\t0\tExact\n1\t0\t7\tIrrelevant\n"
    "5\t1\t7\tPartial\n6\t1\t7\tExact\n7\t1\t0\tUnsure\n"
)


def source(path: Path, **changes: Any) -> Wands:
    values: dict[str, Any] = {
        "fields": ["title", "description"],
        "labels": {"Exact": 3.0, "Partial": 1.0, "Irrelevant": 0.0},
    }
    return Wands(path=str(path), **values | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("product.csv", PRODUCT), ("query.csv", QUERY), ("label.csv", LABEL)):
        write(tmp_path, name, text)
    return tmp_path


def test_products(folder: Path) -> None:
    bed, cooker = read(source(folder), "items").to_pylist()
    assert bed == {
        "item_id": "0",
        "text": "solid wood platform bed good , deep",
        "title": "solid wood platform bed",
        "category": "Furniture",
        "brand": None,
        "price": None,
        "locale": None,
        "product_class": "Beds",
        "rating_count": 15.0,
        "average_rating": 4.5,
        "review_count": 15.0,
    }
    assert (cooker["text"], cooker["category"], cooker["rating_count"]) == ('7 " qt . slow\tcooker', "Kitchen", None)
    features = read(source(folder, fields=["class", "features"]), "items")["text"].to_pylist()
    assert features == ["Beds color : green|: no", "Slow Cookers|Pots"]


def test_queries_keep_their_class(folder: Path) -> None:
    queries = read(source(folder), "queries").to_pylist()
    assert [(q["query_id"], q["text"], q["kind"], q["query_class"]) for q in queries] == [
        ("0", "salon chair", "search", "Massage Chairs"),
        ("1", "cooker", "search", None),
    ]


def test_conflicting_labels_are_kept_and_unknown_ones_are_null(folder: Path) -> None:
    judgments = read(source(folder), "judgments").to_pylist()
    assert [(j["query_id"], j["item_id"], j["label"]) for j in judgments] == [
        ("0", "0", 3.0),
        ("0", "7", 0.0),
        ("1", "7", 1.0),
        ("1", "7", 3.0),
        ("1", "0", None),
    ]


def test_errors_name_the_remedy(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"source.fields=\['name'\]"):
        source(folder, fields=["name"])
    with pytest.raises(ValueError, match=r"source.labels=\{\}"):
        source(folder, labels={})
    write(folder, "label.csv", LABEL.replace("\t", ","))
    with pytest.raises(TableError, match=r"label.csv has no columns \['query_id', .*tab-separated"):
        source(folder).identity()
    (folder / "label.csv").unlink()
    with pytest.raises(TableError, match=r"label.csv: no such file"):
        source(folder).identity()


def test_the_real_queries(folder: Path) -> None:
    shutil.copyfile(data_folder("wands") / "query.csv", folder / "query.csv")
    assert sorted(source(folder).identity()) == ["label.csv", "product.csv", "query.csv"]
    queries = read(source(folder), "queries")
    assert queries.num_rows == 400
    assert "dinosaur" in queries["text"].to_pylist()
