"""A cascade from its commands: ranks, top and page are those of both models' full scores, sorted by hand."""

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from recsys.model import Supervised, fitted_outputs
from recsys.stage._corpus import Corpus
from recsys.stage.pipeline import pipeline
from recsys.stage.prepare import prepare
from recsys.stage.score import DryRun, score
from recsys.stage.train import train
from tests.compose import QUICK_REPORT, SMALL_SHOP, job

NETWORK = ("model=two_tower", "model.num_layers=1", "target=[relevance,click]")
LEXICAL = ("model=bm25", "target=[relevance,click]")
TILES = ("tiles.queries=20", "tiles.items=80", "tiles.labelled=150", "keep=every", "resources.actors=1")
SIZE, TOP_K = 12, 20


def run(root: Path, name: str, *overrides: str) -> None:
    pipeline(job("pipeline", f"store.root={root}", f"name={name}", *SMALL_SHOP, *QUICK_REPORT, *TILES, *overrides))


def score_all(root: Path, name: str, model: tuple[str, ...], *overrides: str) -> None:
    """What the pipeline does before it calibrates; a network keeps its initial weights, and a drawn one in the head of
    each output, so that their orders differ."""
    own = (f"store.root={root}", f"name={name}")
    reuse = tuple(o for o in overrides if o.startswith("reuse="))
    prepare(job("prepare", *own, *SMALL_SHOP, model[-1], *reuse))
    training = job("train", *own, *model, *reuse)
    plan = training.plan(training.inputs("corpus"))
    if isinstance(training.model, Supervised) and training.run.done(plan) is None:
        folder, corpus = (
            training.run.begin(plan),
            Corpus(training.run.folder("corpus"), training.run.manifest("corpus")),
        )
        network = training.model.build(corpus.table("queries"), corpus.table("items"), ("relevance", "click"), 0)
        torch.nn.init.normal_(network.get_parameter("heads.turn_TDD"), generator=torch.Generator().manual_seed(0))
        network.save(Path(folder.path))
        training.run.close(folder, plan, {}, {})
    else:
        train(training)
    score(job("score", *own, *(m for m in model if m.startswith("model")), *TILES, *overrides))


def cascade(root: Path, first: str) -> tuple[str, ...]:
    return ("pairs=cascade", f"pairs.run={root}/{first}", f"pairs.top={SIZE}", f"top_k={TOP_K}")


