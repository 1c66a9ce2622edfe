"""One data-parallel worker of a training: the loop that Ray Train runs. torch is loaded here, and nowhere before.

Shapes: P labelled (and taught) pairs, B pairs of a batch, T outputs.
"""

import json
import math
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
from recsys.stage._pairs import LabelledPairs, labelled_pairs, with_lessons
from recsys.store import Folder, Run

PROGRESS, STATE, BEST = "progress.json", "state.pt", "best"


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
    model = prepare_model(network, parallel_strategy_kwargs={"find_unused_parameters": False})
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    steps = training.epochs * math.ceil(len(pairs) / training.batch_size)
    warmup = max(1, round(steps * training.warmup_fraction))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.0, (steps - step) / max(1, steps - warmup)))
    )
    state = _State(network, optimizer, schedule)
    history = state.resume()
    share = slice(ray.train.get_context().get_world_rank(), None, ray.train.get_context().get_world_size())
    for epoch in range(len(history), training.epochs):
        if stalled(history, training.patience):
            break
        started = time.monotonic()
        torch.manual_seed(seeds.seed(job.seed, "model", f"epoch-{epoch}"))
        order_P = np.random.default_rng(seeds.seed(job.seed, "model", f"order-{epoch}")).permutation(len(pairs))
        train_loss = _epoch(model, network, pairs, order_P, share, job, optimizer, schedule)
        loss = _validate(network, held_out, share, job) if len(held_out) else train_loss
        history.append({"epoch": epoch + 1, "train_loss": round(train_loss, 6), "validation_loss": round(loss, 6)})
        state.report(history, config["progress"], seconds=time.monotonic() - started, epochs=training.epochs)


def stalled(history: list[dict[str, float]], patience: int) -> bool:
    """Whether the last `patience` epochs brought no better validation loss."""
    losses = [h["validation_loss"] for h in history]
    return len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])


def _epoch(
    model: torch.nn.Module,
    network: Any,
    pairs: LabelledPairs,
    order_P: np.ndarray,
    share: slice,
    job: Any,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """The mean loss of an epoch of steps."""
    total, steps = 0.0, 0
    world = share.step
    for start in range(0, len(order_P), job.training.batch_size):
        chosen = order_P[start : start + job.training.batch_size]
        chosen = chosen if len(chosen) >= world else order_P[:world]  # every worker takes part in every step
        optimizer.zero_grad()
        loss = _loss(model, network, pairs, chosen[share], job)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total, steps = total + float(loss.detach()), steps + 1
    return _mean_over_workers(total, steps)


def _validate(network: Any, pairs: LabelledPairs, share: slice, job: Any) -> float:
    """The mean loss of the validation pairs, weighted by batch size."""
    network.eval()
    mine_P = np.arange(len(pairs))[share]
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(mine_P), job.training.batch_size):
            chosen = mine_P[start : start + job.training.batch_size]
            total += float(_loss(network, network, pairs, chosen, job)) * len(chosen)
    network.train()
    return _mean_over_workers(total, len(mine_P))


def _loss(model: torch.nn.Module, network: Any, pairs: LabelledPairs, chosen: np.ndarray, job: Any) -> torch.Tensor:
    device = get_device()
    batch = network.collate(*pairs.texts(chosen))
    batch = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
    bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        logit_BT = model(**batch)
    label_BT = torch.from_numpy(pairs.label_PT[chosen].astype(np.float32)).to(device)
    weight_BT = torch.from_numpy(pairs.weight_PT[chosen].astype(np.float32)).to(device)
    return job.objective.loss(logit_BT.float(), label_BT, weight_BT)


def _mean_over_workers(total: float, number: int) -> float:
    sums = torch.tensor([total, float(number)], dtype=torch.float64)
    if torch.distributed.is_initialized():
        sums = sums.to(torch.float32).to(get_device()) if get_device().type == "cuda" else sums
        torch.distributed.all_reduce(sums)
    return float(sums[0] / sums[1].clamp(min=1))


@dataclass
class _State:
    """What a checkpoint holds: weights, optimizer, schedule, history, and the best epoch as a model folder."""

    network: Any
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler

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
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
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
                self.network.save(folder / "new")
                self._keep_best(folder / "new")
            (folder / BEST).mkdir()
            for path in self._best.iterdir():
                (folder / BEST / path.name).write_bytes(path.read_bytes())
            state = {name: getattr(self, name).state_dict() for name in ("network", "optimizer", "schedule")}
            torch.save(state, folder / STATE)
            (folder / PROGRESS).write_text(json.dumps(history))
            progress.write_json(PROGRESS, last | {"epochs": epochs, "seconds": seconds})
            ray.train.report(last, checkpoint=Checkpoint.from_directory(made))
