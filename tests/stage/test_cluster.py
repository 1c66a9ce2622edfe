"""A real cluster on this machine: jobs are submitted to it, and stores that some node cannot see are refused."""

import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from recsys.stage._cluster import check_store, room

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")


def clean_environment(folder: Path) -> dict[str, str]:
    """Without what the Ray of this test session left in the environment."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    paths = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": paths, "RAY_AUTH_MODE": "token", "RAY_TMPDIR": str(folder)}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """`ray start --head` and a second node, as an administrator would start them; the address of its dashboard."""
    folder = Path("/tmp") / f"r{uuid.uuid4().hex[:6]}"  # short: Unix sockets have short names
    environment = clean_environment(folder)
    ports = [
        "--port=26379",
        "--dashboard-port=28265",
        "--ray-client-server-port=20001",
        "--dashboard-agent-listen-port=28365",
    ]
    head = [str(RAY), "start", "--head", "--num-cpus=4", "--disable-usage-stats", f"--temp-dir={folder}", *ports]
    subprocess.run(head, env=environment, check=True, capture_output=True, timeout=120)
    yield environment
    subprocess.run(["pkill", "-9", "-f", f"{folder}/session"], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def submit(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(RAY),
        "job",
        "submit",
        "--address=http://127.0.0.1:28265",
        "--working-dir=.",
        "--",
        "python",
        "-m",
        "ray_jobs.pipeline",
        "model=random",
        "source.num_items=60",
        "source.num_search_queries=20",
        "source.num_users=5",
        "source.num_judged_queries=25",
        "source.judgments_per_query=8",
        "source.num_sessions=40",
        "report=[reliability]",
        *arguments,
    ]
    deadline = time.monotonic() + 90
    while True:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
        )
        if "No available agent" not in done.stdout + done.stderr or time.monotonic() > deadline:
            return done
        time.sleep(3)  # the head answers before its agent is up


def upload_bytes() -> int:
    """What `--working-dir .` uploads: everything git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sum((ROOT / name).stat().st_size for name in listed.stdout.splitlines() if (ROOT / name).is_file())


def test_the_upload_is_small():
    assert upload_bytes() < 10_000_000  # Ray takes 100 MiB


@pytest.mark.long
@pytest.mark.timeout(600)
def test_jobs_succeed_on_one_node_and_refuse_a_store_the_other_cannot_see(cluster, tmp_path):
    done = submit(cluster, f"store.root={tmp_path}/runs", "name=submitted")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "runs" / "submitted" / "report" / "index.html").exists()
    refused = submit(cluster, "name=lost")
    assert refused.returncode != 0
    assert "store.root=runs is relative, but this is a submitted job" in refused.stdout + refused.stderr

    private = tmp_path / "private"
    private.mkdir()
    join = f"mount -t tmpfs none {private} && {RAY} start --address=127.0.0.1:26379 --num-cpus=2 --disable-usage-stats"
    joined = subprocess.run(
        ["unshare", "-m", "sh", "-c", join], env=cluster, capture_output=True, text=True, check=False
    )
    if joined.returncode:
        pytest.skip(f"a node with a folder of its own needs the right to mount: {joined.stderr[-200:]}")
    refused = submit(cluster, f"store.root={private}/runs", "name=hidden")
    assert refused.returncode != 0
    assert (
        f"store.root={private}/runs is not the same folder on every node: 1 of 2 nodes"
        in refused.stdout + refused.stderr
    )
    assert not list((private / "runs").iterdir()), "it was refused before anything was written"


def test_a_relative_store_is_fine_on_one_node(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_store("runs")
    check_store("memory://anywhere")


@pytest.mark.parametrize(
    ("cpus", "cpus_per_actor", "actors"),
    [
        ([18.0], 1.0, 16),
        ([18.0], 4.0, 4),
        ([17.0], 4.0, 3),
        ([4.0], 0.5, 2),
        ([2.0], 1.0, 1),
        ([0.0], 1.0, 1),
        ([16.0] * 10, 10.0, 10),
        ([4.0] * 8, 2.5, 8),
        ([4.0] * 8, 1.0, 30),
    ],
)
def test_actors_are_as_many_as_have_room(cpus, cpus_per_actor, actors):
    assert room(cpus, cpus_per_actor) == actors
