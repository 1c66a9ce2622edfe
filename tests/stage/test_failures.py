"""What keeps a part from being written ends in one line; once it is mended, the same command leaves the same bytes."""

import os
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import chaos
from recsys import config
from recsys.stage._attempts import MAX_KILLS
from recsys.stage._begun import PLAN
from recsys.stage.score import score
from recsys.store import Folder
from tests.compose import job


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Where the run that nothing happens to lies."""
    root = tmp_path_factory.mktemp("runs")
    chaos.prepared(root)
    return root


@pytest.fixture
def disk(root) -> Iterator[Path]:
    """scores/ of a run, on a disk of 256 kB."""
    chaos.take_over(root, "small")
    folder = root / "small" / "scores"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def scoring(root: Path, name: str, *overrides: str):
    return job("score", f"store.root={root}", f"name={name}", *chaos.TILES, "resources.actors=2", *overrides)


def failure(root: Path, name: str) -> str:
    """The line that scoring ends in, with exit status 2."""
    with pytest.raises(config.MENDABLE) as error:
        score(scoring(root, name))
    line = config.one_line(error.value)
    assert "\n" not in line
    assert len(line) < 400
    return line


def temporary(folder: Path) -> list[Path]:
    return list(folder.rglob(".tmp-*"))


def same_bytes(root: Path, name: str) -> bool:
    return chaos.digests(root / name / "scores") == chaos.digests(root / "base" / "scores")


@pytest.mark.timeout(300)
@pytest.mark.long
def test_a_disk_that_is_full_then_read_only_then_mended(root, disk):
    full = failure(root, "small")
    assert full.startswith("scoring stopped: [Errno 28] No space left on device: ")
    assert f"{disk}/tiles/part-" in full
    assert full.endswith("the same command goes on")
    committed = {p: p.stat().st_mtime_ns for p in (disk / "tiles").glob("part-*")}
    assert committed
    assert not temporary(disk)
    remount(disk, "ro")
    assert failure(root, "small").startswith(f"[Errno 30] Read-only file system: '{disk}/")
    remount(disk, "rw,size=64m")
    score(scoring(root, "small"))
    assert same_bytes(root, "small")
    assert {p: p.stat().st_mtime_ns for p in committed} == committed, "what was committed is kept"


@pytest.mark.timeout(300)
def test_parts_of_an_unfinished_run_that_are_truncated_or_altered(root):
    chaos.take_over(root, "spoilt")
    score(scoring(root, "spoilt"))
    scores = root / "spoilt" / "scores"
    (scores / "_STARTED.json").write_bytes((scores / "_MANIFEST.json").read_bytes())
    (scores / "_MANIFEST.json").unlink()
    before = {p: p.stat().st_mtime_ns for p in scores.glob("*/part-*")}
    truncated, altered, labelled = (
        scores / "tiles" / "part-000000003.parquet",
        scores / "tiles" / "part-000000011.parquet",
        scores / "labelled" / "part-000000001.parquet",
    )
    truncated.write_bytes(truncated.read_bytes()[:-20])
    for part in (altered, labelled):
        data = bytearray(part.read_bytes())
        data[60] ^= 0xFF  # in the rows; the footer stays readable
        part.write_bytes(data)
    score(scoring(root, "spoilt", "verify=true"))
    assert same_bytes(root, "spoilt")
    assert {p for p, time in before.items() if p.stat().st_mtime_ns != time} == {truncated, altered, labelled}


@pytest.mark.timeout(300)
def test_a_finished_run_is_compared_with_its_manifest(root, monkeypatch):
    """Lost, foreign and damaged files are found and mended, although the command is killed over it once; a run that
    takes the scores over is told to leave that to their owner."""
    chaos.take_over(root, "owner")
    score(scoring(root, "owner"))
    chaos.take_over(root, "heir")
    heir = scoring(root, "heir", "reuse=owner", "verify=true")
    score(heir)
    scores = root / "owner" / "scores"
    (scores / "tiles" / "part-000000003.parquet").unlink()
    shutil.copy(scores / "tiles" / "part-000000004.parquet", scores / "tiles" / "part-000009999.parquet")
    (scores / "labelled" / "part-000000000.parquet").write_bytes(b"PAR1")
    (scores / "ranks.parquet").write_bytes((scores / "top.parquet").read_bytes())
    before = chaos.digests(scores)
    with pytest.raises(ValueError, match=r"run 'owner', whose scores 'heir' takes over, has 4 damaged.*name=owner"):
        score(heir)
    assert chaos.digests(scores) == before

    def killed(self, name):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        remove = Folder.remove
        patched.setattr(Folder, "remove", lambda self, name: (remove if name.startswith("_") else killed)(self, name))
        with pytest.raises(KeyboardInterrupt):
            score(scoring(root, "owner", "verify=true"))
    score(scoring(root, "owner", "verify=true"))
    assert same_bytes(root, "owner")
    score(heir)
    (scores / PLAN).unlink()
    (scores / "ranks.parquet").write_bytes(b"PAR1")
    before = chaos.digests(scores)
    with pytest.raises(ValueError, match=r"2 damaged .* such as ranks\.parquet, and without its own plan"):
        score(scoring(root, "owner", "verify=true"))
    assert chaos.digests(scores) == before


@pytest.mark.timeout(400)
@pytest.mark.long
def test_a_tile_whose_process_is_always_killed_is_named_and_the_rest_is_committed(root, tmp_path):
    """SIGKILL, as the kernel ends who asks for too much memory, whenever one tile is about to be committed."""
    deadly = """
        import os, signal
        replace = os.replace
        def chaotic_replace(src, dst, **more):
            if str(dst).endswith("tiles/part-000000007.parquet"):
                os.kill(os.getpid(), signal.SIGKILL)
            replace(src, dst, **more)
        os.replace = chaotic_replace
    """
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(deadly))
    chaos.take_over(root, "large")
    environment = chaos.environment(root) | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(chaos.ROOT)])}
    done = subprocess.run(
        chaos.command(root, "large"), cwd=chaos.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr[-3000:]
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: tile 7 (query rows ")
    assert f"{MAX_KILLS} processes were killed over it, most likely for lack of memory; lower resources.actors" in line
    assert f"1 of {line.partition('1 of ')[2].split()[0]} tiles failed" in line
    names = {p.name for p in (root / "base" / "scores" / "tiles").glob("part-*")}
    assert {p.name for p in (root / "large" / "scores" / "tiles").glob("part-*")} == names - {"part-000000007.parquet"}
    score(scoring(root, "large"))
    assert same_bytes(root, "large")
    assert not temporary(root / "large")
