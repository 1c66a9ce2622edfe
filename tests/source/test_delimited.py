from pathlib import Path
from typing import Any

import fsspec
import pytest

from recsys.source import Delimited
from recsys.tables import TableError
from tests.source.files import read, write

ITEMS = 'sku,name,details,price,colour,stars\n007,Sofa,"red, soft",99.5,red,4.5\n8,Lamp,,12,,\n'
JUDGMENTS = "query,sku,grade\nsofa,007,3\nlamp,8,2\nsofa,8,0\n"
COLUMNS = {
    "items": {"item_id": "sku", "text": "name"},
    "judgments": {"query_id": "query", "item_id": "sku", "label": "grade"},
}


def source(path: Path | str, **changes: Any) -> Delimited:
    values: dict[str, Any] = {
        "path": str(path),
        "items": "items.csv",
        "queries": None,
        "judgments": "judgments.csv",
        "impressions": None,
        "columns": COLUMNS,
        "constants": {"judgments": {"target": "relevance"}},
        "further": {"items": ["*"]},
        "fields": [],
        "delimiter": ",",
        "numeric": {"items": ["stars"]},
    }
    return Delimited(**values | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "items.csv", ITEMS)
    write(tmp_path, "judgments.csv", JUDGMENTS)
    return tmp_path


def test_columns_are_mapped_and_further_ones_travel(folder: Path) -> None:
    rows = read(source(folder), "items").to_pylist()
    assert rows[0] == {
        "item_id": "007",
        "text": "Sofa",
        "title": None,
        "category": None,
        "brand": None,
        "price": 99.5,
        "locale": None,
        "details": "red, soft",
        "colour": "red",
        "stars": 4.5,
    }
    assert rows[1]["stars"] is None
    assert rows[1]["details"] is None


def test_text_is_made_from_fields(folder: Path) -> None:
    columns = COLUMNS | {"items": {"item_id": "sku"}}
    items = read(source(folder, fields=["name", "details"], columns=columns, further={}, numeric={}), "items")
    assert items["text"].to_pylist() == ["Sofa red, soft", "Lamp"]


def test_queries_are_derived_in_order_of_appearance(folder: Path) -> None:
    shop = source(folder)
    assert shop.tables() == ("items", "queries", "judgments")
    queries = read(shop, "queries").to_pylist()
    assert [(q["query_id"], q["text"], q["kind"]) for q in queries] == [
        ("sofa", "sofa", "search"),
        ("lamp", "lamp", "search"),
    ]


def test_derived_queries_may_have_a_text_of_their_own(folder: Path) -> None:
    write(folder, "judgments.csv", "q,text,item_id,label\n1,Sofa,007,3\n,none,8,1\n2,Lamp,8,1\n1,Sofa,8,0\n")
    judgments = {"query_id": "q", "query_text": "text"}
    shop = source(
        folder,
        columns=COLUMNS | {"judgments": judgments},
        constants={"judgments": {"target": "click"}, "queries": {"locale": "us"}},
    )
    queries = read(shop, "queries")
    assert queries.select(["query_id", "text", "locale"]).to_pylist() == [
        {"query_id": "1", "text": "Sofa", "locale": "us"},
        {"query_id": "2", "text": "Lamp", "locale": "us"},
    ]
    assert read(shop, "judgments")["query_id"].to_pylist() == ["1", None, "2", "1"]
    assert read(shop, "judgments").column_names == ["query_id", "item_id", "target", "label"]


def test_a_column_of_the_file_goes_before_a_constant(folder: Path) -> None:
    write(folder, "queries.csv", "query_id,text,kind\nu1,a user,user\nsofa,sofa,search\n")
    shop = source(
        folder, queries="queries.csv", constants={"queries": {"kind": "search"}, "judgments": {"target": "relevance"}}
    )
    assert read(shop, "queries")["kind"].to_pylist() == ["user", "search"]


def test_impressions_alone_are_enough(folder: Path) -> None:
    write(folder, "log.csv", "impression_id,query_id,item_id,position,click\na,sofa,007,1,1\nb,sofa,8,2,0\n")
    shop = source(folder, judgments=None, impressions="log.csv", constants={"impressions": {"purchase": "0"}})
    assert shop.tables() == ("items", "queries", "impressions")
    assert read(shop, "impressions").to_pylist()[0]["click"] == 1
    assert read(shop, "impressions").schema.field("purchase").type == "int8"
    assert read(shop, "queries").num_rows == 1


