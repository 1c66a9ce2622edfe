"""A whole scoring job as its users start it, watched from outside: what its tiles took, and everyone's memory."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.model import Supervised
from recsys.stage._corpus import Corpus
from recsys.stage.prepare import prepare
from tests.compose import job

EVERY_S = 3.0  # between two looks at the memory: a look takes a tenth of a second of a core


def untrained(root: Path, name: str, queries: pa.Table, items: pa.Table, *model: str) -> None:
    """A run with a corpus of these texts and a model as it is before training."""
    tables = root / f"{name}-tables"
    tables.mkdir(parents=True)
    judgments = pa.table({"query_id": queries["query_id"][:1], "item_id": items["item_id"][:1], "label": [1.0]})
    for table, rows in (("items", items), ("queries", queries), ("judgments", judgments)):
        pq.write_table(rows, tables / f"{table}.parquet")
    base = (f"store.root={root}", f"name={name}")
    prepare(job("prepare", *base, "source=parquet", f"source.path={tables}", "source.queries=queries.parquet"))
    train = job("train", *base, *model)
    assert isinstance(train.model, Supervised)
    plan = train.plan(train.inputs("corpus"))
    folder = train.run.begin(plan)
    corpus = Corpus(train.run.folder("corpus"), train.run.manifest("corpus"))
    network = train.model.build(corpus.table("queries"), corpus.table("items"), ("relevance",), 0)
    network.save(Path(folder.path))
    train.run.close(folder, plan, {"learned": True, "outputs": ["relevance"]}, {})


def watched(root: Path, name: str, *overrides: str) -> dict[str, Any]:
    """Runs `ray_jobs.score` in processes of its own; its timings, `disk_bytes` of its parts, and `peak_bytes`: the
    highest sum of the proportional memory of the driver, of Ray and of all workers. RuntimeError with its last words
    if it fails."""
    command = [sys.executable, "-m", "ray_jobs.score", f"store.root={root}", f"name={name}", *overrides]
    log = root / f"{name}.log"
    with log.open("wb") as stream:
        driver = subprocess.Popen(command, stdout=stream, stderr=stream)
        peak = 0
        while driver.poll() is None:
            peak = max(peak, sum(map(proportional, family(driver.pid))))
            time.sleep(EVERY_S)
    if driver.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    scores = root / name / "scores"
    manifest = json.loads((scores / "_MANIFEST.json").read_text())
    return json.loads((scores / "_RUN.json").read_text()) | {
        "peak_bytes": peak,
        "disk_bytes": sum(p.stat().st_size for p in (scores / "tiles").iterdir()),
        "tiles": len(manifest["parts"]["tiles"]),
    }


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += parents.get(found[-1], [])
    return found


def proportional(pid: int) -> int:
    """Bytes of a process, shared ones divided by those who share them; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
