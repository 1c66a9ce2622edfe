"""The whole flow on a small shop: every row accounted for, every stage done once, results others can read."""

import json
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys.report import Record
from recsys.stage.pipeline import pipeline
from recsys.stage.score import DryRun
from tests.compose import QUICK_REPORT, job, small


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    pipeline(job("pipeline", *small(root, "first", "keep=every")))
    return root


def manifest(root: Path, stage: str) -> dict:
    return json.loads((root / stage / "_MANIFEST.json").read_text())


def test_rows_in_are_rows_out_quarantined_or_merged(root):
    rows = manifest(root / "first", "corpus")["rows"]
    assert set(rows) == {"items", "queries", "judgments", "impressions"}
    for counted in rows.values():
        assert counted["in"] == counted["out"] + sum(counted["merged"].values()) + sum(counted["quarantined"].values())
    for name in ("items", "queries", "impressions"):
        assert pq.read_table(root / "first" / "corpus" / name).num_rows == rows[name]["out"]
    for name, counted in rows.items():
        if number := sum(counted["quarantined"].values()):
            assert pq.read_table(root / "first" / "corpus" / "quarantine" / name).num_rows == number
    assert sum(sum(c["quarantined"].values()) for c in rows.values()) > 0


def test_every_pair_is_scored_once(root):
    rows = manifest(root / "first", "corpus")["rows"]
    scores = pq.read_table(root / "first" / "scores" / "tiles")
    num_pairs = rows["items"]["out"] * rows["queries"]["out"]
    assert scores.num_rows == num_pairs == manifest(root / "first", "scores")["rows"]["pairs"]
    assert scores.group_by(["query_id", "item_id"]).aggregate([]).num_rows == num_pairs
    histogram = pq.read_table(root / "first" / "scores" / "histogram.parquet")
    assert pc.sum(histogram["count"]).as_py() == num_pairs


def test_labelled_scores_are_the_grid_s_scores(root):
    labelled = pq.read_table(root / "first" / "scores" / "labelled")
    both = labelled.join(
        pq.read_table(root / "first" / "scores" / "tiles"), ["query_id", "item_id"], right_suffix="_grid"
    )
    assert both.num_rows == labelled.num_rows > 0
    assert both["score_match"].equals(both["score_match_grid"])


def test_the_top_table_is_ready_to_load(root):
    top = pq.read_table(root / "first" / "calibration" / "top.parquet")
    queries = manifest(root / "first", "corpus")["rows"]["queries"]["out"]
    assert top.num_rows == queries * 100
    for target in ("relevance", "click", "purchase"):
        column = top[f"probability_{target}"]
        assert column.null_count == 0
        assert 0 <= pc.min(column).as_py() <= pc.max(column).as_py() <= 1
    first = top.filter(pc.equal(top["query_id"], top["query_id"][0])).sort_by("rank")
    assert first["score"].to_pylist() == sorted(first["score"].to_pylist(), reverse=True)


def test_the_report_is_there(root):
    records = json.loads((root / "first" / "report" / "metrics.json").read_text())
    assert all(set(r) == {f.name for f in fields(Record)} for r in records)
    found = {r["metric"]: r["value"] for r in records if (r["target"], r["slice"]) == ("relevance", "overall")}
    assert found["ndcg@10"] > found["random ndcg@10"]
    assert found["ndcg@10 catalogue"] > 10 * found["random ndcg@10 catalogue"]
    assert "<html" in (root / "first" / "report" / "index.html").read_text()


def test_what_is_done_is_not_done_again(root):
    before = {p: p.stat().st_mtime_ns for p in (root / "first").rglob("*") if p.is_file()}
    pipeline(job("pipeline", *small(root, "first", "keep=every")))
    assert {p: p.stat().st_mtime_ns for p in (root / "first").rglob("*") if p.is_file()} == before


def test_another_configuration_under_the_same_name_is_refused(root):
    with pytest.raises(ValueError, match=r"'first' already holds scores/.*k1: 1.5 -> 2.0.*reuse=first"):
        pipeline(job("pipeline", *small(root, "first", "keep=every", "model.k1=2.0")))
    with pytest.raises(ValueError, match=r"holds scores/.*keep: every -> top"):
        pipeline(job("pipeline", *small(root, "first")))


