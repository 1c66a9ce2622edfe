"""Runs whose stages hold what a test wants of a teacher: a model of known weights, a list of best items."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from recsys.scorer import Scorer
from recsys.stage._corpus import Corpus
from recsys.stage.prepare import prepare
from recsys.stage.train import TrainJob
from recsys.store import Plan
from tests.compose import SMALL_SHOP, job

SHOP = (*SMALL_SHOP, "target=[relevance]")
SMALL = ("model.hidden_size=32", "model.num_layers=1", "model.vocabulary_size=500")
LOUD = 16  # a network from scratch says nearly the same of every pair; its last layer, times this, does not


def training(root: Path, name: str, *overrides: str) -> TrainJob:
    """A training on the shop that all runs of a test share."""
    if not (root / name).exists():
        prepare(job("prepare", f"store.root={root}", f"name={name}", *SHOP))
    return job("train", f"store.root={root}", f"name={name}", "target=[relevance]", *overrides)


def corpus_of(training: TrainJob) -> Corpus:
    return Corpus(training.run.folder("corpus"), training.run.manifest("corpus"))


def cross_encoder(root: Path, name: str, seed: int, *overrides: str) -> Scorer:
    """Leaves a run with the finished model/ of a cross-encoder with random weights; its scorer, in float32."""
    configured = training(root, name, "model=cross_encoder", "model.dtype=float32", f"seed={seed}", *SMALL, *overrides)
    corpus = corpus_of(configured)
    queries, items = corpus.table("queries"), corpus.table("items")
    network = configured.model.build(queries, items, ("relevance",), seed)
    some = network.collate(queries["text"].to_pylist(), items["text"].to_pylist()[: len(queries)])
    with torch.no_grad():
        network.model.classifier.weight.mul_(LOUD)
        network.model.classifier.bias.sub_(network(**some).mean())
    plan = configured.plan(configured.inputs("corpus"))
    folder = configured.run.begin(plan)
    with tempfile.TemporaryDirectory() as made:
        network.save(Path(made))
        folder.take(Path(made))
    configured.run.close(folder, plan, {"learned": True, "outputs": ["relevance"]}, {})
    return configured.model.load(folder.fetch(), "cpu")


def best_items(root: Path, name: str, item_rows: dict[int, list[int]]) -> None:
    """Leaves a run with finished scores/ whose best items, by query row, are these."""
    configured = training(root, name, "model=cross_encoder")
    corpus = corpus_of(configured)
    rows = [(q, i) for q, items in item_rows.items() for i in items]
    query_ids, item_ids = corpus.table("queries")["query_id"], corpus.table("items")["item_id"]
    table = {
        "query_id": query_ids.take(pa.array(np.array([q for q, _ in rows], np.int64))),
        "item_id": item_ids.take(pa.array(np.array([i for _, i in rows], np.int64))),
    }
    plan = Plan(stage="scores", version=1, config={"best": sorted(map(list, rows))}, inputs=configured.inputs("corpus"))
    folder = configured.run.begin(plan)
    folder.write_table("top.parquet", pa.table(table))
    configured.run.close(folder, plan, {}, {})
