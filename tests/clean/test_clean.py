"""The whole of cleaning: order, balance, independence of chunks, a plain-Python twin, and real data."""

import math
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.clean import clean
from recsys.clean.text import normalised
from recsys.source import Chorus, Esci, Shop, Source
from recsys.tables import TableError
from tests.clean.tables import TARGETS, cleaners, items, raw
from tests.data import data_folder

CONF = Path(__file__).parents[2] / "conf"

number = st.sampled_from([None, 0.0, 1.0, 3.0, 4.0, -1.0, math.nan, math.inf])
text = st.sampled_from([None, "", " ", "<br>", "a", " a", "b\u200b", "<p>b</p>"])
item = st.fixed_dictionaries({"text": text, "price": number})
query = st.fixed_dictionaries(
    {"text": text, "kind": st.sampled_from(["search", "user", "?", None]), "frequency": number}
)
judgment = st.fixed_dictionaries(
    {
        "query_id": st.sampled_from([None, "0", "1", "?"]),
        "item_id": st.sampled_from([None, "0", "1", "?"]),
        "target": st.sampled_from([None, "relevance", "click"]),
        "label": number,
        "score": number,
    }
)
impression = st.fixed_dictionaries(
    {
        "query_id": st.sampled_from([None, "0", "1", "?"]),
        "item_id": st.sampled_from(["0", "1", "?"]),
        "position": st.sampled_from([None, 0, 1]),
        "propensity": number,
        "click": st.sampled_from([None, -1, 0, 1]),
        "purchase": st.sampled_from([0, 1]),
    }
)


@st.composite
def dirty(draw: st.DrawFn) -> dict[str, pa.Table]:
    """Raw tables with unique keys, every kind of damage, and exact copies of rows."""
    tables = {}
    kinds = (("items", "item_id", item), ("queries", "query_id", query), ("judgments", None, judgment))
    for name, key, row in (*kinds, ("impressions", "impression_id", impression)):
        rows = draw(st.lists(row, max_size=6))
        rows = [({key: str(n)} if key else {}) | r for n, r in enumerate(rows)]
        copies = draw(st.lists(st.sampled_from(rows), max_size=3)) if rows else []
        extra = {"score": pa.float64()} if name == "judgments" else {}
        tables[name] = raw(name, draw(st.permutations(rows + copies)), **extra)
    return tables


def chunked(table: pa.Table, cuts: list[int]) -> pa.Table:
    edges = sorted({0, table.num_rows, *(c for c in cuts if c < table.num_rows)})
    parts = [table.slice(a, b - a) for a, b in pairwise(edges)]
    return pa.concat_tables(parts) if parts else table


def plain(table: pa.Table) -> list[tuple]:
    """Rows that compare equal where NaN meets NaN."""
    return [tuple("nan" if v != v else v for v in row.values()) for row in table.to_pylist()]


@settings(max_examples=30, deadline=None)
@given(dirty(), st.lists(st.integers(1, 8), max_size=4))
def test_rows_balance_and_chunks_do_not_matter(tables: dict[str, pa.Table], cuts: list[int]) -> None:
    kept, quarantined, counts = clean(tables, cleaners(), TARGETS)
    for name, table in tables.items():
        count = counts[name]
        assert count["in"] == table.num_rows
        assert count["out"] == kept[name].num_rows
        assert count["in"] == count["out"] + sum(count["merged"].values()) + sum(count["quarantined"].values())
        assert count["quarantined"] == Counter(quarantined[name]["reason"].to_pylist())
        assert sum(count["quarantined"].values()) == quarantined[name].num_rows
    again, taken, recounted = clean({n: chunked(t, cuts) for n, t in tables.items()}, cleaners(), TARGETS)
    assert recounted == counts
    for name in tables:
        assert plain(again[name]) == plain(kept[name])
        assert plain(taken[name]) == plain(quarantined[name])
        assert again[name].schema.equals(kept[name].schema)


