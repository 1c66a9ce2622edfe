"""Exactly once, proven by violence: SIGKILL at every phase of a tile, to every kind of process, many times.

    python -m benchmarks.chaos [--kills N] [--targets actor,worker,raylet,driver,node] [--seed S] [--json FILE]

A run is scored undisturbed; then again and again while an actor, another worker, the raylet, the driver or a whole node
is killed before a part is written, half-way, between its commit and its receipt, or after. Nodes are those of a cluster
on this machine, whose head lives on: there the driver must finish by itself. Elsewhere, when a driver ends, the same
command is given again. In the end the bytes must be those of the undisturbed run.
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

from benchmarks._nodes import Nodes
from recsys.stage import _cluster
from recsys.stage.prepare import prepare
from recsys.stage.score import score
from recsys.stage.train import train
from tests.compose import SMALL_SHOP, job

ROOT = Path(__file__).parents[1]
PHASES = ("before", "during", "between", "after")
TARGETS = ("actor", "worker", "raylet", "driver", "node")
FAULTS = (
    "rows_lost",
    "rows_repeated",
    "tiles_rescored",
    "files_unreadable",
    "files_temporary",
    "files_different",
    "drivers_stuck",
    "commands_again",  # after the loss of a node
)
Strike = tuple[str, str]  # phase, target
KILLS_PER_RUN = 10
NUM_NODES = 2  # beside the head
TOKENS = "_tokens"
PATIENCE_S = 240  # after the last strike
TILES = ("tiles.queries=6", "tiles.items=8", "tiles.labelled=200", "keep=every", "model=bm25")


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


def strikes(targets: list[str], kills: int, seed: int) -> list[Strike]:
    """`kills` strikes: every phase of every target equally often, in random order."""
    cells: list[Strike] = list(itertools.product(PHASES, targets))
    chance = random.Random(seed)
    chance.shuffle(cells)
    planned = list(itertools.islice(itertools.cycle(cells), kills))
    chance.shuffle(planned)
    return planned


def environment(root: Path) -> dict[str, str]:
    """Of every process that may strike; the folder of tokens is there from now on."""
    (root / TOKENS).mkdir(exist_ok=True)
    paths = os.pathsep.join([str(Path(__file__).with_name("_strike")), str(ROOT)])
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    chaotic = {"CHAOS_TOKENS": str(root / TOKENS), "PYTHONPATH": paths, "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
    return inherited | chaotic


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


class Dealer:
    """Lays strikes ready: all at once; or, on a cluster, one after the other, each when all nodes are back."""

    def __init__(self, tokens: Path, planned: list[Strike], nodes: Nodes | None) -> None:
        self.tokens, self.planned, self.nodes = tokens, planned, nodes
        self.num_dealt = 0
        self.num_started = nodes.num_started if nodes else 0

    def deal(self) -> None:
        while self._ready() and self.num_dealt < len(self.planned):
            phase, target = self.planned[self.num_dealt]
            (self.tokens / f"{phase}-{self.num_dealt:03d}-{target}").touch()
            self.num_dealt += 1

    def _ready(self) -> bool:
        if self.nodes is None:
            return True
        struck = lines(self.tokens / "strikes.log")
        lost = sum(line.endswith(" node") for line in struck)
        if not self.nodes.whole() or self.nodes.num_started != self.num_started + lost:
            return False
        (self.tokens / "missing").unlink(missing_ok=True)
        return self.num_dealt == len(struck)


def torment(root: Path, name: str, planned: list[Strike], nodes: Nodes | None = None) -> Counter[str]:
    """Scores one run under strikes until it is finished; what was counted on the way."""
    shutil.rmtree(root / TOKENS, ignore_errors=True)
    alone, tokens = environment(root), root / TOKENS
    take_over(root, name)
    dealer = Dealer(tokens, planned, nodes)
    counted: Counter[str] = Counter()
    tiles = root / name / "scores" / "tiles"
    while True:
        before = {p: p.stat().st_mtime_ns for p in tiles.glob("part-*")}
        driver = subprocess.Popen(
            command(root, name),
            cwd=ROOT,
            env=nodes.environment if nodes else alone,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=(tokens / "driver.log").open("ab"),
        )
        (tokens / "driver.pid").write_text(str(driver.pid))
        deadline, num_struck = time.monotonic() + PATIENCE_S, 0
        while driver.poll() is None and time.monotonic() < deadline:
            dealer.deal()
            time.sleep(0.1)
            if (now := len(lines(tokens / "strikes.log"))) > num_struck:
                deadline, num_struck = time.monotonic() + PATIENCE_S, now
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
    counted["commands_again"] = counted.pop("drivers") - 1
    struck = lines(tokens / "strikes.log")
    counted["kills"] = len(struck)
    counted.update(struck)
    commits = Counter(lines(tokens / "commits.log"))
    counted["tiles_rescored"] += sum(number - 1 for number in commits.values())
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
    found = digests(scores)
    counted["files_different"] = sum(expected.get(name) != found.get(name) for name in expected.keys() | found.keys())
    return counted


def rounds(root: Path, planned: list[Strike], nodes: Nodes | None) -> Counter[str]:
    """One run after the other until all that is planned was struck; what was counted in all of them."""
    expected = digests(root / "base" / "scores")
    waiting, total = list(planned), Counter[str]()
    while waiting:
        started = time.monotonic()
        name = f"{'nodes' if nodes else 'alone'}-{total['runs']}"
        counted = torment(root, name, waiting[:KILLS_PER_RUN], nodes)
        for phase, target in itertools.product(PHASES, TARGETS):
            for _ in range(counted[f"{phase} {target}"]):
                if (phase, target) in waiting:
                    waiting.remove((phase, target))
        counted += inspect(root, name, expected)
        shutil.rmtree(root / name)
        total += counted + Counter(runs=1)
        print(f"{name}: {time.monotonic() - started:.0f} s, {dict(counted)}", flush=True)
    return total


def main() -> None:
    """Prints what was counted; exit status 1 if anything was lost, repeated or changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="15 kills")
    arguments = parser.parse_args()
    targets = arguments.targets.split(",")
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"--targets {', '.join(sorted(unknown))}: unknown; choose from {','.join(TARGETS)}")
    planned = strikes(targets, 15 if arguments.quick else arguments.kills, arguments.seed)
    on_cluster = [strike for strike in planned if strike[1] == "node"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepared(root)
        _cluster.ray.shutdown()
        started = time.monotonic()
        total = rounds(root, [strike for strike in planned if strike[1] != "node"], None)
        total["commands_again"] = 0  # they are expected of a driver or its raylet, not of a node
        if on_cluster:
            with Nodes(NUM_NODES, environment(root)) as nodes:
                total += rounds(root, on_cluster, nodes)
        minutes = (time.monotonic() - started) / 60
    rows = [{"name": n, "value": total[n], "unit": "count"} for n in ("kills", *FAULTS)]
    rows += [{"name": f"kills: {n}", "value": v, "unit": "count"} for n, v in sorted(total.items()) if " " in n]
    rows += [{"name": "kills_per_minute", "value": round(total["kills"] / minutes, 2), "unit": "1/min"}]
    for row in rows:
        print(f"{row['name']:<24} {row['value']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(any(total[n] for n in FAULTS))


if __name__ == "__main__":
    main()
