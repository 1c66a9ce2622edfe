"""corpus/ + model/ -> scores/: one part per tile of the query x item grid. Ray Data schedules, `recsys.tile` works.

scores/labelled/ holds the labelled pairs, scored first and frozen; scores/tiles/ the grid; beside them the merged
counters: ranks.parquet, top.parquet, histogram.parquet.
"""

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import grid, merge
from recsys import tile as tiling
from recsys.grid import Market, Tile
from recsys.model import Model
from recsys.pairs import Pairs
from recsys.stage._cluster import connect, uses_gpu
from recsys.stage._corpus import Corpus
from recsys.stage._estimate import announce
from recsys.stage._given import given_plan, take_given
from recsys.stage._job import Job, perform
from recsys.stage._schedule import Work, pairs_counter, run_tiles
from recsys.store import Folder, Plan, stem
from recsys.tables import scores_schema

log = logging.getLogger("recsys")


@dataclass
class Tiles:
    """How the grid is cut, and the threads that score a tile: together they fix a tile's bytes."""

    queries: int  # at most, per tile
    items: int  # at most, per tile
    labelled: int  # labelled pairs per part, about
    threads: int  # CPU threads per actor

    def __post_init__(self) -> None:
        for name in ("queries", "items", "labelled", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"tiles.{name}={getattr(self, name)} must be at least 1")


@dataclass
class ScoreJob(Job):
    """Scores every pair (or a table of candidates) with a fitted model; given scores are taken as they are."""

    stage: ClassVar[str] = "scores"
    semantic: ClassVar[tuple[str, ...]] = ("model", "pairs", "keep", "top_k", "tiles")

    model: Model
    pairs: Pairs
    keep: str  # every, top or labelled
    top_k: int  # items kept per query in top.parquet
    tiles: Tiles
    dry_run: bool  # stop after the plan line

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep not in tiling.KEEPS:
            raise ValueError(f"keep={self.keep!r} is unknown; use one of {', '.join(tiling.KEEPS)}")
        if self.top_k < 1:
            raise ValueError(f"top_k={self.top_k} keeps nothing; use at least 1")


class DryRun(Exception):
    """Raised after the plan line when dry_run=true: nothing was scored."""


def score(job: ScoreJob) -> dict[str, Any]:
    """Scores the run's corpus with its model; resumes what an interrupted run committed."""
    manifest = job.run.manifest("corpus")
    if manifest["scores_given"]:
        plan = given_plan(job)
        return perform(job, plan, lambda folder: take_given(job, folder))
    plan = job.plan(job.inputs("corpus", "model") | job.pairs.identity())
    return perform(job, plan, lambda folder: _score(job, plan, folder))


