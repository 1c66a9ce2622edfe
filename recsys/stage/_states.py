"""Labelled rows of any number -> one state: Ray Data moves spans of Parquet files, each becomes a state that adds up.

Every state is a file under `folder`, written whole: a killed worker costs its span, and the sum is the same bits.
"""

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.data import ActorPoolStrategy

from recsys.metric.state import State
from recsys.report._labelled import Labelled, Span, spans
from recsys.report._state_build import Dials, Survey, count_span, design, survey_span
from recsys.report._state_cuts import TRAFFIC, Places
from recsys.store import Folder
from recsys.target import Target

log = logging.getLogger("recsys")
SPANS_PER_WORKER = 4
LEAST_ROWS = 1 << 20  # of a span: below, its state costs more than its rows


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The state of all rows, and what became of the slices."""

    state: State
    skipped: dict[str, str]  # column -> why it is no cut
    merged: dict[str, int]  # column -> values that became 'other'


def evaluate(
    labelled: Labelled,
    target: Target,
    dials: Dials,
    *,
    queries: pa.Table | None,
    items: pa.Table | None,
    folder: Folder,
    workers: int,
) -> Evaluated:
    """The state of all labelled rows: one pass over them, after a survey of their scores and labels.

    Ray is running. `folder` takes the states of the spans; one that is there is not counted again.
    """
    num_rows = sum(labelled.open(path, []).metadata.num_rows for path in labelled.paths)
    if not num_rows:
        raise ValueError(f"no labelled row in {', '.join(labelled.paths[:3])}; give at least one")
    pieces = spans(labelled, max(LEAST_ROWS, -(-num_rows // (workers * SPANS_PER_WORKER))))
    places = _observed(items, dials.seed)
    found = Survey()
    common = ray.put((labelled, target, dials, places))
    for survey in _over(_Surveyor, common, pieces, workers):
        found.add(survey)
    cutter, layout = design(found, dials, queries, items)
    skipped, merged = cutter.skipped, cutter.merged
    del queries, items, places
    log.info("states      %d rows, %d slices, %.0f MB a state", num_rows, len(layout.slices), layout.num_bytes / 1e6)
    common = ray.put((labelled, target, cutter, layout, folder))
    del found, cutter  # the driver merges: it needs none of what the workers need
    pa.default_memory_pool().release_unused()
    names = sorted(_over(_Counter, common, pieces, workers))
    del common
    state = State.sum_of(layout, (State.from_table(folder.read_table(name)) for name in names))
    return Evaluated(state=state, skipped=skipped, merged=merged)


def _observed(items: pa.Table | None, seed: int) -> Places | None:
    """Where to count observations of items, if no column says how popular they are."""
    if items is None:
        return None
    known = TRAFFIC["item"] in items.column_names
    return None if known else Places(items["item_id"].combine_chunks(), "item", seed)


def _over(kind: type, common: Any, pieces: list[Span], workers: int) -> Iterator[Any]:
    """What actors of a kind return for every span, in any order, as it comes."""
    actors = min(workers, len(pieces))
    blocks = [pa.Table.from_pylist([dataclasses.asdict(span) | {"number": n}]) for n, span in enumerate(pieces)]
    results = ray.data.from_arrow(blocks).map_batches(
        kind,
        fn_constructor_args=([common],),
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
        num_cpus=1,
    )
    for batch in results.iter_batches(batch_size=1, batch_format="pyarrow"):
        if error := batch["error"][0].as_py():
            raise ValueError(error)
        yield kind.read(batch)


def _span(batch: pa.Table) -> tuple[Span, int]:
    row = batch.to_pylist()[0]
    number = row.pop("number")
    return Span(**row), number


class _Surveyor:
    """Surveys spans; only prefixes that occur travel back."""

    def __init__(self, common: list[Any]) -> None:
        pa.set_cpu_count(1)
        self.labelled, self.target, self.dials, self.places = ray.get(common[0])

    def __call__(self, batch: pa.Table) -> pa.Table:
        span, _ = _span(batch)
        found, error = Survey(), ""
        try:
            found = survey_span(self.labelled, span, self.target, self.dials.by_row, self.places)
        except ValueError as problem:
            error = f"{span.path}: {problem}"
        full = np.flatnonzero(found.count_P2.any(axis=1))
        arrays = {"prefix": full, "count": found.count_P2[full].reshape(-1), "weight": found.weight_X}
        columns = {name: pa.array([array], pa.list_(pa.int64())) for name, array in arrays.items()}
        return pa.table({"error": [error], "values": [json.dumps(found.values)], **columns})

    @staticmethod
    def read(batch: pa.Table) -> Survey:
        arrays = {n: batch[n].combine_chunks().flatten().to_numpy() for n in ("prefix", "count", "weight")}
        found = Survey(weight_X=None if batch["weight"].null_count else arrays["weight"])
        found.count_P2[arrays["prefix"]] = arrays["count"].reshape(-1, 2)
        found.values = {name: Counter(counts) for name, counts in json.loads(batch["values"][0].as_py()).items()}
        return found


def _parquet(table: pa.Table) -> pa.Buffer:
    """A state as a file, written some slices at a time: all at once would take the memory of another state."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=8, use_dictionary=False, compression="zstd", write_statistics=False)
    return sink.getvalue()


class _Counter:
    """Counts spans into states, each a file; returns their names."""

    def __init__(self, common: list[Any]) -> None:
        pa.set_cpu_count(1)
        self.labelled, self.target, self.cutter, self.layout, self.folder = ray.get(common[0])

    def __call__(self, batch: pa.Table) -> pa.Table:
        span, number = _span(batch)
        name = f"state-{number:05d}.parquet"
        try:
            if not self.folder.exists(name):
                state = count_span(self.labelled, span, self.target, self.cutter, self.layout)
                self.folder.write(name, _parquet(state.to_table()))
        except ValueError as error:
            return pa.table({"error": [str(error)], "name": [""]})
        return pa.table({"error": [""], "name": [name]})

    @staticmethod
    def read(batch: pa.Table) -> str:
        return batch["name"][0].as_py()
