"""Labelled rows of any number -> one state: Ray Data moves spans of Parquet files, each becomes a state that adds up.

Every state is a file under `folder`, written whole: a killed worker costs its span, and the sum is the same bits.
"""

import dataclasses
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.data import ActorPoolStrategy

from recsys.calibrator import Calibrator
from recsys.metric.condensed import Condensed
from recsys.metric.state import State
from recsys.report._counted import Counted
from recsys.report._labelled import Labelled, Span, spans
from recsys.report._state_build import Dials, Survey, condense_span, count_span, design, survey_span
from recsys.report._state_cuts import TRAFFIC, Places
from recsys.report._state_reliability import choose
from recsys.stage._memory import release_memory
from recsys.stage._progress import Progress
from recsys.store import Folder
from recsys.target import Target

log = logging.getLogger("recsys")
SPANS_PER_WORKER = 4
LEAST_ROWS = 1 << 20  # of a span: below, its state costs more than its rows


def evaluate(
    labelled: Labelled,
    target: Target,
    dials: Dials,
    calibrator: dict[str, Calibrator],
    *,
    queries: pa.Table | None,
    items: pa.Table | None,
    folder: Folder,
    workers: int,
) -> Counted:
    """The state of all labelled rows, in three passes over them: a survey of scores and labels, the rows condensed, to
    which the candidates of `calibrator` are fitted, and the count. Rows that bring a probability need no second one.

    Ray is running. `folder` takes the states of the spans; one that is there is not counted again.
    """
    num_rows = sum(labelled.open(path, []).metadata.num_rows for path in labelled.paths)
    assert num_rows, "Labelled.check refuses files without rows"
    pieces = spans(labelled, max(LEAST_ROWS, -(-num_rows // (workers * SPANS_PER_WORKER))))
    places = _observed(items, dials.seed)
    found = Survey()
    for survey in _over(_Surveyor, (labelled, target, dials, places), pieces, workers, "surveyed"):
        found.add(survey)
    cutter, layout = design(found, dials, queries, items)
    told = {"skipped": cutter.skipped, "merged": cutter.merged, "notes": cutter.notes}
    calibrated = None
    if labelled.probability is None:
        grid = found.grid(dials.num_condensed)
        condensed = Condensed.empty(grid, dials.num_groups)
        for part in _over(_Condenser, (labelled, target, dials, grid), pieces, workers, "condensed"):
            condensed.add(part)
        calibrated = choose(condensed, calibrator, dials.num_folds)
        log.info("evaluate    %s (%s)", calibrated.selection.chosen, calibrated.selection.reason)
    held_out = None if calibrated is None else calibrated.held_out
    del queries, items, places, found  # the driver merges: it needs none of what the workers need
    log.info("evaluate    %d rows, %d slices, %.0f MB a state", num_rows, len(layout.slices), layout.num_bytes / 1e6)
    release_memory()
    common = (labelled, target, cutter, layout, held_out, folder)
    del cutter
    names = sorted(_over(_Counter, common, pieces, workers, "counted"))
    release_memory()
    state = State.sum_of(layout, (State.from_table(folder.read_table(name)) for name in names))
    return Counted(num_rows=num_rows, state=state, calibrated=calibrated, **told)


def _observed(items: pa.Table | None, seed: int) -> Places | None:
    """Where to count observations of items, if no column says how popular they are."""
    if items is None:
        return None
    known = TRAFFIC["item"] in items.column_names
    return None if known else Places(items["item_id"].combine_chunks(), "item", seed)


def _over(kind: type, common: tuple, pieces: list[Span], workers: int, done: str) -> Iterator[Any]:
    """What actors of a kind return for every span, in any order, as it comes."""
    actors, shared = min(workers, len(pieces)), ray.put(common)
    blocks = [pa.Table.from_pylist([dataclasses.asdict(span)]) for span in pieces]
    results = ray.data.from_arrow(blocks).map_batches(
        kind,
        fn_constructor_args=([shared],),
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
        num_cpus=1,
    )
    progress = Progress("evaluate", f"rows {done}", sum(span.num_rows for span in pieces))
    for batch in results.iter_batches(batch_size=1, batch_format="pyarrow"):
        if error := batch["error"][0].as_py():
            raise ValueError(error)
        progress.step(batch["num_rows"][0].as_py())
        yield kind.read(batch)


def _span(batch: pa.Table) -> Span:
    return Span(**batch.to_pylist()[0])


def _told(span: Span, error: str, found: pa.Table) -> pa.Table:
    """What an actor returns for a span: what it found, or why it could not."""
    return found.append_column("error", pa.array([error])).append_column("num_rows", pa.array([span.num_rows]))


class _Surveyor:
    """Surveys spans; only prefixes that occur travel back."""

    def __init__(self, common: list[Any]) -> None:
        pa.set_cpu_count(1)
        self.labelled, self.target, self.dials, self.places = ray.get(common[0])

    def __call__(self, batch: pa.Table) -> pa.Table:
        span = _span(batch)
        found, error = Survey(), ""
        try:
            found = survey_span(self.labelled, span, self.target, self.dials.by_row, self.places)
        except ValueError as problem:
            error = f"{span.path}: {problem}"
        full = np.flatnonzero(found.count_P2.any(axis=1))
        arrays = {"prefix": full, "count": found.count_P2[full].reshape(-1), "weight": found.weight_X}
        columns = {name: pa.array([array], pa.list_(pa.int64())) for name, array in arrays.items()}
        return _told(span, error, pa.table({"values": [json.dumps(found.values)], **columns}))

    @staticmethod
    def read(batch: pa.Table) -> Survey:
        arrays = {n: batch[n].combine_chunks().flatten().to_numpy() for n in ("prefix", "count", "weight")}
        found = Survey(weight_X=None if batch["weight"].null_count else arrays["weight"])
        found.count_P2[arrays["prefix"]] = arrays["count"].reshape(-1, 2)
        found.values = {name: Counter(counts) for name, counts in json.loads(batch["values"][0].as_py()).items()}
        return found


class _Condenser:
    """Condenses spans."""

    def __init__(self, common: list[Any]) -> None:
        pa.set_cpu_count(1)
        self.labelled, self.target, self.dials, self.grid = ray.get(common[0])

    def __call__(self, batch: pa.Table) -> pa.Table:
        span = _span(batch)
        found, error = Condensed.empty(self.grid, self.dials.num_groups), ""
        try:
            found = condense_span(self.labelled, span, self.target, self.grid, self.dials)
        except ValueError as problem:
            error = f"{span.path}: {problem}"
        return _told(span, error, found.to_table())

    @staticmethod
    def read(batch: pa.Table) -> Condensed:
        return Condensed.from_table(batch)


def _parquet(table: pa.Table) -> pa.Buffer:
    """A state as a file, written some slices at a time: all at once would take the memory of another state."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=8, use_dictionary=False, compression="zstd", write_statistics=False)
    return sink.getvalue()


class _Counter:
    """Counts spans into states, each a file; returns their names."""

    def __init__(self, common: list[Any]) -> None:
        pa.set_cpu_count(1)
        self.labelled, self.target, self.cutter, self.layout, self.held_out, self.folder = ray.get(common[0])

    def __call__(self, batch: pa.Table) -> pa.Table:
        span = _span(batch)
        digest = hashlib.sha256(span.path.encode()).hexdigest()[:16]
        name = f"state-{digest}-{span.start}-{span.stop}.parquet"
        try:
            if not self.folder.exists(name):
                state = count_span(self.labelled, span, self.target, self.cutter, self.layout, self.held_out)
                self.folder.write(name, _parquet(state.to_table()))
        except ValueError as error:
            return _told(span, str(error), pa.table({"name": [""]}))
        return _told(span, "", pa.table({"name": [name]}))

    @staticmethod
    def read(batch: pa.Table) -> str:
        return batch["name"][0].as_py()
