import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.source import Scored
from recsys.tables import TableError
from tests.source.files import read, write

PAIRS = (
    "qid,doc,clicked,logit,device,age,label\n"
    "007,a,1,-1.5,phone,31,x\n"
    "007,b,0,2.25,phone,31,y\n"
    "8,a,0,nan,desk,,z\n"
    "8,b,1,inf,desk,40,z\n"
)


def source(path: Path | str, **changes: Any) -> Scored:
    values: dict[str, Any] = {
        "path": str(path),
        "query": "qid",
        "item": "doc",
        "label": "clicked",
        "score": "logit",
        "query_text": None,
        "item_text": None,
        "target": "click",
        "further": ["*"],
        "numeric": ["age"],
    }
    return Scored(**values | changes)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write(tmp_path, "pairs.csv", PAIRS)


def test_judgments_carry_the_score_and_every_other_column(pairs: Path) -> None:
    judgments = read(source(pairs), "judgments")
    assert judgments.schema.field("score").type == pa.float64()
    assert judgments.slice(0, 2).to_pylist() == [
        {
            "query_id": "007",
            "item_id": "a",
            "target": "click",
            "label": 1.0,
            "score": -1.5,
            "device": "phone",
            "age": 31.0,
            "given_label": "x",
        },
        {
            "query_id": "007",
            "item_id": "b",
            "target": "click",
            "label": 0.0,
            "score": 2.25,
            "device": "phone",
            "age": 31.0,
            "given_label": "y",
        },
    ]
    assert math.isnan(judgments["score"][2].as_py())
    assert judgments["score"][3].as_py() == math.inf


def test_queries_and_items_are_those_that_occur(pairs: Path) -> None:
    shop = source(pairs)
    assert shop.tables() == ("items", "queries", "judgments")
    assert read(shop, "items").select(["item_id", "text"]).to_pylist() == [
        {"item_id": "a", "text": "a"},
        {"item_id": "b", "text": "b"},
    ]
    assert read(shop, "queries").select(["query_id", "text", "kind"]).to_pylist() == [
        {"query_id": "007", "text": "007", "kind": "search"},
        {"query_id": "8", "text": "8", "kind": "search"},
    ]


def test_texts_are_taken_where_they_are_given(tmp_path: Path) -> None:
    table = pa.table(
        {"q": [1, 1], "i": [5, 6], "y": [3, 0], "s": [0.5, 0.25], "query": ["sofa"] * 2, "title": ["A", "B"]}
    )
    pq.write_table(table, tmp_path / "pairs.parquet")
    columns = {"query": "q", "item": "i", "label": "y", "score": "s", "numeric": [], "target": "relevance"}
    shop = source(tmp_path / "pairs.parquet", **columns, query_text="query", item_text="title")
    assert read(shop, "queries")["text"].to_pylist() == ["sofa"]
    assert read(shop, "items").select(["item_id", "text"]).to_pylist() == [
        {"item_id": "5", "text": "A"},
        {"item_id": "6", "text": "B"},
    ]
    assert read(shop, "judgments").column_names == ["query_id", "item_id", "target", "label", "score"]


def test_only_the_chosen_columns_travel(pairs: Path) -> None:
    assert read(source(pairs, further=["device"], numeric=[]), "judgments").column_names[4:] == ["score", "device"]


def test_a_label_column_may_be_called_target(tmp_path: Path) -> None:
    path = write(tmp_path, "pairs.tsv", "qid\tdoc\ttarget\tlogit\n1\ta\t1\t0.5\n")
    row = read(source(path, label="target", numeric=[]), "judgments").to_pylist()[0]
    assert (row["target"], row["label"]) == ("click", 1.0)


def test_a_pair_with_two_scores_is_refused(pairs: Path) -> None:
    repeated = PAIRS + "007,a,0,-1.5,desk,31,x\n"
    assert read(source(write(pairs.parent, "pairs.csv", repeated)), "judgments").num_rows == 5
    write(pairs.parent, "pairs.csv", repeated + "007,a,0,0.5,desk,31,x\n8,a,0,1,desk,31,x\n")
    with pytest.raises(TableError, match=r"query '007', item 'a' has the scores -1.5 and 0.5 \(1 such.*distinguish"):
        read(source(pairs), "judgments")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": "model"}, r"pairs.csv has no column 'model'; it has \['qid', .*set source.score to one of them"),
        ({"query_text": "text"}, r"no column 'text'.*set source.query_text"),
        ({"further": ["shape"], "numeric": []}, r"no columns \['shape'\]"),
    ],
)
def test_identity_names_the_remedy(pairs: Path, changes: dict, message: str) -> None:
    assert list(source(pairs).identity()) == ["pairs.csv"]
    with pytest.raises(TableError, match=message):
        source(pairs, **changes).identity()


def test_files_without_rows_or_numbers_are_refused(pairs: Path) -> None:
    with pytest.raises(TableError, match=r"'score' is to hold numbers.*'(phone|desk)'"):
        read(source(pairs, score="device"), "judgments")
    write(pairs.parent, "pairs.csv", PAIRS.splitlines()[0] + "\n")
    with pytest.raises(TableError, match=r"no rows in .*pairs.csv"):
        source(pairs).identity()
