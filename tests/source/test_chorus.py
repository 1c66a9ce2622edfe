import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys.source import Chorus
from recsys.tables import TableError
from tests.data import data_folder
from tests.source.files import read, write

PRODUCTS = pa.table(
    {
        "id": ["1", "2"],
        "title": ["Cable 3m", "Mouse"],
        "short_description": ["<b>HDMI</b>", None],
        "supplier": ["C2G", "HP"],
        "price": pa.array([4995, 95], pa.int64()),
        "attributes": ['{"attr_t_type": "HDMI", "attr_n_length": 3.0}', "{}"],
    }
)


def source(path: Path, fields: list[str] | None = None) -> Chorus:
    return Chorus(
        path=str(path), fields=fields or ["title", "description"], category="attr_t_type", attributes=["attr_n_length"]
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pq.write_table(PRODUCTS, tmp_path / "icecat_products.parquet")
    write(tmp_path, "Broad_Query_Set_rated.csv", 'query,docid,rating\nhdmi,1,3\n"mouse, black",2,2\nhdmi,9,0\n')
    return tmp_path


def test_items_have_text_price_category_and_attributes(folder: Path) -> None:
    first, second = read(source(folder), "items").to_pylist()
    assert first == {
        "item_id": "1",
        "text": "Cable 3m <b>HDMI</b>",
        "title": "Cable 3m",
        "category": "HDMI",
        "brand": "C2G",
        "price": 49.95,
        "locale": None,
        "attr_n_length": "3.0",
    }
    assert (second["text"], second["category"]) == ("Mouse", None)
    assert read(source(folder, ["brand", "title"]), "items")["text"].to_pylist() == ["C2G Cable 3m", "HP Mouse"]


def test_ratings_of_unknown_products_are_kept(folder: Path) -> None:
    judgments = read(source(folder), "judgments").to_pylist()
    assert [(j["query_id"], j["item_id"], j["label"]) for j in judgments] == [
        ("hdmi", "1", 3.0),
        ("mouse, black", "2", 2.0),
        ("hdmi", "9", 0.0),
    ]
    assert read(source(folder), "queries")["query_id"].to_pylist() == ["hdmi", "mouse, black"]


def test_errors_name_the_remedy(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"source.fields=\['name'\] must be a choice of \['title'"):
        source(folder, ["name"])
    pq.write_table(PRODUCTS.drop_columns(["price"]), folder / "icecat_products.parquet")
    with pytest.raises(TableError, match=r"icecat_products.parquet has no columns \['price'\]; it has"):
        source(folder).identity()
    (folder / "icecat_products.parquet").unlink()
    with pytest.raises(TableError, match=r"no such file; .* has Broad_Query_Set_rated.csv"):
        source(folder).identity()


def test_the_whole_shop() -> None:
    folder = data_folder("chorus_icecat")
    shop = Chorus(path=str(folder), fields=["title"], category="attr_t_type", attributes=["attr_t_product_colour"])
    assert sorted(shop.identity()) == ["Broad_Query_Set_rated.csv", "icecat_products.parquet"]
    items, queries, judgments = (read(shop, t) for t in ("items", "queries", "judgments"))
    assert items.num_rows * queries.num_rows == 19_406 * 108 == 2_095_848
    with open(folder / "Broad_Query_Set_rated.csv", encoding="utf-8", newline="") as stream:
        rated = [(r["query"], r["docid"], float(r["rating"])) for r in csv.DictReader(stream)]
    columns = (judgments[c].to_pylist() for c in ("query_id", "item_id", "label"))
    assert list(zip(*columns, strict=True)) == rated
    assert len(rated) == 2_974
    assert pc.all(pc.is_in(judgments["item_id"], value_set=items["item_id"].combine_chunks())).as_py()
    assert items["product_colour"].null_count == 19_406 - 8_730