def test_reuse_takes_over_corpus_and_scores_for_a_new_report(root):
    overrides = [o for o in small(root, "second", "keep=every", "reuse=first") if "balanced" not in o]
    pipeline(job("pipeline", *overrides, "report=[reliability]"))
    second = root / "second"
    assert {p.name for p in second.iterdir()} == {"corpus", "model", "scores", "calibration", "report"}
    for stage in ("corpus", "model", "scores", "calibration"):
        assert [p.name for p in (second / stage).iterdir()] == ["_REUSED.json"]
    records = json.loads((second / "report" / "metrics.json").read_text())
    assert {r["report"] for r in records} == {"reliability"}


@pytest.mark.long
def test_dry_run_stops_before_the_first_tile(root):
    with pytest.raises(DryRun):
        pipeline(job("pipeline", *small(root, "dry", "dry_run=true", "reuse=first")))
    assert not (root / "dry" / "scores" / "tiles").exists()
    assert not (root / "dry" / "calibration").exists()
    pipeline(job("pipeline", *small(root, "dry", "reuse=first")))
    assert (root / "dry" / "report" / "index.html").exists()


@pytest.mark.long
def test_candidates_of_another_run_are_rescored(root):
    candidates = root / "first" / "calibration" / "top.parquet"
    pipeline(
        job(
            "pipeline",
            *small(root, "rescored", "reuse=first", "pairs=candidates", f"pairs.path={candidates}", "keep=every"),
        )
    )
    first, again = (pq.read_table(root / n / "scores" / "tiles") for n in ("first", "rescored"))
    assert again.num_rows == pq.read_table(candidates).num_rows
    both = again.join(first, ["query_id", "item_id"], right_suffix="_every")
    assert both["score_match"].equals(both["score_match_every"])
    ranks = [
        pq.read_table(root / n / "scores" / "ranks.parquet").sort_by(
            [("query_id", "ascending"), ("item_id", "ascending")]
        )
        for n in ("first", "rescored")
    ]
    retrieved = pc.less_equal(pc.add(ranks[0]["num_above"], ranks[0]["num_tied"]), 100)
    assert ranks[0].filter(retrieved)["num_above"].equals(ranks[1].filter(retrieved)["num_above"])
    assert ranks[1]["num_items"].equals(ranks[0]["num_items"])


@pytest.mark.long
def test_markets_without_items_and_candidates_across_markets_are_counted(tmp_path):
    """Two queries have no item of their locale, one candidate joins two locales, and one labelled query has none."""
    locales, (two, six) = ("de", "fr", "us"), (range(2), range(6))
    items = [f"{c}{i},thing {i},{c}" for c in ("de", "us") for i in six]
    queries = [f"{c}-q{q},thing {q},{c},search" for c in locales for q in two]
    judged = [f"{c}-q{q},{'us' if c == 'fr' else c}{i},{3 * (q == i)}" for c in locales for q in two for i in range(4)]
    for name, header, rows in (
        ("items", "item_id,text,locale", items),
        ("queries", "query_id,text,locale,kind", queries),
        ("judgments", "query_id,item_id,label", judged),
    ):
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    found = {"query_id": ["de-q0", "de-q1", "us-q1", "us-q1"], "item_id": ["de0", "de1", "us1", "de1"]}
    pq.write_table(pa.table(found), tmp_path / "candidates.parquet")
    own = (
        "source=delimited",
        f"source.path={tmp_path}",
        "source.queries=queries.csv",
        "target=[relevance]",
        "model=bm25",
        f"store.root={tmp_path}/runs",
        *QUICK_REPORT,
    )
    pipeline(job("pipeline", *own, "name=every"))
    rows = manifest(tmp_path / "runs" / "every", "scores")["rows"]
    assert rows == {"pairs": 24, "kept": 24, "labelled": 24, "query_without_items": 2}
    pipeline(job("pipeline", *own, "name=some", "pairs=candidates", f"pairs.path={tmp_path}/candidates.parquet"))
    rows = manifest(tmp_path / "runs" / "some", "scores")["rows"]
    assert rows == {
        "pairs": 3,
        "kept": 3,
        "labelled": 24,
        "candidate_other_market": 1,
        "query_without_items": 2,
    }
    ranks = pq.read_table(tmp_path / "runs" / "some" / "scores" / "ranks.parquet")
    assert ranks.num_rows == 24
    assert {tuple(r.values())[3:] for r in ranks.to_pylist() if r["query_id"] == "us-q0"} == {(0, 6, 6)}
    assert {tuple(r.values())[3:] for r in ranks.to_pylist() if r["query_id"] == "fr-q0"} == {(12, 1, 13)}
