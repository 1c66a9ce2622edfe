"""SIGKILL of the driver while it scores; the same command finishes with the bytes of an uninterrupted run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys.stage.pipeline import pipeline
from tests.compose import QUICK_REPORT, SMALL_SHOP, job
from tests.stage.test_score import digests

ROOT = Path(__file__).parents[2]
TILES = ("tiles.queries=4", "tiles.items=16", "tiles.labelled=200", "keep=every")


def arguments(root: Path, name: str, *overrides: str) -> tuple[str, ...]:
    run = (f"store.root={root}", f"name={name}", "model=bm25", "report=[reliability]", QUICK_REPORT[1])
    return (*run, *SMALL_SHOP, *TILES, *overrides)


def start(root: Path, name: str, *overrides: str) -> subprocess.Popen[bytes]:
    """A scoring driver in its own process group, as a user would start it."""
    command = [sys.executable, "-m", "ray_jobs.pipeline", *arguments(root, name, *overrides)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)


@pytest.mark.timeout(400)
def test_a_killed_driver_resumes_to_the_same_bytes(tmp_path):
    pipeline(job("pipeline", *arguments(tmp_path, "whole")))

    tiles = tmp_path / "killed" / "scores" / "tiles"
    process = start(tmp_path, "killed", "resources.actors=1")
    deadline = time.monotonic() + 150
    while len(list(tiles.glob("part-*"))) < 10:
        assert process.poll() is None, "finished before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(5)  # what the dead driver's workers still do, they do now
    committed = {p: p.stat().st_mtime_ns for p in tiles.glob("part-*")}
    expected = digests(tmp_path / "whole" / "scores")
    assert 10 <= len(committed) < sum(n.startswith("tiles/part-") for n in expected)

    assert start(tmp_path, "killed", "resources.actors=2").wait(timeout=200) == 0
    assert {p: p.stat().st_mtime_ns for p in committed} == committed, "a committed tile was scored again"
    assert digests(tmp_path / "killed" / "scores") == expected
    assert (tmp_path / "killed" / "report" / "index.html").exists()
    assert not list((tmp_path / "killed").rglob(".tmp-*"))
