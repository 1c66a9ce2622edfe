"""corpus/ -> model/: fit a model on the train queries. Networks are trained with Ray Train; the best epoch is kept.

Shapes: P labelled pairs, B pairs of a batch, T outputs.
"""

import json
import logging
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar

import numpy as np
import ray.train
import torch
from ray.train import Checkpoint, CheckpointConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device, prepare_model

from recsys import seed as seeds
from recsys.model import Model, Supervised, Unsupervised, use_threads
from recsys.objective import Objective
from recsys.stage._cluster import connect, uses_gpu
from recsys.stage._corpus import Corpus
from recsys.stage._job import Job, perform
from recsys.stage._pairs import LabelledPairs, labelled_pairs
from recsys.stage._progress import duration
from recsys.store import Folder, Plan, Run, describe
from recsys.target import Target

log = logging.getLogger("recsys")
WORK, PROGRESS, STATE, BEST = "_train", "progress.json", "state.pt", "best"


@dataclass
class Training:
    """How long and how fast a network learns (AdamW, linear warm-up and decay)."""

    epochs: int  # at most
    patience: int  # epochs without a better validation loss before it stops
    batch_size: int  # pairs per step, over all workers
    learning_rate: float
    warmup_fraction: float  # of all steps
    weight_decay: float
    threads: int  # CPU threads per worker

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name}={getattr(self, name)} must be at least 1")
        if not self.learning_rate > 0:
            raise ValueError(f"training.learning_rate={self.learning_rate} must be above 0")
        if not 0 <= self.warmup_fraction <= 1:
            raise ValueError(f"training.warmup_fraction={self.warmup_fraction} must lie in [0, 1]")


@dataclass
class TrainJob(Job):
    """Fits a model: texts alone for the unsupervised, labelled train pairs for the others."""

    stage: ClassVar[str] = "model"
    semantic: ClassVar[tuple[str, ...]] = ("model", "objective", "training", "seed")

    model: Model
    objective: Objective
    training: Training
    target: dict[str, Target]

    def plan(self, inputs: dict[str, str]) -> Plan:
        if isinstance(self.model, Supervised):
            return super().plan(inputs)
        config = {"model": describe(self.model), "seed": self.seed}  # nothing else touches it
        return Plan(stage=self.stage, version=self.version, config=config, inputs=inputs)


def train(job: TrainJob) -> dict[str, Any]:
    """Fits the run's model; a killed training resumes at its last epoch."""
    job.model.check()
    return perform(job, job.plan(job.inputs("corpus")), lambda folder: _train(job, folder))


def _train(job: TrainJob, folder: Folder) -> dict[str, Any]:
    corpus = Corpus(job.run.folder("corpus"), job.run.manifest("corpus"))
    with tempfile.TemporaryDirectory() as made:
        if isinstance(job.model, Supervised):
            result = _train_supervised(job, corpus, folder, Path(made))
        else:
            assert isinstance(job.model, Unsupervised)
            queries, items = corpus.table("queries", ["query_id", "text"]), corpus.table("items", ["item_id", "text"])
            job.model.fit(queries, items, seeds.seed(job.seed, "model"), Path(made))
            result = {"rows": {"queries": queries.num_rows, "items": items.num_rows}}
        folder.take(Path(made))
    folder.join(WORK).delete()
    names = [n for n in folder.names() if not n.startswith("_")]
    return result | {"learned": job.model.learns, "parts": {"": [{"name": n} for n in names]}}


def _train_supervised(job: TrainJob, corpus: Corpus, folder: Folder, made: Path) -> dict[str, Any]:
    train_pairs = labelled_pairs(corpus, job.target, "train")
    if len(train_pairs) == 0:
        raise ValueError(
            "no train query has a label, so there is nothing to learn from; raise split.train or use model=bm25"
        )
    connect(job)
    work = folder.join(WORK)
    gpu = uses_gpu(job)
    config = {"job": job, "outputs": list(train_pairs.outputs), "progress": work, "run": job.run}
    trainer = TorchTrainer(
        _worker,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=job.resources.train_workers, use_gpu=gpu),
        run_config=RunConfig(
            name="fit",
            storage_path=work.path,
            storage_filesystem=None if work.is_local else work.filesystem,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    )
    with _Tail(work):
        result = trainer.fit()
    assert result.checkpoint is not None
    with result.checkpoint.as_directory() as checkpoint:
        for path in (Path(checkpoint) / BEST).iterdir():
            (made / path.name).write_bytes(path.read_bytes())
        history = json.loads((Path(checkpoint) / PROGRESS).read_text())
    return {
        "rows": {"train_pairs": len(train_pairs)},
        "outputs": list(train_pairs.outputs),
        "history": history,
        "device": "cuda" if gpu else "cpu",
    }


def _worker(config: dict[str, Any]) -> None:
    """One data-parallel worker: every worker draws the same global batches and takes its share of each."""
    job: TrainJob = config["job"]
    run: Run = config["run"]
    training, outputs = job.training, tuple(config["outputs"])
    use_threads(training.threads)
    corpus = Corpus(run.folder("corpus"), run.manifest("corpus"))
    queries, items = corpus.table("queries", ["query_id", "text"]), corpus.table("items", ["item_id", "text"])
    pairs = labelled_pairs(corpus, job.target, "train")
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
        if _stalled(history, training.patience):
            break
        started = time.monotonic()
        torch.manual_seed(seeds.seed(job.seed, "model", f"epoch-{epoch}"))
        order_P = np.random.default_rng(seeds.seed(job.seed, "model", f"order-{epoch}")).permutation(len(pairs))
        train_loss = _epoch(model, network, pairs, order_P, share, job, optimizer, schedule)
        loss = _validate(network, held_out, share, job) if len(held_out) else train_loss
        history.append({"epoch": epoch + 1, "train_loss": round(train_loss, 6), "validation_loss": round(loss, 6)})
        state.report(history, config["progress"], seconds=time.monotonic() - started, epochs=training.epochs)


def _stalled(history: list[dict[str, float]], patience: int) -> bool:
    losses = [h["validation_loss"] for h in history]
    return len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])


def _epoch(
    model: torch.nn.Module,
    network: Any,
    pairs: LabelledPairs,
    order_P: np.ndarray,
    share: slice,
    job: TrainJob,
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


def _validate(network: Any, pairs: LabelledPairs, share: slice, job: TrainJob) -> float:
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


def _loss(
    model: torch.nn.Module, network: Any, pairs: LabelledPairs, chosen: np.ndarray, job: TrainJob
) -> torch.Tensor:
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


class _Tail:
    """Tells each epoch as it ends."""

    def __init__(self, folder: Folder) -> None:
        self.folder, self.told = folder, 0
        self.stop = Event()
        self.thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self._look()

    def _watch(self) -> None:
        while not self.stop.wait(1.0):
            self._look()

    def _look(self) -> None:
        if not self.folder.exists(PROGRESS):
            return
        now = self.folder.read_json(PROGRESS)
        if now["epoch"] != self.told:
            self.told = now["epoch"]
            left = duration(now["seconds"] * (now["epochs"] - now["epoch"]))
            log.info(
                "train       epoch %d / at most %d, loss %.4f, validation %.4f, %s per epoch, at most %s left",
                now["epoch"],
                now["epochs"],
                now["train_loss"],
                now["validation_loss"],
                duration(now["seconds"]),
                left,
            )
