import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.source import Parquet
from recsys.tables import TableError
from tests.source.files import read

JUDGMENTS = pa.table({"q": ["sofa", "sofa"], "item_id": ["1", "2"], "target": ["relevance"] * 2, "label": [3, 0]})


def source(path: Path, **changes: Any) -> Parquet:
    values: dict[str, Any] = {
        "path": str(path),
        "items": "items",
        "queries": None,
        "judgments": "judgments-*.parquet",
        "impressions": None,
        "columns": {"judgments": {"query_id": "q"}},
        "constants": {},
        "further": {"items": ["*"]},
        "fields": [],
    }
    return Parquet(**values | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "items").mkdir()
    for part, ids in enumerate([[1, 2], [3]]):
        items = pa.table(
            {
                "item_id": pa.array(ids, pa.int64()),
                "text": pa.array([f"item {i}" for i in ids], pa.large_string()),
                "colour": pa.array(["red"] * len(ids)).dictionary_encode(),
                "stars": pa.array([4.5] * len(ids), pa.float32()),
                "sold": pa.array([True] * len(ids)),
                "since": pa.array([datetime.date(2024, 1, 2)] * len(ids)),
            }
        )
        pq.write_table(items, tmp_path / "items" / f"part-{part}.parquet")
    pq.write_table(JUDGMENTS, tmp_path / "judgments-0.parquet")
    return tmp_path


def test_ids_become_strings_and_further_columns_plain(folder: Path) -> None:
    items = read(source(folder), "items")
    assert items["item_id"].to_pylist() == ["1", "2", "3"]
    further = {n: str(items.schema.field(n).type) for n in ("colour", "stars", "sold", "since")}
    assert further == {"colour": "string", "stars": "double", "sold": "bool", "since": "string"}
    assert items["since"][0].as_py() == "2024-01-02"


def test_queries_are_derived_from_a_pattern_of_files(folder: Path) -> None:
    pq.write_table(JUDGMENTS.set_column(0, "q", pa.array(["lamp", "sofa"])), folder / "judgments-1.parquet")
    assert read(source(folder), "queries")["query_id"].to_pylist() == ["sofa", "lamp"]
    assert sorted(source(folder).identity())[2:] == ["judgments/judgments-0.parquet", "judgments/judgments-1.parquet"]


def test_a_nested_further_column_is_refused(folder: Path) -> None:
    pq.write_table(JUDGMENTS.append_column("raters", pa.array([["a"], ["b"]])), folder / "judgments-0.parquet")
    with pytest.raises(TableError, match=r"column 'raters' is list.*leave it out"):
        read(source(folder, further={"judgments": ["raters"]}), "judgments")
    assert read(source(folder), "judgments").column_names == ["query_id", "item_id", "target", "label"]


def test_an_empty_table_is_refused_but_an_empty_part_is_not(folder: Path) -> None:
    pq.write_table(JUDGMENTS.slice(0, 0), folder / "judgments-1.parquet")
    source(folder).identity()
    pq.write_table(JUDGMENTS.slice(0, 0), folder / "judgments-0.parquet")
    with pytest.raises(TableError, match=r"no rows in judgments-0.parquet, judgments-1.parquet"):
        source(folder).identity()


def test_a_label_that_is_no_number_is_refused(folder: Path) -> None:
    pq.write_table(JUDGMENTS.set_column(3, "label", pa.array(["good", "bad"])), folder / "judgments-0.parquet")
    with pytest.raises(TableError, match=r"'label'.*'(good|bad)'"):
        read(source(folder), "judgments")