pytestmark = pytest.mark.long  # the order itself is tested in tests/pairs


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Both models over every pair; then the network over the best of bm25, and over its own best: a second model of
    two outputs after one of one output, and after one of two."""
    root = tmp_path_factory.mktemp("runs")
    score_all(root, "lexical", LEXICAL, f"top_k={TOP_K}")
    score_all(root, "network", NETWORK, f"top_k={TOP_K}", "reuse=lexical")
    run(root, "cascade", *NETWORK, "reuse=network", *cascade(root, "lexical"))
    score_all(root, "itself", NETWORK, "reuse=network", *cascade(root, "network"))
    return root


def manifest(root: Path, name: str, stage: str) -> dict:
    return json.loads((root / name / stage / "_MANIFEST.json").read_text())


def scores(root: Path, name: str, output: str) -> dict[str, dict[str, float]]:
    """query -> item -> score, of every pair scored."""
    table = pq.read_table(root / name / "scores" / "tiles")
    column = table[f"score_{output}" if f"score_{output}" in table.column_names else "score_match"]
    found: dict[str, dict[str, float]] = {}
    for q, i, s in zip(table["query_id"].to_pylist(), table["item_id"].to_pylist(), column.to_pylist(), strict=True):
        found.setdefault(q, {})[i] = s
    return found


def groups(cheap: dict[str, float], dear: dict[str, float]) -> list[tuple[str, list[tuple[str, float]]]]:
    """(model, tied items with their score) of one query and output, best first."""
    order = sorted(cheap, key=lambda i: (-cheap[i], i))
    made = []
    for model, score_of, some in (("dear", dear, order[:SIZE]), ("cheap", cheap, order[SIZE:])):
        values = sorted({score_of[i] for i in some}, reverse=True)
        made += [(model, sorted((i, value) for i in some if score_of[i] == value)) for value in values]
    return made


@pytest.mark.parametrize(("name", "first"), [("cascade", "lexical"), ("itself", "network")])
def test_ranks_and_top_are_those_of_both_full_score_matrices(root, name, first):
    ranks = pq.read_table(root / name / "scores" / "ranks.parquet").to_pylist()
    top = pq.read_table(root / name / "scores" / "top.parquet").to_pylist()
    names = {"cheap": manifest(root, name, "scores")["cascade"]["first"], "dear": "two_tower"}
    assert {r["output"] for r in ranks} == {"relevance", "click"}
    if first == "lexical":
        assert sum(r["num_tied"] > 1 for r in ranks) > 10, "ties are among what is compared"
    for output in ("relevance", "click"):
        cheap, full, dear = (scores(root, n, output) for n in (first, "network", name))
        for query, scored in dear.items():  # the last bits of a sum depend on whether pairs or a block are scored
            assert list(scored.values()) == pytest.approx([full[query][i] for i in scored], rel=1e-4, abs=1e-5)
        places, best = {}, []
        for query in cheap:
            above, listed = 0, []
            for model, group in groups(cheap[query], dear[query]):
                places |= {(query, i): (above, len(group), len(cheap[query])) for i, _ in group}
                listed += [(i, score, names[model]) for i, score in group]
                above += len(group)
            best += [(query, k + 1, *row) for k, row in enumerate(listed[:TOP_K])]
        mine = {(r["query_id"], r["item_id"]): r for r in ranks if r["output"] == output}
        assert len(mine) > 300
        for pair, r in mine.items():
            assert (r["num_above"], r["num_tied"], r["num_items"]) == places[pair], pair
        found = [(r["query_id"], r["rank"], r["item_id"], r["score"], r["model"]) for r in top if r["output"] == output]
        assert sorted(found) == sorted(best)


def test_outputs_of_a_fitted_model_are_known_without_opening_it(root):
    for name, outputs in (("lexical", ("match",)), ("network", ("relevance", "click"))):
        run = job("score", f"store.root={root}", f"name={name}").run
        assert fitted_outputs(run.folder("model")) == outputs == tuple(manifest(root, name, "scores")["outputs"])


def test_only_the_shortlists_are_scored_by_the_second_model(root):
    num_queries = manifest(root, "lexical", "corpus")["rows"]["queries"]["out"]
    assert manifest(root, "cascade", "scores")["rows"]["pairs"] == num_queries * SIZE
    union = manifest(root, "itself", "scores")["rows"]["pairs"]
    assert num_queries * SIZE < union < num_queries * 2 * SIZE, "two outputs, two shortlists that overlap"
    listed = pq.read_table(root / "itself" / "scores" / "pairs-tiles.parquet")
    assert [pc.sum(listed[f"listed_{o}"]).as_py() for o in ("relevance", "click")] == [num_queries * SIZE] * 2


def test_every_table_says_which_model_gave_the_score(root):
    told = manifest(root, "cascade", "scores")
    assert told["cascade"] == {"first": "bm25", "second": "two_tower", "top": SIZE}
    assert told["model"] == "two_tower"
    assert manifest(root, "itself", "scores")["cascade"]["first"] == "first two_tower"
    assert "cascade" not in manifest(root, "network", "scores")
    top = pq.read_table(root / "cascade" / "scores" / "top.parquet")
    second = np.array(top["model"].to_pylist()) == "two_tower"
    assert np.array_equal(second, top["rank"].to_numpy() <= SIZE)
    for name, model in (("cascade", "two_tower"), ("network", "two_tower"), ("lexical", "bm25")):
        for sub in ("tiles", "labelled"):
            for part in (root / name / "scores" / sub).iterdir():
                assert pq.read_schema(part).metadata[b"recsys.model"] == model.encode()
        if name != "cascade":
            assert pc.unique(pq.read_table(root / name / "scores" / "top.parquet")["model"]).to_pylist() == [model]


def test_only_the_second_model_s_scores_become_probabilities(root):
    top = pq.read_table(root / "cascade" / "calibration" / "top.parquet")
    for output in ("relevance", "click"):
        known = pc.and_(pc.equal(top["output"], output), pc.equal(top["model"], "two_tower"))
        assert pc.is_valid(top[f"probability_{output}"]).equals(known)


def test_the_page_names_both_models_and_how_many_were_scored_again(root):
    page = (root / "cascade" / "report" / "index.html").read_text()
    assert "bm25 → two tower" in page
    assert f"bm25 ranked every item, and the first {SIZE} of each query stand in the order of two tower" in page


def test_the_work_is_known_by_the_first_run_s_scores_and_by_n(root):
    plans = {}
    for name, first, top in (("cascade", "lexical", SIZE), ("same", "./lexical/", SIZE), ("less", "lexical", SIZE - 1)):
        own = (f"pairs.run={root}/{first}", f"pairs.top={top}", f"top_k={TOP_K}")
        asked = job("score", f"store.root={root}", "name=cascade", *NETWORK[:2], *TILES, "pairs=cascade", *own)
        inputs = asked.inputs("corpus", "model")
        plans[name] = asked.plan(inputs | asked.pairs.identity(corpus=inputs["corpus"], top_k=asked.top_k))
    told = manifest(root, "cascade", "scores")
    assert plans["cascade"].fingerprint == plans["same"].fingerprint == told["fingerprint"]
    assert plans["less"].fingerprint != told["fingerprint"]
    assert told["inputs"]["first"] == manifest(root, "lexical", "scores")["fingerprint"]


def test_what_does_not_fit_is_refused_before_anything_is_written(root):
    own = (*NETWORK, *cascade(root, "lexical"))
    with pytest.raises(ValueError, match=r"pairs.top=21 is more than .*top_k=20"):
        run(root, "large", *own, "pairs.top=21")
    with pytest.raises(ValueError, match="scored another corpus"):
        run(root, "other", *own, "split.test=0.3", "split.train=0.5")
    with pytest.raises(ValueError, match="pairs=cascade"):
        run(root, "nested", *NETWORK, *cascade(root, "cascade"))
    assert {p.name for p in root.iterdir()} == {"lexical", "network", "cascade", "itself"}


def test_a_dry_run_tells_the_plan(root, caplog):
    with caplog.at_level("INFO", "recsys"), pytest.raises(DryRun):
        run(root, "dry", *NETWORK, "reuse=network", *cascade(root, "lexical"), "pairs.top=5", "dry_run=true")
    assert "cascade     bm25 -> two_tower, for the first 5 of each query" in caplog.text