def test_a_folder_of_files_is_one_table(folder: Path) -> None:
    write(folder, "parts/1.csv", "item_id,text\n1,a\n")
    write(folder, "parts/0.csv", "item_id,text\n")
    write(folder, "parts/2.tsv", "item_id,text\n2,b\n")
    shop = source(folder, items="parts", columns={"judgments": COLUMNS["judgments"]}, numeric={})
    assert read(shop, "items")["item_id"].to_pylist() == ["1", "2"]
    assert sorted(shop.identity()) == ["items/0.csv", "items/1.csv", "items/2.tsv", "judgments/judgments.csv"]


def test_any_fsspec_uri_opens() -> None:
    for name, text in (("items.csv", ITEMS), ("judgments.csv", JUDGMENTS)):
        with fsspec.open(f"memory://delimited/{name}", "wb") as stream:
            stream.write(text.encode())  # type: ignore[union-attr]
    shop = source("memory://delimited")
    assert len(shop.identity()) == 2
    assert read(shop, "judgments")["label"].to_pylist() == [3.0, 2.0, 0.0]


def test_identity_follows_content(folder: Path) -> None:
    first = source(folder).identity()
    assert source(folder).identity() == first
    write(folder, "items.csv", ITEMS.replace("99.5", "98"))
    assert {k for k, v in source(folder).identity().items() if v != first[k]} == {"items/items.csv"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": "itemz.csv"}, r"itemz.csv: no such file.*has items.csv, judgments.csv"),
        ({"columns": {}}, r"items.csv has no column 'item_id' .*\['sku', .*source.columns.items.item_id"),
        (
            {"columns": {"items": {"item_id": "SKU", "text": "name"}}},
            r"no column 'SKU'.*change source.columns.items.item_id",
        ),
        ({"constants": {}}, r"judgments.csv has no column 'target' .*source.columns.judgments.target"),
        ({"fields": ["x"], "columns": {}}, r"items.csv has no columns \['x'\].*change source.fields"),
        ({"further": {"items": ["shape"]}, "numeric": {}}, r"items.csv has no columns \['shape'\]"),
        ({"numeric": {"items": ["shape"]}}, r"numbers=\['shape'\] are not among"),
        ({"delimiter": ";"}, r"has no column 'sku'"),
    ],
)
def test_identity_names_the_remedy_in_one_line(folder: Path, changes: dict, message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        source(folder, **changes).identity()
    assert "\n" not in str(caught.value)


def test_identity_refuses_a_table_without_rows(folder: Path) -> None:
    write(folder, "judgments.csv", JUDGMENTS.splitlines()[0] + "\n")
    with pytest.raises(TableError, match=r"no rows in judgments.csv"):
        source(folder).identity()


def test_a_value_that_is_no_number_is_named(folder: Path) -> None:
    write(folder, "items.csv", ITEMS.replace("99.5", "cheap"))
    with pytest.raises(TableError, match=r"'price'.*'cheap'"):
        read(source(folder), "items")
    with pytest.raises(TableError, match=r"'colour' is to hold numbers.*'red'"):
        read(
            source(
                folder,
                numeric={"items": ["colour"]},
                columns=COLUMNS | {"items": {"item_id": "sku", "text": "name", "brand": "price"}},
            ),
            "items",
        )


def test_further_columns_never_clash_with_ours(folder: Path) -> None:
    write(folder, "judgments.csv", "query,sku,grade,split,weight\nsofa,007,3,dev,2\n")
    judgments = read(source(folder, further={"judgments": ["*"]}, numeric={}), "judgments")
    assert judgments.column_names[4:] == ["given_split", "given_weight"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delimiter": "||"}, "source.delimiter"),
        ({"columns": {"item": {}}}, r"source.columns has unknown tables \['item'\]"),
        ({"judgments": None}, "only items are named"),
        ({"constants": {"items": {"text": "x"}}}, r"both give \['text'\]"),
        ({"fields": ["name"]}, r"remove 'text' from source.columns.items"),
    ],
)
def test_configuration_is_checked(folder: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        source(folder, **changes)


def test_a_tab_may_be_written_with_a_backslash(folder: Path) -> None:
    assert source(folder, delimiter="\\t").delimiter == "\t"
