"""States through Ray Data: the same bits for any files and workers, after a killed worker, and when resumed."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.calibrator import Identity, Platt
from recsys.metric.state import State
from recsys.stage._states import evaluate
from recsys.store import Folder
from recsys.target import Click
from tests.metric.states import same_bits
from tests.report.scored_files import dials, labelled

DIALS = dials(num_cells=256, num_coarse=16, num_groups=32)
NUM_QUERIES, PER_QUERY = 64, 8
CALIBRATORS = {"identity": Identity(), "platt": Platt()}


@dataclass
class Deadly(Click):
    """Kills whoever asks it for the first time what is positive, and for the first time what that gains."""

    folder: str = ""

    def positive(self, label_N: np.ndarray) -> np.ndarray:
        self._die("positive")
        return super().positive(label_N)

    def gain(self, label_N: np.ndarray) -> np.ndarray:
        self._die("gain")
        return super().gain(label_N)

    def _die(self, about: str) -> None:
        marker = Path(self.folder) / about
        if not marker.exists():
            marker.touch()
            os._exit(1)


def table() -> pa.Table:
    rng = np.random.default_rng(0)
    query_N = np.repeat(np.arange(NUM_QUERIES), PER_QUERY)
    score_N = rng.normal(size=len(query_N)).astype(np.float32)
    return pa.table(
        {
            "query": [f"q{q}" for q in query_N],
            "item": [f"i{i}" for i in np.tile(np.arange(PER_QUERY), NUM_QUERIES)],
            "label": (rng.random(len(query_N)) < 1 / (1 + np.exp(-score_N))).astype(float),
            "score": score_N,
            "device": [("phone", "tablet")[n % 2] for n in range(len(query_N))],
        }
    )


def run(
    folder: Path, num_files: int, *, workers: int = 2, target: Click | None = None, rows: pa.Table | None = None
) -> State:
    chosen = table() if rows is None else rows
    folder.mkdir(exist_ok=True)
    edges = np.linspace(0, NUM_QUERIES, num_files + 1).astype(int) * PER_QUERY
    paths = [folder / f"rows-{number}.parquet" for number in range(num_files)]
    for path, start, stop in zip(paths, edges[:-1], edges[1:], strict=True):
        pq.write_table(chosen.slice(start, stop - start), path)
    items = pa.table({"item_id": [f"i{i}" for i in range(PER_QUERY)], "brand": ["x", "y"] * (PER_QUERY // 2)})
    queries = pa.table({"query_id": [f"q{q}" for q in range(NUM_QUERIES)], "frequency": np.arange(NUM_QUERIES) + 1.0})
    return evaluate(
        labelled(*paths),
        Click(name="click") if target is None else target,
        DIALS,
        CALIBRATORS,
        queries=queries,
        items=items,
        folder=Folder.open(str(folder / "states")),
        workers=workers,
    ).state


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> State:
    return run(tmp_path_factory.mktemp("whole"), 1, workers=1)


def test_the_same_bits_for_any_files_and_after_killed_workers(whole, tmp_path):
    assert whole.fine_SC2[0].sum() == NUM_QUERIES * PER_QUERY << 20
    assert {"frequency=head", "brand=x", "device=phone"} <= set(whole.layout.slices)
    target = Deadly(name="click", folder=str(tmp_path))
    assert same_bits(run(tmp_path / "seven", 7, target=target), whole)
    assert (tmp_path / "positive").exists()
    assert (tmp_path / "gain").exists()


@pytest.mark.long
def test_the_same_bits_for_many_files_in_any_order_of_queries(whole, tmp_path):
    order = np.random.default_rng(1).permutation(NUM_QUERIES)
    rows = (order[:, None] * PER_QUERY + np.arange(PER_QUERY)).reshape(-1)
    assert same_bits(run(tmp_path, NUM_QUERIES, rows=table().take(pa.array(rows))), whole)


@pytest.mark.long
def test_a_state_that_is_there_is_not_counted_again(whole, tmp_path):
    assert same_bits(run(tmp_path, 3), whole)
    states = tmp_path / "states"
    before = {p.name: p.stat().st_mtime_ns for p in states.iterdir()}
    gone = min(before)
    (states / gone).unlink()
    assert same_bits(run(tmp_path, 3), whole)
    after = {p.name: p.stat().st_mtime_ns for p in states.iterdir()}
    assert {n for n in after if after[n] == before[n]} == before.keys() - {gone}
    assert len(before) == 3


def test_what_is_wrong_names_its_file(tmp_path):
    rows = table()
    scores = rows["score"].to_numpy().copy()
    scores[-1] = np.nan
    with pytest.raises(ValueError, match=r"rows-1\.parquet: score nan at row 255 is not finite"):
        run(tmp_path, 2, rows=rows.set_column(3, "score", pa.array(scores)))


@pytest.mark.long
def test_a_query_in_two_files_is_an_error(tmp_path):
    rows = table()
    first = pa.array(["q0" if q == f"q{NUM_QUERIES - 1}" else q for q in rows["query"].to_pylist()])
    with pytest.raises(ValueError, match="1 of 63 queries have rows in more than one shard"):
        run(tmp_path, 2, rows=rows.set_column(0, "query", first))
