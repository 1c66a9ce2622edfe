"""Scores do not depend on how many score, nor on what was lost on the way."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from recsys import grid
from recsys.stage._corpus import Corpus
from recsys.stage.prepare import prepare
from recsys.stage.score import DryRun, _check_size, score
from recsys.stage.train import train
from tests.compose import SMALL_SHOP, job

TILES = ("tiles.queries=10", "tiles.items=25", "tiles.labelled=100", "keep=every", "top_k=7")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "_RUN.json"
    }


MODEL = ("model=two_tower", "model.num_layers=1")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A run whose network has its initial weights, scored by one actor."""
    root = tmp_path_factory.mktemp("runs")
    prepare(job("prepare", f"store.root={root}", "name=one", *SMALL_SHOP))
    untrained = job("train", f"store.root={root}", "name=one", *MODEL)
    plan = untrained.plan(untrained.inputs("corpus"))
    folder = untrained.run.begin(plan)
    corpus = Corpus(untrained.run.folder("corpus"), untrained.run.manifest("corpus"))
    network = untrained.model.build(corpus.table("queries"), corpus.table("items"), ("relevance", "click"), 0)
    network.save(Path(folder.path))
    untrained.run.close(folder, plan, {}, {})
    score(scoring(root, "one", "resources.actors=1"))
    return root


def scoring(root: Path, name: str, *overrides: str):
    return job("score", f"store.root={root}", f"name={name}", *MODEL, *TILES, *overrides)


def take_over(root: Path, name: str) -> None:
    """A new run that starts from the corpus and model of the first."""
    prepare(job("prepare", f"store.root={root}", f"name={name}", "reuse=one", *SMALL_SHOP))
    train(job("train", f"store.root={root}", f"name={name}", "reuse=one", *MODEL))


@pytest.mark.parametrize("actors", [2, pytest.param(3, marks=pytest.mark.long)])
def test_bytes_do_not_depend_on_the_number_of_actors(root, actors):
    name = f"actors-{actors}"
    take_over(root, name)
    score(scoring(root, name, f"resources.actors={actors}"))
    expected = digests(root / "one" / "scores")
    assert digests(root / name / "scores") == expected
    assert sum(n.startswith("tiles/part-") for n in expected) >= 25


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.max_item_tokens=5", r"fitted otherwise \(model\.max_item_tokens: \d+ -> 5\)"),
        ("model=bm25", r"holds a fitted TwoTower, not a Bm25"),
    ],
)
def test_a_model_that_was_fitted_otherwise_is_refused(root, override, message):
    model = (override,) if override.startswith("model=") else (*MODEL, override)
    with pytest.raises(ValueError, match=message):
        score(job("score", f"store.root={root}", "name=one", *model, *TILES))


def test_a_tile_of_too_many_scores_is_refused():
    tiles = [grid.Tile(0, 0, 0, 512, 0, 8192), grid.Tile(1, 0, 0, 512, 8192, 16384)]
    _check_size(tiles, outputs=2)
    with pytest.raises(ValueError, match=r"512 queries x 8192 items x 3 outputs holds 12,582,912 scores"):
        _check_size(tiles, outputs=3)


@pytest.mark.long
def test_only_lost_parts_are_scored_again(root):
    shutil.copytree(root / "one", root / "lost")
    scores = root / "lost" / "scores"
    before = {p: p.stat().st_mtime_ns for p in (scores / "tiles").iterdir()}
    lost = [scores / "tiles" / "part-000000003.parquet", scores / "tiles" / "part-000000011.parquet"]
    lost[0].unlink()
    lost[1].write_bytes(lost[1].read_bytes()[:1000])
    (scores / "tiles" / ".tmp-part-000000005.parquet-dead").write_bytes(b"half")
    (scores / "_STARTED.json").write_bytes((scores / "_MANIFEST.json").read_bytes())
    (scores / "_MANIFEST.json").unlink()
    score(scoring(root, "lost"))
    changed = {p.name for p, time in before.items() if p.stat().st_mtime_ns != time}
    assert changed == {p.name for p in lost}
    assert digests(scores) == digests(root / "one" / "scores")


@pytest.mark.long
def test_keep_decides_what_is_kept_and_nothing_else(root):
    take_over(root, "labelled")
    score(scoring(root, "labelled", "keep=labelled"))
    for name in ("ranks.parquet", "top.parquet", "histogram.parquet"):
        assert (root / "labelled" / "scores" / name).read_bytes() == (root / "one" / "scores" / name).read_bytes()


