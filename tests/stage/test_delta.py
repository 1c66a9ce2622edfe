"""A run that goes on from another scores only what is new, and leaves what scoring everything leaves."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys.stage.pipeline import pipeline
from recsys.stage.prepare import prepare
from recsys.stage.score import DryRun, score
from recsys.stage.train import train
from tests.compose import QUICK_REPORT, SMALL_SHOP, job

TILES = ("model=bm25", "tiles.queries=10", "tiles.items=25", "tiles.labelled=100", "top_k=7", "resources.actors=2")
FILES = {name: f"source.{name}={name}.parquet" for name in ("items", "queries", "judgments", "impressions")}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Three days of one shop: the first is scored whole."""
    root = tmp_path_factory.mktemp("runs")
    source = job("prepare", "name=unnamed", *SMALL_SHOP).source
    raw = {name: pa.concat_tables(source.read(name)) for name in source.tables()}
    item_ids = raw["items"]["item_id"].to_pylist()
    late, edited = [item_ids[n] for n in (3, 60, 61, 149)], item_ids[80]
    queries = raw["queries"]
    write(root / "third-raw", raw | {"items": rewritten(raw["items"], item_ids[20])})
    second = raw | {"items": without(raw["items"], "item_id", item_ids[20:21]), "queries": queries.slice(1)}
    write(root / "second-raw", second | {"items": rewritten(second["items"], edited)})
    write(root / "first-raw", raw | {"items": without(raw["items"], "item_id", late), "queries": queries.slice(0, 45)})
    prepare(day("prepare", root, "first"))
    train(day("train", root, "first"))
    score(day("score", root, "first"))
    go_on(root, "second", "first")
    return root


def day(verb: str, root: Path, name: str, *overrides: str, raw: str | None = None) -> Any:
    source = ("source=parquet", f"source.path={root}/{raw or name}-raw", *FILES.values())
    chosen = {"prepare": source, "train": ("model=bm25",), "score": TILES, "pipeline": (*source, *TILES)}[verb]
    return job(verb, f"store.root={root}", f"name={name}", *chosen, *overrides)


def go_on(root: Path, name: str, base: str, *, raw: str | None = None, run: bool = True) -> dict[str, Any]:
    """The manifest of the scores of a run with a base."""
    prepare(day("prepare", root, name, f"base={root}/{base}", raw=raw))
    train(day("train", root, name, f"base={root}/{base}"))
    return score(day("score", root, name, f"base={root}/{base}")) if run else {}


def write(folder: Path, tables: dict[str, pa.Table]) -> None:
    folder.mkdir()
    for name, table in tables.items():
        pq.write_table(pa.table({n: table[n] for n in table.column_names}), folder / f"{name}.parquet")  # nullable


def without(table: pa.Table, key: str, ids: list[str]) -> pa.Table:
    return table.filter(pc.invert(pc.is_in(table[key], value_set=pa.array(ids))))


def rewritten(items: pa.Table, item_id: str) -> pa.Table:
    text = pc.if_else(pc.equal(items["item_id"], item_id), "A blue wool scarf, made by hand.", items["text"])
    return items.set_column(items.schema.get_field_index("text"), items.schema.field("text"), text)


def results(root: Path, name: str) -> list[pa.Table]:
    """What counts, in one order."""
    scores, key = root / name / "scores", ["query_id", "item_id"]
    orders = {"ranks": [], "top": [], "histogram": ["query_row", "output", "bin"], "labelled": key}
    tables = {n: pq.read_table(scores / (n if n == "labelled" else f"{n}.parquet")) for n in orders}
    return [tables[n].sort_by([(c, "ascending") for c in by]) if by else tables[n] for n, by in orders.items()]


def score_anew(root: Path, name: str, of: str) -> None:
    """Everything, with the corpus and the model of another run."""
    for stage in ("corpus", "model"):
        shutil.copytree(root / of / stage, root / name / stage)
    score(day("score", root, name))


def same(root: Path, name: str, other: str) -> None:
    for ours, expected in zip(results(root, name), results(root, other), strict=True):
        assert ours.equals(expected)


def test_the_result_is_that_of_scoring_everything(root):
    manifest = score(day("score", root, "second", f"base={root}/first"))
    rows = manifest["rows"]
    score_anew(root, "second-anew", "second")
    same(root, "second", "second-anew")
    anew = pq.read_table(root / "second-anew" / "scores" / "top.parquet")
    assert not anew.equals(pq.read_table(root / "first" / "scores" / "top.parquet"))
    assert 0.2 * rows["pairs"] < rows["taken_over"] < rows["pairs"]
    assert 0 < rows["labelled_taken_over"] < rows["labelled"]
    footers = [pq.read_metadata(p).metadata for p in (root / "second" / "scores" / "tiles").iterdir()]
    taken = [int(m[b"recsys.pairs"]) for m in footers if b"recsys.taken" in m]
    assert sum(taken) == rows["taken_over"]
    first = score(day("score", root, "first"))
    assert manifest["inputs"]["base"] == first["fingerprint"]
    assert {m.get(b"recsys.taken", b"").decode() for m in footers} == {"", first["fingerprint"]}


