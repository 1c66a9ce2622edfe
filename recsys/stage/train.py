"""corpus/ -> model/: fit a model on the train queries. Networks are trained with Ray Train; the best epoch is kept.

Shapes: P labelled pairs, B pairs of a batch, T outputs.
"""

import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from recsys import seed as seeds
from recsys.model import Model, Supervised, Unsupervised
from recsys.objective import Objective
from recsys.stage._base import check_model, take_model, with_base
from recsys.stage._cluster import connect, uses_gpu
from recsys.stage._corpus import Corpus
from recsys.stage._job import Job, perform
from recsys.stage._pairs import labelled_pairs
from recsys.stage._progress import Watch, duration
from recsys.stage._teach import Teaching
from recsys.store import Folder, Plan, describe, stem
from recsys.target import Target
from recsys.teacher import Nobody, Teacher

log = logging.getLogger("recsys")
WORK = "_train"  # checkpoints and a teacher's lessons, while a training lasts


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
    """Fits a model: texts alone for the unsupervised; for the others labelled train pairs, and a teacher's lessons."""

    stage: ClassVar[str] = "model"
    semantic: ClassVar[tuple[str, ...]] = ("model", "objective", "training", "teacher", "target", "seed")

    model: Model
    objective: Objective
    training: Training
    teacher: Teacher
    target: dict[str, Target]
    base: str | None  # folder of a run whose model is taken over as it is

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.model, Supervised) and not isinstance(self.teacher, Nobody):
            raise ValueError(
                f"teacher={stem(self.teacher)} has nothing to teach model={stem(self.model)}, which learns from texts "
                "alone; use a model that learns from labels, or teacher=nobody"
            )

    def plan(self, inputs: dict[str, str]) -> Plan:
        named = self.semantic if isinstance(self.model, Supervised) else ("model", "seed")
        named = named if self.base is None else ("model",)
        config = {name: describe(getattr(self, name)) for name in named}
        for name in self.model.of_inference:
            del config["model"][name]
        if self.base is not None:
            check_model(self.base, config["model"])
            return with_base(Plan(stage=self.stage, version=self.version, config=config, inputs=inputs), self.base)
        inputs = inputs | self.model.identity() | self.teacher.identity(inputs["corpus"])
        return Plan(stage=self.stage, version=self.version, config=config, inputs=inputs)


def train(job: TrainJob) -> dict[str, Any]:
    """Fits the run's model; a killed training resumes at its last epoch."""
    job.model.check()
    manifest = perform(job, job.plan(job.inputs("corpus")), lambda folder: _train(job, folder))
    job.run.folder("model").join(WORK).delete()  # after the manifest: a kill between them costs no training
    return manifest


def _train(job: TrainJob, folder: Folder) -> dict[str, Any]:
    if job.base is not None:
        return take_model(job.base, folder)
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
    queries = corpus.table("queries", ["query_id", "locale", "split"])
    items = corpus.table("items", ["item_id", "locale"])
    lessons = job.teacher.lessons(queries, items, train_pairs.outputs, job.seed)
    connect(job)
    from ray.train import CheckpointConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from recsys.stage._fit import BEST, PROGRESS, work

    scratch = folder.join(WORK)
    taught = {}
    if lessons is not None:
        teaching = Teaching(job=job.part(Job), corpus=corpus, folder=scratch, threads=job.training.threads)
        teaching.write(lessons, train_pairs.outputs)
        taught = {"taught_pairs": len(lessons.pair_P2), "taught_hard": int(lessons.hard_P.sum())}
    gpu = uses_gpu(job, job.model)
    config = {
        "job": job,
        "run": job.run,
        "outputs": list(train_pairs.outputs),
        "progress": scratch,
        "standing": os.getcwd(),  # Ray Train moves its workers elsewhere, and model.pretrained may be relative
    }
    trainer = TorchTrainer(
        work,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=job.resources.train_workers, use_gpu=gpu),
        run_config=RunConfig(
            name="fit",
            storage_path=scratch.path,
            storage_filesystem=None if scratch.is_local else scratch.filesystem,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    )
    with Watch(_Epochs(scratch, PROGRESS).look):
        result = trainer.fit()
    assert result.checkpoint is not None
    with result.checkpoint.as_directory() as checkpoint:
        for path in (Path(checkpoint) / BEST).iterdir():
            (made / path.name).write_bytes(path.read_bytes())
        history = json.loads((Path(checkpoint) / PROGRESS).read_text())
    return {
        "rows": {"train_pairs": len(train_pairs)} | taught,
        "outputs": list(train_pairs.outputs),
        "history": history,
        "device": "cuda" if gpu else "cpu",
    }


class _Epochs:
    """Tells each epoch as it ends."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.folder, self.name, self.told = folder, name, 0

    def look(self) -> None:
        if not self.folder.exists(self.name):
            return
        now = self.folder.read_json(self.name)
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