@settings(max_examples=30, deadline=None)
@given(dirty())
def test_judgments_agree_with_a_plain_reading_of_the_rules(tables: dict[str, pa.Table]) -> None:
    kept, quarantined, counts = clean(tables, cleaners(), TARGETS)
    known = {c: set(kept[t][c].to_pylist()) for t, c in (("queries", "query_id"), ("items", "item_id"))}
    reasons, rows, seen, merged = [], [], set(), 0
    unreferenced = []
    for row in tables["judgments"].to_pylist():
        reason = _broken(row)
        if reason:
            reasons.append(reason)
        elif tuple(row.values()) in seen and row["target"] != "click":
            merged += 1
        elif row["query_id"] not in known["query_id"]:
            unreferenced.append("unknown_query")
        elif row["item_id"] not in known["item_id"]:
            unreferenced.append("unknown_item")
        else:
            rows.append(tuple(row.values()))
        if not reason:
            seen.add(tuple(row.values()))
    assert plain(kept["judgments"]) == rows
    assert quarantined["judgments"]["reason"].to_pylist() == reasons + unreferenced
    assert counts["judgments"]["merged"].get("duplicate_row", 0) == merged


def _broken(row: dict[str, Any]) -> str | None:
    for column in ("query_id", "item_id", "target", "label"):
        if row[column] is None:
            return f"null_{column}"
    if not math.isfinite(row["label"]):
        return "not_finite_label"
    if row["target"] == "relevance" and not 0 <= row["label"] <= 3:
        return "label_outside_range"
    return None if row["score"] is not None and math.isfinite(row["score"]) else "not_finite_score"


def test_rows_that_become_equal_by_cleaning_are_merged() -> None:
    table = items({"item_id": "a", "text": "x y", "price": -1.0}, {"item_id": "a", "text": "<b>x</b> y", "price": None})
    kept, _, counts = clean({"items": table}, cleaners())
    assert kept["items"].num_rows == 1
    assert counts["items"] == {
        "in": 2,
        "out": 1,
        "merged": {"duplicate_row": 1},
        "quarantined": {},
        "repaired": {"normalised_text": 1, "price_outside_range": 1},
    }


def test_what_loses_its_item_goes_with_it() -> None:
    judged = [{"query_id": "q", "item_id": i, "target": "relevance", "label": 1.0} for i in ("0", "1")]
    tables = {
        "judgments": raw("judgments", judged),
        "queries": raw("queries", [{"query_id": "q", "text": "x", "kind": "search"}]),
        "items": items({}, {"text": " "}),
    }
    kept, quarantined, counts = clean(tables, cleaners())
    assert list(kept) == ["items", "queries", "judgments"]
    assert counts["items"]["quarantined"] == {"empty_text": 1}
    assert counts["judgments"]["quarantined"] == {"unknown_item": 1}
    assert quarantined["judgments"].to_pylist() == [judged[1] | {"reason": "unknown_item"}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"item_id": None}, {}], r"key 'item_id' is null in 1 of 2 rows"),
        ([{"item_id": "a", "text": "x"}, {"item_id": "a", "text": "y"}], r"key \{'item_id': 'a'\} occurs 2 times"),
    ],
)
def test_broken_keys_are_an_error(rows: list[dict], message: str) -> None:
    with pytest.raises(TableError, match=message):
        clean({"items": items(*rows)}, cleaners())
    with pytest.raises(TableError, match=message):
        clean({"items": items(*rows)}, {})


def read(source: Source) -> dict[str, pa.Table]:
    return {name: pa.concat_tables(list(source.read(name))) for name in source.tables()}


def test_what_the_simulator_damaged_is_found() -> None:
    settings = yaml.safe_load((CONF / "source" / "shop.yaml").read_text())
    settings.pop("defaults")
    sizes = {"num_items": 1500, "num_sessions": 300, "rows_per_shard": 700}
    shop = Shop(**settings | sizes)
    raw_tables = read(shop)
    kept, quarantined, counts = clean(raw_tables, cleaners(), TARGETS)
    damage = shop.truth()["corruptions"].to_pylist()
    done = Counter((d["table"], d["kind"]) for d in damage)
    texts = dict(zip(kept["items"]["item_id"].to_pylist(), kept["items"]["text"].to_pylist(), strict=True))
    hurt = [d for d in damage if d["table"] == "items" and d["kind"] in ("markup", "whitespace", "mojibake")]
    assert {d["kind"] for d in hurt} == {"markup", "whitespace", "mojibake"}
    assert [texts[d["key"]] for d in hurt] == [normalised(pa.chunked_array([[d["before"]]]))[0].as_py() for d in hurt]
    assert all(d["before"] != d["after"] for d in hurt)
    found = counts["items"]
    assert found["merged"]["duplicate_row"] <= done["items", "duplicate_rows"]
    lost = {
        k: {d["key"] for d in damage if (d["table"], d["kind"]) == ("items", k)} for k in ("null_text", "empty_text")
    }
    for reason, keys in lost.items():
        rows = quarantined["items"].filter(pc.equal(quarantined["items"]["reason"], reason))
        assert set(rows["item_id"].to_pylist()) == keys != set()
    clicks = quarantined["impressions"].filter(pc.equal(quarantined["impressions"]["reason"], "click_outside_range"))
    hurt = {d["key"] for d in damage if d["kind"] == "click_outside_range"}
    assert set(clicks["impression_id"].to_pylist()) == hurt != set()
    gone = texts.keys() ^ set(raw_tables["items"]["item_id"].to_pylist())
    strangers = {d["after"] for d in damage if d["kind"] == "unknown_item"}
    for name in ("judgments", "impressions"):
        rows = quarantined[name].filter(pc.equal(quarantined[name]["reason"], "unknown_item"))
        assert set(rows["item_id"].to_pylist()) <= gone | strangers


