"""Damage: all of it is written down, all that is written down is there, and nothing else has changed."""

import html
import math
import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsys.source._shop_corruption import KINDS, keys
from recsys.tables import RAW
from tests.source._small_shop import DAMAGE, INTACT, small_shop, whole

TABLES = ("items", "queries", "judgments", "impressions")


@pytest.fixture(scope="module")
def corruptions() -> pa.Table:
    return small_shop(corruption=DAMAGE).truth()["corruptions"]


@pytest.mark.parametrize("table", TABLES)
def test_undoing_what_is_written_down_gives_the_intact_table(table, corruptions):
    """Both ways at once: a piece of damage that is missing from the list, or one too many, leaves a difference."""
    damaged = whole(small_shop(corruption=DAMAGE), table)
    mine = corruptions.filter(pc.equal(corruptions["table"], table)).to_pylist()
    copies = [c["key"] for c in mine if c["kind"] == "duplicate_rows"]
    rows: dict[str, dict] = {}
    repeated = []
    for key, row in zip(keys(table, damaged), damaged.to_pylist(), strict=True):
        if key in rows:
            assert repr(rows[key]) == repr(row)
            repeated.append(key)
        rows.setdefault(key, dict(row))
    assert sorted(repeated) == sorted(copies)
    for c in mine:
        if c["column"] is None:
            continue
        row = rows[c["key"]]
        assert _text(row[c["column"]]) == c["after"]
        row[c["column"]] = _parse(c["before"], row[c["column"]], c["column"])
    intact = whole(small_shop(), table).to_pylist()
    assert sorted(map(repr, rows.values())) == sorted(map(repr, intact))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_occurs_at_its_rate(kind, corruptions):
    """Within 5 standard errors of a binomial count over all cells the kind may hit."""
    alone = small_shop(corruption={**INTACT, kind: 0.05}).truth()["corruptions"]
    assert set(alone["kind"].to_pylist()) == {kind}
    for table, column in KINDS[kind]:
        total = {"items": 1200, "queries": 80, "judgments": 1000, "impressions": 1500}[table]
        found = pc.sum(pc.equal(alone["table"], table)).as_py()
        cluster = 5 if kind == "bot_session" else 1
        assert abs(found - 0.05 * total) < 5 * math.sqrt(cluster * total * 0.05), (table, column)
    assert kind in corruptions["kind"].to_pylist()


def test_no_cell_is_damaged_twice_and_keys_never(corruptions):
    cells = [(c["table"], c["key"], c["column"]) for c in corruptions.to_pylist() if c["column"]]
    assert len(cells) == len(set(cells))
    assert all(column not in RAW[table].key for table, _, column in cells)


def test_damage_looks_as_named(corruptions):
    for c in corruptions.to_pylist():
        before, after = c["before"], c["after"]
        match c["kind"]:
            case "markup":
                assert html.unescape(re.sub(r"<[^>]+>", "", after)) == before
            case "whitespace":
                assert "\u200b" in after
                assert after.replace("\u200b", "").split() == before.split()
            case "mojibake":
                assert after != before or " " not in before
                assert after.encode("latin-1").decode("utf-8").replace("\u00a0", " ") == before
            case "null_text":
                assert after is None
            case "empty_text":
                assert after == ""
            case "negative_price":
                assert float(after) == -float(before) < 0
            case "nan_price":
                assert math.isnan(float(after))
            case "label_outside_range":
                assert not 0 <= float(after) <= 3
            case "click_outside_range":
                assert after == "-1"
            case "unknown_item":
                assert after == f"x{before[1:]}"


def test_damaged_rows_are_no_evidence_in_the_truth():
    """Pairs of impressions that a cleaner drops do not count towards the true probabilities."""
    shop = small_shop(corruption={**INTACT, "unknown_item": 0.3, "bot_session": 0.3, "duplicate_rows": 0.3})
    truth = shop.truth()
    told = truth["probabilities"].filter(pc.equal(truth["probabilities"]["target"], "click"))
    shown = whole(shop, "impressions").group_by(["impression_id", "query_id", "item_id"]).aggregate([])
    bots = set(truth["corruptions"].filter(pc.equal(truth["corruptions"]["kind"], "bot_session"))["key"].to_pylist())
    good = {
        (r["query_id"], r["item_id"])
        for r in shown.to_pylist()
        if r["item_id"][0] == "i" and r["impression_id"] not in bots
    }
    assert good == set(zip(told["query_id"].to_pylist(), told["item_id"].to_pylist(), strict=True))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _parse(before: str, like: object, column: str) -> object:
    if column in ("price", "label"):
        return float(before)
    return int(before) if isinstance(like, int) else before
