"""A balanced report of labelled rows in a process of its own, so that it can be watched from outside.

    python -m benchmarks._evaluate_job FOLDER WORKERS

FOLDER holds rows-*.parquet, queries.parquet and items.parquet; records go to FOLDER/records.json, times to times.json.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.report._labelled import Labelled
from recsys.report._state_build import Dials
from recsys.report._state_records import records
from recsys.stage._cluster import connect
from recsys.stage._states import evaluate
from recsys.store import Folder
from recsys.target import Click
from tests.compose import job

DIALS = Dials(
    k=10,
    num_bins=15,
    num_cells=4096,
    num_coarse=32,
    num_groups=256,
    max_values=12,
    named=(),
    by_row=("position", "device"),
    crosses=(),
    seed=0,
)
NUM_REPLICATES = 200


def _table(path: Path) -> pa.Table:
    """A table whose texts are numbers into a dictionary."""
    texts = [f.name for f in pq.read_schema(path) if pa.types.is_string(f.type)]
    return pq.read_table(path, read_dictionary=texts)


def main() -> None:
    """Connects, evaluates, writes."""
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    times = {"start": time.time()}
    connect(job("report", f"store.root={folder}", "name=states"))
    times["connected"] = time.time()
    labelled = Labelled(
        paths=tuple(sorted(str(p) for p in folder.glob("rows-*.parquet"))),
        query="query_id",
        item="item_id",
        label="label",
        score="score",
        probability=None,
        weight=None,
        where=(),
    )
    target = Click(name="click")
    found = evaluate(
        labelled,
        target,
        DIALS,
        queries=_table(folder / "queries.parquet"),
        items=_table(folder / "items.parquet"),
        folder=Folder.open(str(folder / "states")),
        workers=workers,
    )
    times["counted"] = time.time()
    made = records(
        found.state,
        target="click",
        split="all",
        gain=target.describe(),
        num_replicates=NUM_REPLICATES,
        min_queries=20,
        min_size=5,
    )
    times["done"] = time.time()
    slices = {"slicings": len(found.state.layout.cuts), "slices": len(found.state.layout.slices)}
    (folder / "records.json").write_text(json.dumps([asdict(r) for r in made]))
    (folder / "times.json").write_text(json.dumps(times | slices))


if __name__ == "__main__":
    main()