@pytest.mark.long
def test_verify_finds_what_was_altered_in_a_finished_run_and_scores_it_again(root):
    shutil.copytree(root / "one", root / "altered")
    scores = root / "altered" / "scores"
    part = scores / "tiles" / "part-000000004.parquet"
    data = bytearray(part.read_bytes())
    data[200] ^= 0xFF  # in the rows; the footer stays readable
    part.write_bytes(data)
    score(scoring(root, "altered"))
    assert part.read_bytes() == data, "done before, and not looked at"
    score(scoring(root, "altered", "verify=true"))
    assert digests(scores) == digests(root / "one" / "scores")


@pytest.mark.long
def test_a_tile_that_fails_is_named_and_the_rest_is_committed(root):
    """A token that occurs in one item without labels gets an embedding that is no number."""
    shutil.copytree(root / "one", root / "failing")
    shutil.rmtree(root / "failing" / "scores")
    run = scoring(root, "failing").run
    corpus = Corpus(run.folder("corpus"), run.manifest("corpus"))
    folder = root / "failing" / "model"
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    items = corpus.table("items", ["item_id", "text"]).to_pylist()
    labelled = set(corpus.table("labels", ["item_id"])["item_id"].to_pylist())
    tokens = [set(tokenizer(i["text"], truncation=True, max_length=48)["input_ids"]) for i in items]
    row, token = next(
        (row, token)
        for row, (item, mine) in enumerate(zip(items, tokens, strict=True))
        if item["item_id"] not in labelled
        for token in sorted(mine)
        if sum(token in other for other in tokens) == 1
    )
    whole = (folder / "model.safetensors").read_bytes()
    weights = load_file(folder / "model.safetensors")
    name = next(n for n in weights if n.endswith("word_embeddings.weight"))
    weights[name][token] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"tile \d+ \(query rows .*not finite.* (\d+) of \d+ tiles failed") as failure:
        score(scoring(root, "failing"))
    tiles = pq.read_table(root / "failing" / "scores" / "plan.parquet").to_pylist()
    failing = {t["index"] for t in tiles if t["item_start"] <= row < t["item_stop"]}
    committed = {int(p.stem.split("-")[1]) for p in (root / "failing" / "scores" / "tiles").iterdir()}
    assert committed == {t["index"] for t in tiles} - failing
    assert f"{len(failing)} of {len(tiles)} tiles failed, {len(committed)} are committed" in str(failure.value)
    before = {p: p.stat().st_mtime_ns for p in (root / "failing" / "scores" / "tiles").iterdir()}
    (folder / "model.safetensors").write_bytes(whole)
    score(scoring(root, "failing"))
    assert digests(root / "failing" / "scores") == digests(root / "one" / "scores")
    assert {p: p.stat().st_mtime_ns for p in before} == before, "the cause is mended: only what failed is scored"


@pytest.mark.long
def test_a_plan_is_measured_once_and_then_written_down(root):
    take_over(root, "measured")
    measured = ("tiles.queries=null", "tiles.items=null", "resources.actors=1")
    with pytest.raises(DryRun):
        score(scoring(root, "measured", *measured, "dry_run=true"))
    scores = root / "measured" / "scores"
    plan = pq.read_table(scores / "plan.parquet")
    num_queries, num_items = num_rows(root, "queries"), num_rows(root, "items")
    assert pc.sum(pc.multiply(*sides(plan))).as_py() == num_queries * num_items
    cut = grid.plan([grid.Market(0, num_queries, 0, num_items)], 7, 31)  # another than a measurement would give
    other = pa.Table.from_pylist([dataclasses.asdict(t) for t in cut]).replace_schema_metadata(plan.schema.metadata)
    pq.write_table(other, scores / "plan.parquet")
    score(scoring(root, "measured", *measured))
    assert len(list((scores / "tiles").iterdir())) == len(cut)


def sides(plan: pa.Table) -> list:
    return [pc.subtract(plan[f"{side}_stop"], plan[f"{side}_start"]) for side in ("query", "item")]


def num_rows(root: Path, table: str) -> int:
    manifest = json.loads((root / "one" / "corpus" / "_MANIFEST.json").read_text())
    return sum(p["rows"] for p in manifest["parts"][table])