def _score(job: ScoreJob, plan: Plan, folder: Folder) -> dict[str, Any]:
    connect(job)
    work = Work(
        job=job.part(Job),
        model=job.model,
        keep=job.keep,
        top_k=job.top_k,
        threads=job.tiles.threads,
        folder=folder,
        fingerprint=plan.fingerprint,
    )
    corpus = work.corpus()
    queries, items = (
        corpus.table("queries", ["query_id", "text", "locale"]),
        corpus.table("items", ["item_id", "locale"]),
    )
    markets = grid.markets(queries["locale"].to_pylist(), items["locale"].to_pylist())
    labelled_P2 = _labelled_pairs(corpus, queries, items)
    candidate_P2, left_out = job.pairs.candidates(queries["query_id"], items["item_id"])

    labelled_tiles = _cut_pairs(labelled_P2, job.tiles.labelled, len(items))
    if candidate_P2 is None:
        tiles = grid.plan(markets, job.tiles.queries, job.tiles.items)
        num_pairs = sum(t.num_pairs for t in tiles)
    else:
        tiles = _cut_pairs(candidate_P2, job.tiles.queries * job.tiles.items, len(items))
        num_pairs = len(candidate_P2)
    folder.write_table("plan.parquet", pa.Table.from_pylist([dataclasses.asdict(t) for t in tiles]))
    announce(
        work,
        corpus,
        pairs=stem(job.pairs),
        num_pairs=num_pairs,
        num_tiles=len(tiles),
        num_labelled=len(labelled_P2),
    )
    if job.dry_run:
        raise DryRun

    labelled = run_tiles(work, "labelled", labelled_tiles, labelled_P2, pairs_of=pairs_counter(labelled_P2))
    pairs_of = (lambda t: t.num_pairs) if candidate_P2 is None else pairs_counter(candidate_P2)
    receipts = run_tiles(work, "tiles", tiles, candidate_P2, pairs_of=pairs_of)

    merged = merge.merge((tiling.read_counters(folder.join("tiles"), t) for t in tiles), job.top_k)
    asked = grid_of(markets, candidate_P2, len(items))
    assert merged.num_pairs() == num_pairs == sum(r["num_pairs"] for r in receipts)
    parts = [
        folder.write_table("ranks.parquet", merged.ranks(queries["query_id"], items["item_id"], asked)),
        folder.write_table("top.parquet", merged.top(queries["query_id"], items["item_id"])),
        folder.write_table("histogram.parquet", merged.histogram),
    ]
    return {
        "rows": {"pairs": num_pairs, "kept": sum(r["num_rows"] for r in receipts), "labelled": len(labelled_P2)}
        | left_out,
        "outputs": sorted(n.removeprefix("score_") for n in _score_columns(folder, labelled_tiles or tiles)),
        "device": "cuda" if uses_gpu(job) else "cpu",
        "learned": job.model.learns,
        "model": stem(job.model),
        "parts": {
            "": parts,
            "labelled": [
                {"name": t.name, "checksum": r["checksum"]} for t, r in zip(labelled_tiles, labelled, strict=True)
            ],
            "tiles": [{"name": t.name, "checksum": r["checksum"]} for t, r in zip(tiles, receipts, strict=True)],
        },
    }


def grid_of(markets: list[Market], candidate_P2: np.ndarray | None, num_items: int) -> merge.Grid:
    """Which pairs were in question."""
    return merge.Grid(markets, candidate_P2, num_items)


def _score_columns(folder: Folder, tiles: list[Tile]) -> list[str]:
    sub = "labelled" if folder.join("labelled").names() else "tiles"
    names = folder.join(sub).read_table(f"{tiles[0].name}.parquet").column_names
    return [n for n in names if n.startswith("score_")]


def _labelled_pairs(corpus: Corpus, queries: pa.Table, items: pa.Table) -> np.ndarray:
    """Sorted unique (query row, item row) of all labels."""
    labels = corpus.table("labels", ["query_id", "item_id"])
    query_row = pc.index_in(labels["query_id"], value_set=queries["query_id"].combine_chunks())
    item_row = pc.index_in(labels["item_id"], value_set=items["item_id"].combine_chunks())
    return np.unique(np.stack([query_row.to_numpy(), item_row.to_numpy()], axis=1).astype(np.int64), axis=0)


def _cut_pairs(pair_P2: np.ndarray, size: int, num_items: int) -> list[Tile]:
    """Tiles of about `size` listed pairs each, cut between queries."""
    starts = np.flatnonzero(np.r_[True, np.diff(pair_P2[:, 0]) != 0])
    tiles: list[Tile] = []
    first = 0
    for this in range(len(starts)):
        stop = starts[this + 1] if this + 1 < len(starts) else len(pair_P2)
        if stop - starts[first] >= size or stop == len(pair_P2):
            low, high = int(pair_P2[starts[first], 0]), int(pair_P2[starts[this], 0]) + 1
            tiles.append(Tile(len(tiles), len(tiles), low, high, 0, num_items))
            first = this + 1
    return tiles


def read_labelled(folder: Folder) -> pa.Table:
    """All labelled pairs with their frozen scores: query_id, item_id, score_<output>."""
    sub = folder.join("labelled")
    return sub.read_tables("part-") if sub.names() else scores_schema(("match",)).empty_table()
