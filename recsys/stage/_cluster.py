"""Start or join Ray, and make sure that every node of a cluster sees the store."""

import logging
import os
import uuid
from pathlib import Path

if (Path.home() / ".ray" / "auth_token").exists():
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # who joins must say so before ray is imported
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray._private.utils import read_ray_address
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from recsys.model import Model
from recsys.stage._job import Job, relative, submitted
from recsys.store import Folder, open_filesystem

log = logging.getLogger("recsys")
SPARE_CPUS = 2  # CPUs beside the scoring actors, so that Ray's own tasks always find a place; logical if Ray is ours


def connect(job: Job) -> None:
    """Joins the cluster this process belongs to, else starts a local one. Refuses a store some node cannot see."""
    if not ray.is_initialized():
        if _started_before():
            ray.init(address="auto", logging_level=logging.WARNING, log_to_driver=False)
        else:
            os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # Ray Data makes its core warn of every actor pool
            cpus = (os.cpu_count() or 1) + SPARE_CPUS
            ray.init(
                address="local",
                num_cpus=cpus,
                logging_level=logging.WARNING,
                include_dashboard=False,
                log_to_driver=False,
                _system_config={"num_workers_soft_limit": 0},  # an idle worker holds 100 MB, and few are asked for
            )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.enable_rich_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it warns of progress bars that are off on purpose
    check_store(job.store.root)


def _started_before() -> bool:
    """Whether somebody runs a cluster here (`ray start`, or the job server). Another driver's own Ray is not one: it
    ends with that driver."""
    return "RAY_ADDRESS" in os.environ or read_ray_address() is not None


def check_store(root: str) -> None:
    """ValueError if results under `root` would lie where not all nodes, or nobody after the job, can read them."""
    filesystem, path = open_filesystem(root)
    if not Folder(filesystem, path).is_local:
        return
    nodes = [n["NodeID"] for n in ray.nodes() if n["Alive"]]
    if relative(root) and len(nodes) > 1:
        raise ValueError(
            f"store.root={root} is relative, but this is a cluster of {len(nodes)} nodes; give a path that every node "
            f"mounts, such as store.root=/mnt/shared/runs, or an object store such as store.root=s3://bucket/runs"
        )
    if len(nodes) > 1:
        token = f"_seen-{uuid.uuid4().hex}"
        folder = Folder(filesystem, path)
        folder.write(token, b"")
        try:
            seen = ray.get([_sees.options(scheduling_strategy=on_node(n)).remote(path, token) for n in nodes])
        finally:
            folder.remove(token)
        if not all(seen):
            raise ValueError(
                f"store.root={root} is not the same folder on every node: {seen.count(False)} of {len(nodes)} nodes "
                f"cannot see it; give a path that every node mounts, or an object store such as s3://bucket/runs"
            )


def on_node(node: str) -> NodeAffinitySchedulingStrategy:
    """There, or nowhere."""
    return NodeAffinitySchedulingStrategy(node, soft=False)


@ray.remote(num_cpus=0)
def _sees(path: str, token: str) -> bool:
    return os.path.exists(os.path.join(path, token))


def num_actors(job: Job, model: Model) -> int:
    """Scoring actors: as configured, else one per GPU, else as many as the CPUs have room for."""
    if job.resources.actors is not None:
        return job.resources.actors
    if uses_gpu(job, model):
        return max(1, int(ray.cluster_resources().get("GPU", 0)))
    return room(_cpus(), job.resources.cpus_per_actor)


def room(cpus_N: list[float], cpus_per_actor: float) -> int:
    """How many actors of so many CPUs, at least one each, fit on N nodes beside Ray's own tasks; at least 1."""
    size = max(1.0, cpus_per_actor)
    return max(1, min(int((sum(cpus_N) - SPARE_CPUS) // size), sum(int(cpus // size) for cpus in cpus_N)))


def _cpus() -> list[float]:
    """CPUs of each node that is up, as Ray counts them."""
    return [n["Resources"].get("CPU", 0.0) for n in ray.nodes() if n["Alive"]]


def num_workers(job: Job) -> int:
    """Workers that need no device: as many as `resources.actors`, else one per CPU but those for Ray."""
    return job.resources.actors or room(_cpus(), 1.0)


def check_actor(job: Job) -> None:
    """ValueError if no node is large enough for one scoring actor, nor can be: it would wait for ever."""
    largest = max(_cpus(), default=0.0)
    grows = "RAY_ADDRESS" in os.environ or submitted()  # a cluster may start larger nodes
    if job.resources.cpus_per_actor > largest:
        if not grows:
            raise ValueError(
                f"resources.cpus_per_actor={job.resources.cpus_per_actor:g}, but there are {largest:g}; lower it"
            )
        log.info("score       no node has %g CPUs yet: waiting for one", job.resources.cpus_per_actor)


def uses_gpu(job: Job, model: Model) -> bool:
    """Whether the model works on GPUs. ValueError if GPUs are asked for and there are none."""
    num_gpus = ray.cluster_resources().get("GPU", 0)
    if job.resources.device == "cuda" and not num_gpus:
        raise ValueError("resources.device=cuda, but the cluster has no GPU; use resources.device=auto")
    return model.accelerated and job.resources.device != "cpu" and num_gpus > 0
