"""Exactly once, proven by violence: SIGKILL at every phase of a tile, to every kind of process, many times.

    python -m benchmarks.chaos [--kills N] [--seed S] [--json FILE]

A run is scored undisturbed; then again and again while an actor, another worker, the raylet or
the driver is killed before a part is written, half-way, between its commit and its receipt, or after.
Whenever a driver ends, the same command is given again. In the end the bytes must be those of the undisturbed run.
"""

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.stage.prepare import prepare
from recsys.stage.score import score
from recsys.stage.train import train
from tests.compose import SMALL_SHOP, job

ROOT = Path(__file__).parents[1]
PHASES = ("before", "during", "between", "after")
TARGETS = ("actor", "worker", "raylet", "driver")
KILLS_PER_RUN = 10
PATIENCE_S = 240
TILES = ("tiles.queries=8", "tiles.items=16", "tiles.labelled=200", "keep=every", "model=bm25")


def command(root: Path, name: str) -> list[str]:
    run = (f"store.root={root}", f"name={name}")
    return [sys.executable, "-m", "ray_jobs.score", *run, *TILES, "resources.actors=2"]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "_RUN.json"
    }


def prepared(root: Path) -> dict[str, str]:
    """A corpus and a model to start from, and what an undisturbed run leaves."""
    base = (f"store.root={root}", "name=base")
    prepare(job("prepare", *base, *SMALL_SHOP))
    train(job("train", *base, "model=bm25"))
    score(job("score", *base, *TILES, "resources.actors=1"))
    return digests(root / "base" / "scores")


def take_over(root: Path, name: str) -> None:
    """A new run that points to the corpus and the model of the first."""
    for stage in ("corpus", "model"):
        folder = root / name / stage
        folder.mkdir(parents=True)
        manifest = json.loads((root / "base" / stage / "_MANIFEST.json").read_text())
        (folder / "_REUSED.json").write_text(json.dumps({"run": "base", "fingerprint": manifest["fingerprint"]}))


def strikes(targets: list[str], kills: int, seed: int) -> list[tuple[str, str]]:
    """(phase, target) of `kills` strikes: every pair equally often, in random order."""
    cells = list(itertools.product(PHASES, targets))
    random.Random(seed).shuffle(cells)
    return list(itertools.islice(itertools.cycle(cells), kills))


def torment(root: Path, name: str, planned: list[tuple[str, str]]) -> Counter[str]:
    """Scores one run under strikes until it is finished; what was counted on the way."""
    tokens = Path(tempfile.mkdtemp(prefix="chaos-"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    path = os.pathsep.join([str(Path(__file__).with_name("_strike")), str(ROOT)])
    environment |= {"CHAOS_TOKENS": str(tokens), "PYTHONPATH": path, "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
    take_over(root, name)
    for number, (phase, target) in enumerate(planned):
        (tokens / f"{phase}-{number:03d}-{target}").touch()
    counted: Counter[str] = Counter()
    tiles = root / name / "scores" / "tiles"
    while True:
        before = {p: p.stat().st_mtime_ns for p in tiles.glob("part-*")}
        driver = subprocess.Popen(
            command(root, name),
            cwd=ROOT,
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=(tokens / "driver.log").open("ab"),
        )
        (tokens / "driver.pid").write_text(str(driver.pid))
        deadline = time.monotonic() + PATIENCE_S
        while driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        if driver.poll() is None:
            driver.kill()
            driver.wait()
            counted["drivers_stuck"] += 1
        counted["drivers"] += 1
        counted["tiles_rescored"] += sum(p.stat().st_mtime_ns != then for p, then in before.items())
        if driver.returncode == 0:
            break
        time.sleep(2)  # what the dead driver's workers still do, they do now
        if counted["drivers"] > len(planned) + 5:
            raise RuntimeError(f"{name} does not finish: {(tokens / 'driver.log').read_text()[-3000:]}")
    struck = [p.name for p in tokens.glob("struck-*")]
    counted["kills"] = len(struck)
    for token in struck:
        _, phase, _, target = token.split("-")
        counted[f"{target} {phase}"] += 1
    commits = Counter((tokens / "commits.log").read_text().split()) if (tokens / "commits.log").exists() else Counter()
    counted["tiles_rescored"] += sum(number - 1 for number in commits.values())
    shutil.rmtree(tokens, ignore_errors=True)
    return counted


def inspect(root: Path, name: str, expected: dict[str, str]) -> Counter[str]:
    """What a finished run lost, repeated or left behind."""
    scores, counted = root / name / "scores", Counter[str]()
    tables = []
    for part in sorted((scores / "tiles").glob("part-*")):
        try:
            tables.append(pq.read_table(part))
        except (pa.ArrowException, OSError):
            counted["files_unreadable"] += 1
    rows = pa.concat_tables(tables)
    unique = rows.group_by(["query_id", "item_id"]).aggregate([]).num_rows
    asked = json.loads((scores / "_MANIFEST.json").read_text())["rows"]["pairs"]
    counted["rows_repeated"] = rows.num_rows - unique
    counted["rows_lost"] = asked - unique
    counted["files_temporary"] = len(list((root / name).rglob(".tmp-*")))
    counted["files_different"] = sum(expected.get(k) != v for k, v in digests(scores).items())
    return counted


def main() -> None:
    """Prints what was counted; exit status 1 if anything was lost, repeated or changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    wanted = 12 if arguments.quick else arguments.kills
    targets = arguments.targets.split(",")
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        expected = prepared(root)
        run = 0
        while total["kills"] < wanted:
            name, kills = f"run-{run}", min(KILLS_PER_RUN, wanted - total["kills"])
            started = time.monotonic()
            counted = torment(root, name, strikes(targets, kills, arguments.seed * 1000 + run))
            counted += inspect(root, name, expected)
            shutil.rmtree(root / name)
            total += counted
            print(f"{name}: {time.monotonic() - started:.0f} s, {dict(counted)}", flush=True)
            run += 1
    names = (
        "kills",
        "rows_lost",
        "rows_repeated",
        "tiles_rescored",
        "files_unreadable",
        "files_temporary",
        "files_different",
    )
    rows = [{"name": n, "value": total[n], "unit": "count"} for n in names]
    rows += [{"name": f"kills: {n}", "value": v, "unit": "count"} for n, v in sorted(total.items()) if " " in n]
    for row in rows:
        print(f"{row['name']:<24} {row['value']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(any(total[n] for n in names[1:]))


if __name__ == "__main__":
    main()
