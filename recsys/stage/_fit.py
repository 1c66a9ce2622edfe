"""One data-parallel worker of a training: the loop that Ray Train runs. torch is loaded here, and nowhere before.

Shapes: P labelled (and taught) pairs, B pairs of a batch, T outputs.
"""

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import torch
from ray.train import Checkpoint
from ray.train.torch import get_device, prepare_model

from recsys import seed as seeds
from recsys.model import Supervised, use_threads
from recsys.stage._corpus import Corpus
from recsys.stage._learner import Learner
from recsys.stage._pairs import labelled_pairs, with_lessons
from recsys.store import Folder, Run

PROGRESS, STATE, BEST = "progress.json", "state.pt", "best"
PARTS = ("network", "optimizer", "schedule")


def work(config: dict[str, Any]) -> None:
    """One data-parallel worker: every worker draws the same global batches and takes its share of each."""
    job: Any = config["job"]  # a TrainJob
    run: Run = config["run"]
    training, outputs = job.training, tuple(config["outputs"])
    use_threads(training.threads)
    if os.path.isdir(config["standing"]):
        os.chdir(config["standing"])
    corpus = Corpus(run.folder("corpus"), run.manifest("corpus"))
    queries, items = corpus.table("queries", ["query_id", "text"]), corpus.table("items", ["item_id", "text"])
    pairs = with_lessons(labelled_pairs(corpus, job.target, "train"), config["progress"])
    held_out = labelled_pairs(corpus, job.target, "validation")
    assert isinstance(job.model, Supervised)
    network = job.model.build(queries, items, outputs, seeds.seed(job.seed, "model", "weights"))
    network.train()
    learner = Learner.of(
        network,
        prepare_model(network, parallel_strategy_kwargs={"find_unused_parameters": False}),
        training,
        job.objective,
        num_pairs=len(pairs),
        share=slice(ray.train.get_context().get_world_rank(), None, ray.train.get_context().get_world_size()),
        device=get_device(),
    )
    state = _State(learner)
    history = state.resume()
    for epoch in range(len(history), training.epochs):
        if stalled(history, training.patience):
            break
        started = time.monotonic()
        torch.manual_seed(seeds.seed(job.seed, "model", f"epoch-{epoch}"))
        order_P = np.random.default_rng(seeds.seed(job.seed, "model", f"order-{epoch}")).permutation(len(pairs))
        train_loss = learner.epoch(pairs, order_P)
        loss = learner.validate(held_out) if len(held_out) else train_loss
        history.append({"epoch": epoch + 1, "train_loss": round(train_loss, 6), "validation_loss": round(loss, 6)})
        state.report(history, config["progress"], seconds=time.monotonic() - started, epochs=training.epochs)


def stalled(history: list[dict[str, float]], patience: int) -> bool:
    """Whether the last `patience` epochs brought no better validation loss."""
    losses = [h["validation_loss"] for h in history]
    return len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])


@dataclass
class _State:
    """What a checkpoint holds: weights, optimizer, schedule, history, and the best epoch as a model folder."""

    learner: Learner

    def resume(self) -> list[dict[str, float]]:
        """Takes up the last checkpoint, if there is one; its history."""
        self._best: Path = Path(tempfile.mkdtemp()) / BEST
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return []
        with checkpoint.as_directory() as folder:
            saved = torch.load(Path(folder) / STATE, weights_only=True, map_location="cpu")
            self._keep_best(Path(folder) / BEST)
            history = json.loads((Path(folder) / PROGRESS).read_text())
        for name in PARTS:
            getattr(self.learner, name).load_state_dict(saved[name])
        return history

    def _keep_best(self, folder: Path) -> None:
        self._best.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            (self._best / path.name).write_bytes(path.read_bytes())

    def report(self, history: list[dict[str, float]], progress: Folder, *, seconds: float, epochs: int) -> None:
        """Every worker calls it once an epoch; the first one saves."""
        last = history[-1]
        if ray.train.get_context().get_world_rank() != 0:
            ray.train.report(last)
            return
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            if last["validation_loss"] == min(h["validation_loss"] for h in history):
                (folder / "new").mkdir()
                self.learner.network.save(folder / "new")
                self._keep_best(folder / "new")
            (folder / BEST).mkdir()
            for path in self._best.iterdir():
                (folder / BEST / path.name).write_bytes(path.read_bytes())
            state = {name: getattr(self.learner, name).state_dict() for name in PARTS}
            torch.save(state, folder / STATE)
            (folder / PROGRESS).write_text(json.dumps(history))
            progress.write_json(PROGRESS, last | {"epochs": epochs, "seconds": seconds})
            ray.train.report(last, checkpoint=Checkpoint.from_directory(made))
