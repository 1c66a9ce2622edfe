"""Training: it learns, two workers learn what one does, and labels reach the network as they were counted."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModel

from recsys.stage._corpus import Corpus
from recsys.stage._fit import stalled
from recsys.stage._pairs import labelled_pairs
from recsys.stage.prepare import prepare
from recsys.stage.train import train
from tests.compose import SMALL_SHOP, job

MODEL = ("model=two_tower", "model.num_layers=1", "training.threads=1", "training.patience=5")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    prepare(job("prepare", f"store.root={root}", "name=base", *SMALL_SHOP))
    return root


def fit(root: Path, name: str, *overrides: str) -> dict:
    prepare(job("prepare", f"store.root={root}", f"name={name}", "reuse=base", *SMALL_SHOP))
    return train(job("train", f"store.root={root}", f"name={name}", *MODEL, *overrides))


def test_training_learns_and_leaves_a_hugging_face_folder(root, monkeypatch):
    monkeypatch.chdir(root)  # a relative root means this folder, wherever the workers stand
    manifest = fit(Path("."), "one", "training.epochs=2")
    losses = [h["train_loss"] for h in manifest["history"]]
    assert len(losses) == 2
    assert losses[-1] < losses[0]
    assert manifest["outputs"] == ["relevance", "click", "purchase"]
    AutoModel.from_pretrained(root / "one" / "model")
    assert not (root / "one" / "model" / "_train").exists()


@pytest.mark.long
def test_two_workers_learn_what_one_does(root):
    """Equal batches and equal initial weights: what differs is the order of float sums and how a batch is averaged."""
    one = json.loads((root / "one" / "model" / "_MANIFEST.json").read_text())
    two = fit(root, "two", "training.epochs=2", "resources.train_workers=2")
    assert two["fingerprint"] == one["fingerprint"]
    for mine, theirs in zip(two["history"], one["history"], strict=True):
        np.testing.assert_allclose(mine["train_loss"], theirs["train_loss"], rtol=0.05)
        np.testing.assert_allclose(mine["validation_loss"], theirs["validation_loss"], rtol=0.05)


def test_a_model_that_learns_needs_train_labels(root):
    run = ("name=none", f"store.root={root}")
    prepare(job("prepare", *run, *SMALL_SHOP, "split.train=0", "split.validation=0", "split.test=1"))
    with pytest.raises(ValueError, match="no train query has a label"):
        train(job("train", *run, *MODEL))


def test_labelled_pairs_are_the_labels_summed_by_hand(root):
    composed = job("train", f"store.root={root}", "name=base", *MODEL)
    corpus = Corpus(composed.run.folder("corpus"), composed.run.manifest("corpus"))
    pairs = labelled_pairs(corpus, composed.target, "train")
    queries, items = corpus.table("queries"), corpus.table("items")
    split = dict(zip(queries["query_id"].to_pylist(), queries["split"].to_pylist(), strict=True))
    expected: dict[tuple[str, str], dict[str, list[float]]] = {}
    for r in corpus.table("labels").to_pylist():
        if split[r["query_id"]] == "train":
            unit = r["label"] / 3 if r["target"] == "relevance" else r["label"]
            sums = expected.setdefault((r["query_id"], r["item_id"]), {}).setdefault(r["target"], [0.0, 0.0])
            sums[0] += r["weight"] * unit
            sums[1] += r["weight"]
    assert len(pairs) == len(expected)
    for (q, i), label_T, weight_T in zip(pairs.pair_P2, pairs.label_PT, pairs.weight_PT, strict=True):
        key = (queries["query_id"][int(q)].as_py(), items["item_id"][int(i)].as_py())
        for t, name in enumerate(pairs.outputs):
            total, weight = expected[key].get(name, [np.nan, 0.0])
            np.testing.assert_allclose(label_T[t], total / weight if weight else np.nan)
            assert weight_T[t] == weight


def test_early_stopping_waits_for_its_patience():
    def history(*losses: float) -> list[dict[str, float]]:
        return [{"validation_loss": x} for x in losses]

    assert not stalled(history(3, 2, 2.5), 2)
    assert stalled(history(3, 2, 2.5, 2.1), 2)
    assert not stalled(history(3, 2, 2.5, 1.9), 2)
    assert stalled(history(1, 1), 1)


def test_history_is_kept_in_the_manifest(root):
    manifest = json.loads((root / "one" / "model" / "_MANIFEST.json").read_text())
    assert [h["epoch"] for h in manifest["history"]] == [1, 2]