def test_the_same_command_again_does_nothing(root):
    before = {p: p.stat().st_mtime_ns for p in (root / "second").rglob("*") if p.is_file()}
    go_on(root, "second", "first")
    assert {p: p.stat().st_mtime_ns for p in (root / "second").rglob("*") if p.is_file()} == before


def test_what_the_base_knows_stays_in_its_split(root):
    splits = []
    for name in ("first", "second"):
        table = pq.read_table(root / name / "corpus" / "queries", columns=["text", "split"])
        splits.append(dict(zip(table["text"].to_pylist(), table["split"].to_pylist(), strict=True)))
    both = splits[0].keys() & splits[1].keys()
    assert len(both) >= 40
    assert {t: splits[0][t] for t in both} == {t: splits[1][t] for t in both}


def test_a_killed_run_goes_on_and_scores_what_is_missing(root):
    shutil.copytree(root / "second", root / "killed")
    scores = root / "killed" / "scores"
    (scores / "_STARTED.json").write_bytes((scores / "_MANIFEST.json").read_bytes())
    (scores / "_MANIFEST.json").unlink()
    parts = sorted((scores / "tiles").iterdir())
    taken = next(p for p in parts if b"recsys.taken" in pq.read_metadata(p).metadata)
    scored = next(p for p in parts if b"recsys.taken" not in pq.read_metadata(p).metadata)
    labelled = scores / "labelled" / "part-000000000.parquet"
    lost = {p: p.read_bytes() for p in (taken, scored, labelled)}
    for path in lost:
        path.unlink()
    before = {p: p.stat().st_mtime_ns for p in (scores / "tiles").iterdir()}
    score(day("score", root, "killed", f"base={root}/first"))
    assert {p: p.read_bytes() for p in lost} == lost
    assert {p: p.stat().st_mtime_ns for p in before} == before
    same(root, "killed", "second")


def test_damaged_parts_of_the_base_are_scored(root):
    shutil.copytree(root / "first", root / "damaged")
    plan = pq.read_table(root / "second" / "scores" / "delta" / "taken.parquet")
    for path in (f"tiles/part-{plan['index'][0].as_py():09d}.parquet", "labelled/part-000000001.parquet"):
        part = root / "damaged" / "scores" / path
        data = bytearray(part.read_bytes())
        data[200] ^= 0xFF
        part.write_bytes(data)
    manifest = go_on(root, "mended", "damaged", raw="second")
    same(root, "mended", "second")
    assert (
        manifest["rows"]["taken_over"] < score(day("score", root, "second", f"base={root}/first"))["rows"]["taken_over"]
    )
    assert score(day("score", root, "mended", f"base={root}/damaged", "verify=true")) == manifest


@pytest.mark.long
def test_a_third_day_goes_on_from_the_second_in_one_command(root):
    overrides = (f"base={root}/second", *QUICK_REPORT)
    with pytest.raises(DryRun):
        pipeline(day("pipeline", root, "third", *overrides, "dry_run=true"))
    pipeline(day("pipeline", root, "third", *overrides))
    score_anew(root, "third-anew", "third")
    same(root, "third", "third-anew")
    rows = score(day("score", root, "third", f"base={root}/second"))["rows"]
    assert 0 < rows["taken_over"] < rows["pairs"]
    assert (root / "third" / "report" / "index.html").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("top_k=8",), r"base=.*first was scored in another way \(top_k: 7 -> 8\)"),
        (("model.k1=2.0",), r"scored in another way \(model.k1: 1.5 -> 2.0\)"),
        (("tiles.threads=2",), r"tiles.threads: 1 -> 2"),
        (("pairs=candidates", "pairs.path={root}/first/scores/top.parquet"), "goes with pairs=every alone"),
        (("base={root}/nobody",), r"base=.*nobody has no finished scores/"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_base_that_does_not_go_with_it_is_refused(root, overrides, words):
    base = () if overrides[0].startswith("base=") else ("base={root}/first",)
    with pytest.raises(ValueError, match=words):
        score(day("score", root, "second", *(o.format(root=root) for o in (*base, *overrides))))


def test_another_model_is_refused(root):
    prepare(day("prepare", root, "refitted", f"base={root}/first", raw="second"))
    train(day("train", root, "refitted"))
    with pytest.raises(ValueError, match=r"another model than .*refitted/model \(\S+ differs\).*take its model over"):
        score(day("score", root, "refitted", f"base={root}/first"))
    with pytest.raises(ValueError, match=r"another model \(model.stopwords: .*\); configure it as it was there"):
        train(day("train", root, "refitted", f"base={root}/first", "model.stopwords=de"))
