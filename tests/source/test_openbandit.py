from pathlib import Path

import pytest

from recsys.source import Openbandit
from recsys.tables import TableError
from tests.data import data_folder
from tests.source.files import read, write

CONTEXT = (
    ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n0,0,-0.5,aaaaaaaaaa,b,c\n1,1,0.25,a2,b,c\n"
)
LOG = (
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3,x\n"
    "0,2019-11-24,1,3,0,0.25,u0000000zz,v,w,z,0.0\n"
    "1,2019-11-24,0,1,1,0.5,u0000000zz,v,w,z,0.0\n"
    "2,2019-11-25,0,1,0,,other,v,w,z,0.0\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "item_context.csv", CONTEXT)
    write(tmp_path, "men.csv", LOG)
    return tmp_path


def test_impressions_are_rows_of_the_log_with_propensities(folder: Path) -> None:
    shown = read(Openbandit(path=str(folder)), "impressions").to_pylist()
    assert shown[1] == {
        "impression_id": "000000001",
        "query_id": "u0000000-v-w-z",
        "item_id": "0",
        "position": 1,
        "propensity": 0.5,
        "click": 1,
        "purchase": 0,
    }
    assert [s["propensity"] for s in shown] == [0.25, 0.5, None]


def test_a_query_is_a_kind_of_user_and_items_have_features(folder: Path) -> None:
    source = Openbandit(path=str(folder))
    users = read(source, "queries").to_pylist()
    assert [u["query_id"] for u in users] == ["u0000000-v-w-z", "other-v-w-z"]
    assert users[0]["text"].startswith("user_feature_0 u0000000zz user_feature_1 v")
    assert {u["kind"] for u in users} == {"user"}
    first = read(source, "items").to_pylist()[0]
    assert (first["item_id"], first["item_feature_0"], first["item_feature_1"]) == ("0", -0.5, "aaaaaaaaaa")


def test_errors_name_the_remedy(folder: Path) -> None:
    source = Openbandit(path=str(folder))
    assert sorted(source.identity()) == ["item_context.csv", "men.csv"]
    write(folder, "women.csv", LOG)
    with pytest.raises(TableError, match=r"one log beside it.* it has the logs \['men.csv', 'women.csv'\]"):
        source.identity()
    (folder / "women.csv").unlink()
    write(folder, "men.csv", LOG.replace("propensity_score", "p"))
    with pytest.raises(TableError, match=r"men.csv has no columns \['propensity_score'\]"):
        source.identity()


@pytest.mark.parametrize(("folder_name", "clicks", "items"), [("random/men", 46, 34), ("bts/women", 46, 46)])
def test_the_real_logs(folder_name: str, clicks: int, items: int) -> None:
    source = Openbandit(path=str(data_folder("obd_small") / folder_name))
    shown = read(source, "impressions")
    assert shown.num_rows == 10_000
    assert sum(shown["click"].to_pylist()) == clicks
    assert read(source, "items").num_rows == items
    assert shown["propensity"].null_count == 0
