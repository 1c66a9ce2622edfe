"""What every job has: a run in a store, a seed, resources; and how a stage is planned, skipped or done."""

import logging
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import metadata
from typing import Any, ClassVar, TypeVar

from recsys import __version__
from recsys.store import Folder, Plan, Run, describe, located

log = logging.getLogger("recsys")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # ours are enough
J = TypeVar("J", bound="Job")


@dataclass
class Store:
    """Where runs live."""

    root: str  # a directory, or any URI that pyarrow or fsspec opens


@dataclass
class Resources:
    """What a job may use. Never part of a fingerprint: results do not depend on it beyond rounding."""

    device: str  # auto, cpu or cuda
    actors: int | None  # scoring actors; null = one per GPU, else as many as the CPUs hold (of a cluster: less two)
    cpus_per_actor: float  # CPUs Ray sets aside for each actor; 0 beside a GPU
    train_workers: int  # data-parallel training workers

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"resources.device={self.device!r} is unknown; use auto, cpu or cuda")
        if self.actors is not None and self.actors < 1:
            raise ValueError(f"resources.actors={self.actors} leaves nobody to score; use at least 1, or null")
        if not 0 <= self.cpus_per_actor < math.inf:
            raise ValueError(f"resources.cpus_per_actor={self.cpus_per_actor} must be a number of at least 0")
        if self.train_workers < 1:
            raise ValueError(f"resources.train_workers={self.train_workers} leaves nobody to train; use at least 1")


@dataclass
class Job:
    """One verb on one run. `stage` names the folder it writes, `semantic` the fields that change its result."""

    stage: ClassVar[str]
    version: ClassVar[int] = 1  # raised when the same configuration gives other bytes
    semantic: ClassVar[tuple[str, ...]] = ()

    name: str  # of the run
    store: Store
    reuse: str | None  # a run of the same store whose matching stages are taken over
    seed: int
    resources: Resources

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} must not be negative")
        self.run  # noqa: B018  a run name that cannot name a folder is refused here

    @property
    def run(self) -> Run:
        """The run's folders, located: what workers elsewhere are given."""
        return Run(located(self.store.root), self.name, self.reuse)

    def plan(self, inputs: dict[str, str]) -> Plan:
        """This stage's plan, given the fingerprints of what it reads."""
        config = {name: describe(getattr(self, name)) for name in self.semantic}
        return Plan(stage=self.stage, version=self.version, config=config, inputs=inputs)

    def part(self, kind: type[J]) -> J:
        """The job of one verb, cut out of a larger one that has all its fields."""
        return kind(**{f.name: getattr(self, f.name) for f in fields(kind)})

    def inputs(self, *stages: str) -> dict[str, str]:
        """Fingerprints of finished stages of this run; ValueError with the remedy if one is missing."""
        return {stage: self.run.manifest(stage)["fingerprint"] for stage in stages}


def perform(job: Job, plan: Plan, work: Callable[[Folder], dict[str, Any]]) -> dict[str, Any]:
    """The stage's manifest: at once if this very work is done, else after `work(folder)` gave its result.

    What the result calls `timing` goes to `_RUN.json`, and not into the manifest.
    """
    if (manifest := job.run.done(plan)) is not None:
        log.info("%-11s done before (%s)", plan.stage, plan.fingerprint[:8])
        return manifest
    if submitted() and relative(job.store.root):
        raise ValueError(
            f"store.root={job.store.root} is relative, but this is a submitted job, whose folder is removed after it; "
            "give a path that every node mounts, such as store.root=/mnt/shared/runs, or an object store such as "
            "store.root=s3://bucket/runs"
        )
    started = time.time()
    folder = job.run.begin(plan)
    result = work(folder)
    seconds = time.time() - started
    timing = {"started": started, "seconds": seconds, "cpus": os.cpu_count(), "python": platform.python_version()}
    timing |= result.pop("timing", {})
    manifest = job.run.close(folder, plan, result | {"versions": versions()}, timing)
    log.info("%-11s finished in %.1f s (%s)", plan.stage, seconds, plan.fingerprint[:8])
    return manifest


def submitted() -> bool:
    """Whether this process is the driver of a submitted Ray job."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def relative(root: str) -> bool:
    """Whether the place of the runs depends on the folder a process stands in."""
    return "://" not in root and not os.path.isabs(os.path.expanduser(root))


def versions() -> dict[str, str]:
    """Versions that may change bytes."""
    libraries = {name: metadata.version(name) for name in ("ray", "torch", "transformers", "pyarrow")}
    return {"recsys": __version__} | libraries