def chorus(folder: Path, fields: list[str]) -> Chorus:
    return Chorus(path=str(folder), fields=fields, category=None, attributes=[])


def test_chorus_keeps_every_row_and_loses_its_markup() -> None:
    raw_tables = read(chorus(data_folder("chorus_icecat"), ["title", "description"]))
    kept, quarantined, counts = clean(raw_tables, cleaners(), TARGETS)
    assert {n: (c["in"], c["out"]) for n, c in counts.items()} == {
        "items": (19_406, 19_406),
        "queries": (108, 108),
        "judgments": (2_974, 2_974),
    }
    assert not any(q.num_rows for q in quarantined.values())
    before, after = raw_tables["items"]["text"].to_pylist(), kept["items"]["text"].to_pylist()
    markup = re.compile(r"</?(br|ul|li|b|strong|p)\s*/?>|&[a-z]+;")
    assert sum(bool(markup.search(t)) for t in before) > 400
    assert not [t for t in after if markup.search(t)]
    assert counts["items"]["repaired"]["normalised_text"] == sum(a != b for a, b in zip(before, after, strict=True))


def test_chorus_without_descriptions_is_counted() -> None:
    folder = data_folder("chorus_icecat")
    rows = pq.read_table(folder / "icecat_products.parquet", columns=["id", "short_description"]).to_pylist()
    bare = {r["id"] for r in rows if not (r["short_description"] or "").strip()}
    raw_tables = read(chorus(folder, ["description"]))
    lost = sum(i in bare for i in raw_tables["judgments"]["item_id"].to_pylist())
    kept, quarantined, counts = clean(raw_tables, cleaners(), TARGETS)
    assert set(quarantined["items"]["item_id"].to_pylist()) == bare
    assert counts["items"]["quarantined"] == {"empty_text": 721}
    assert counts["judgments"]["quarantined"] == {"unknown_item": lost}
    assert lost > 0
    assert kept["judgments"].num_rows == 2_974 - lost


def test_esci_rows_and_reasons() -> None:
    folder = data_folder("esci_sample")
    grades = {"E": 3.0, "S": 2.0, "I": 0.0}  # no grade for a Complement
    source = Esci(path=str(folder), fields=["description"], locales=["us", "es", "jp"], labels=grades)
    rows = pq.read_table(folder / "esci_pairs.parquet").to_pylist()
    complement = [r for r in rows if r["esci_label"] == "complement"]
    undescribed = [r for r in rows if r["product_description"] is None and r not in complement]
    kept, _, counts = clean(read(source), cleaners(), TARGETS)
    assert counts["items"]["in"] == 2_158
    assert counts["queries"] == counts["queries"] | {"in": 2_116, "out": 2_116, "quarantined": {}, "merged": {}}
    judgments = counts["judgments"]
    assert judgments["quarantined"]["null_label"] == len(complement) == 82
    assert judgments["quarantined"]["unknown_item"] >= len(undescribed)
    described = set(kept["items"]["item_id"].to_pylist())
    lost = [r for r in rows if r not in complement and f"{r['product_locale']}:{r['product_id']}" not in described]
    assert judgments["quarantined"]["unknown_item"] == len(lost)
    assert judgments["out"] == 2_159 - 82 - len(lost)
    everything, _, counts = clean(
        read(Esci(str(folder), ["title"], ["us", "es", "jp"], grades | {"C": 1.0})), cleaners()
    )
    assert {n: t.num_rows for n, t in everything.items()} == {"items": 2_158, "queries": 2_116, "judgments": 2_159}
