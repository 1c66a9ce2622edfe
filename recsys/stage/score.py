"""corpus/ + model/ -> scores/: one part per tile of the query x item grid. Ray Data schedules, `recsys.tile` works.

scores/labelled/ holds the labelled pairs, scored first and frozen; scores/tiles/ the grid; beside them the merged
counters: ranks.parquet, top.parquet, histogram.parquet.
"""

import logging
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import grid, merge
from recsys import tile as tiling
from recsys.model import Model, fitted_outputs
from recsys.pairs import Pairs
from recsys.part import read_counters
from recsys.stage._base import (
    check_same,
    check_scores,
    line_up,
    open_base,
    read_delta,
    take_labelled,
    unknown_labels,
    with_base,
)
from recsys.stage._begun import Begun, resume
from recsys.stage._cluster import check_actor, check_store, connect, num_actors, uses_gpu
from recsys.stage._corpus import Corpus
from recsys.stage._estimate import Speed, announce, measure, settled
from recsys.stage._given import given_plan, take_given
from recsys.stage._job import Job, perform, versions
from recsys.stage._memory import release_memory
from recsys.stage._schedule import Cut, Work, run_tiles
from recsys.stage._verify import reopen_if_damaged
from recsys.store import Folder, Plan, describe, differences, stem
from recsys.tables import scores_schema

log = logging.getLogger("recsys")
CANDIDATE_PARTS = 256  # at least about so many tiles of candidates, where there are pairs enough
HERE_S = 20.0  # labelled pairs that take less are scored by the driver: starting actors would take as long


@dataclass
class Tiles:
    """How the grid is cut, and the threads that score a tile: together they fix a tile's bytes."""

    queries: int | None  # at most, per tile; null = from a measurement
    items: int | None  # likewise
    seconds: float  # of work in a tile, where it is measured
    cache_mib: int  # of encoded texts that an actor keeps
    labelled: int  # labelled pairs per part, about
    threads: int  # CPU threads per actor

    def __post_init__(self) -> None:
        for name in ("queries", "items", "cache_mib", "labelled", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"tiles.{name}={value} must be at least 1")
        if not self.seconds > 0:
            raise ValueError(f"tiles.seconds={self.seconds} must be above 0")

    def shape(self, num_queries: int, num_items: int, speed: Speed, pair_s: float, workers: int) -> tuple[int, int]:
        """(queries, items) of a tile at most: as configured, or as measured."""
        return grid.shape(
            num_queries,
            num_items,
            pair_s=pair_s,
            seconds=self.seconds,
            item_bytes=speed.item_bytes,
            cache_bytes=self.cache_mib * 2**20 / 2,
            outputs=speed.outputs,
            workers=workers,
            queries=self.queries,
            items=self.items,
        )


@dataclass
class ScoreJob(Job):
    """Scores every pair (or only some: conf/pairs) with a fitted model; given scores are taken as they are."""

    stage: ClassVar[str] = "scores"
    version: ClassVar[int] = 3
    semantic: ClassVar[tuple[str, ...]] = ("model", "pairs", "keep", "score_type", "top_k", "tiles", "seed")

    model: Model
    pairs: Pairs
    keep: str  # every, top or labelled
    score_type: str  # of the scores kept in scores/tiles: float32 or float16
    top_k: int  # items kept per query in top.parquet
    tiles: Tiles
    dry_run: bool  # stop after the plan line
    verify: bool  # read what is committed again, and make anew what is damaged or missing
    base: str | None  # folder of a run whose scores are taken over where nothing has changed

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep not in tiling.KEEPS:
            raise ValueError(f"keep={self.keep!r} is unknown; use one of {', '.join(tiling.KEEPS)}")
        if self.score_type not in tiling.SCORE_TYPES:
            raise ValueError(f"score_type={self.score_type!r} is unknown; use one of {', '.join(tiling.SCORE_TYPES)}")
        if self.top_k < 1:
            raise ValueError(f"top_k={self.top_k} keeps nothing; use at least 1")

    def plan(self, inputs: dict[str, str]) -> Plan:
        plan = super().plan(inputs)
        if self.base is not None:
            check_scores(self.base, plan)
        return with_base(plan, self.base)


class DryRun(Exception):
    """Raised after the plan line when dry_run=true: nothing was scored."""


def score(job: ScoreJob) -> dict[str, Any]:
    """Scores the run's corpus with its model; resumes what an interrupted run committed."""
    manifest = job.run.manifest("corpus")
    if manifest["scores_given"]:
        plan = given_plan(job.inputs("corpus"))
        return perform(job, plan, lambda folder: take_given(job, folder))
    inputs = job.inputs("corpus", "model")
    _check_fitted(job)
    plan = job.plan(inputs | job.pairs.identity(corpus=inputs["corpus"], top_k=job.top_k))
    if job.verify:
        reopen_if_damaged(job, plan)
    return perform(job, plan, lambda folder: _score(job, plan, folder))


def _check_fitted(job: ScoreJob) -> None:
    """ValueError if the model is not configured as it was fitted: its own settings would be told, and others hold."""
    fitted = job.run.manifest("model")["config"]["model"]
    asked = {name: value for name, value in describe(job.model).items() if name not in job.model.of_inference}
    if fitted["type"] != asked["type"]:
        raise ValueError(
            f"run '{job.name}' holds a fitted {fitted['type']}, not a {asked['type']}; choose that with model=…, or "
            "train under another name"
        )
    if changed := list(differences(fitted, asked, "model")):
        raise ValueError(
            f"run '{job.name}' holds a model that was fitted otherwise ({'; '.join(changed[:6])}); configure it as it "
            "was there, or train under another name"
        )


def _score(job: ScoreJob, plan: Plan, folder: Folder) -> dict[str, Any]:
    connect(job)
    base = None if job.base is None else open_base(job.base, "scores")
    if base is not None:
        check_store(base.run.root)
    gpu = uses_gpu(job, job.model)
    if not gpu:
        check_actor(job)
    device = "cuda" if gpu else "cpu"
    begun, model = resume(folder, plan.fingerprint, settled(job.model, device), device)
    work = Work(
        job=job.part(Job),
        run=job.run,
        model=model,
        keep=job.keep,
        score_type=job.score_type,
        top_k=job.top_k,
        threads=job.tiles.threads,
        cache_bytes=job.tiles.cache_mib * 2**20 // 2,
        folder=folder,
        fingerprint=plan.fingerprint,
        verify=job.verify,
        base=None if base is None else base.folder,
        base_fingerprint="" if base is None else base.fingerprint,
    )
    if base is not None:
        check_same(base, job.run, device=device, settled=describe(model), versions=versions())
    corpus = work.corpus()
    queries, items = (
        corpus.table("queries", ["query_id", "text", "locale"]),
        corpus.table("items", ["item_id", "locale"]),
    )
    markets = grid.markets(queries["locale"].to_pylist(), items["locale"].to_pylist())
    labelled_P2 = _labelled_pairs(corpus, queries, items)
    _check_markets(markets, queries, items)
    outputs = fitted_outputs(job.run.folder("model"))
    chosen = job.pairs.candidates(queries["query_id"], items["item_id"], outputs)
    candidate_P2, left_out, shortlist = chosen.pair_P2, chosen.left_out, chosen.shortlist
    if candidate_P2 is not None:
        within_P = merge.Grid(markets, None, len(items)).within(*candidate_P2.T)
        candidate_P2, other = candidate_P2[within_P], int((~within_P).sum())
        left_out |= {"candidate_other_market": other} if other else {}
        if not len(candidate_P2):
            raise ValueError(
                f"no candidate pair is of one locale: all {other} join a query and an item of different ones"
            )

    speed = measure(work)
    listed = None if shortlist is None or candidate_P2 is None else shortlist.listed(candidate_P2)
    if begun is None:
        tiles = (
            _cut(job, work, markets, candidate_P2, speed, len(items))
            if base is None
            else line_up(base, corpus, folder, markets, labelled_P2, (job.tiles.queries, job.tiles.items))
        )
        if candidate_P2 is None:
            _check_size(tiles, len(outputs))
        begun = Begun(tiles=tiles, model=describe(model), device=device)
        begun.write(folder, plan.fingerprint)
    tiles = begun.tiles
    lined = None if base is None else read_delta(folder, tiles)
    taken = frozenset() if lined is None else frozenset(lined.taken)
    cut = Cut(sub="tiles", tiles=tiles, pair_P2=candidate_P2, listed=listed, taken=taken)
    open_P2 = labelled_P2 if lined is None else unknown_labels(folder, labelled_P2)
    labelled_tiles = grid.plan_pairs(open_P2, job.tiles.labelled, len(items)) if len(open_P2) else []
    labelled = Cut(sub="labelled", tiles=labelled_tiles, pair_P2=open_P2)
    announce(work, corpus, speed, pairs=stem(job.pairs), cut=cut, num_labelled=labelled.num_pairs)
    name = stem(job.model)
    cascade = {} if shortlist is None else {"cascade": shortlist.told(name)}
    if shortlist is not None:
        log.info("cascade     %(first)s -> %(second)s, for the first %(top)d of each query", cascade["cascade"])
    if job.dry_run:
        raise DryRun

    num_items = min(labelled.num_pairs, len(items))
    labelled_s = speed.seconds(pairs=labelled.num_pairs, queries=0, items=num_items, listed=True)
    here = labelled_s < HERE_S and not gpu
    frozen = _checksums(labelled, run_tiles(work, labelled, here=here))
    if base is not None:
        frozen.append(take_labelled(base, folder, len(labelled.tiles), work.fingerprint, stem(job.model)))
    release_memory()
    began = time.monotonic()
    receipts = run_tiles(work, cut, here=False)
    timing = {
        "actors": min(num_actors(work.job, work.model), len(cut.tiles)),
        "tiles_wall_s": time.monotonic() - began,
        "tiles_s": sum(r["seconds"] for r in receipts),
        "encode_s": sum(r["encode_s"] for r in receipts),
        "pairs_scored": sum(r["num_pairs"] for r in receipts if r["scored"]),
    }

    counters = (read_counters(folder.join("tiles"), t) for t in cut.tiles)
    merged = merge.merge(counters if lined is None else map(lined.rows, counters), job.top_k)
    asked = merge.Grid(markets, candidate_P2, len(items))
    assert merged.num_pairs() == cut.num_pairs == sum(r["num_pairs"] for r in receipts)
    ids = queries["query_id"], items["item_id"]
    parts = [
        folder.write_table("ranks.parquet", merged.ranks(labelled_P2, *ids, asked, shortlist)),
        folder.write_table("top.parquet", merged.top(*ids, name, shortlist)),
        folder.write_table("histogram.parquet", merged.histogram),
    ]
    kept = {"pairs": cut.num_pairs, "kept": sum(r["num_rows"] for r in receipts), "labelled": len(labelled_P2)}
    if base is not None:
        kept |= _taken(cut, receipts, len(labelled_P2) - len(open_P2))
    alone = len(queries) - sum(m.query_stop - m.query_start for m in markets)
    left_out |= {"query_without_items": alone} if alone else {}
    return {
        "rows": kept | left_out,
        "outputs": list(outputs),
        "timing": timing,
        "device": device,
        "settled": describe(model),
        "learned": job.model.learns or (shortlist is not None and shortlist.learned),
        "model": name,
        "parts": {"": parts, "labelled": frozen, "tiles": _checksums(cut, receipts)},
    } | cascade


def _taken(cut: Cut, receipts: list[dict[str, Any]], labelled: int) -> dict[str, int]:
    """What came from the base, in pairs."""
    taken = sum(r["num_pairs"] for r in receipts if r["taken"])
    log.info("base        %s pairs taken over, %s scored", f"{taken:,}", f"{cut.num_pairs - taken:,}")
    if lost := sum(not receipts[index]["taken"] for index in cut.taken):
        log.info("base        %d of its parts are damaged or missing: their pairs were scored", lost)
    return {"taken_over": taken, "labelled_taken_over": labelled}


def _cut(
    job: ScoreJob,
    work: Work,
    markets: list[grid.Market],
    candidate_P2: np.ndarray | None,
    speed: Speed,
    num_items: int,
) -> list[grid.Tile]:
    """The tiles of a plan without a base."""
    num_queries = sum(m.query_stop - m.query_start for m in markets)
    workers = num_actors(work.job, work.model)
    pair_s = speed.pair_s if candidate_P2 is None else speed.listed_s
    queries, items = job.tiles.shape(num_queries, num_items, speed, pair_s, workers)
    if candidate_P2 is None:
        return grid.plan(markets, queries, items)
    size = min(queries * items, max(job.tiles.labelled, len(candidate_P2) // CANDIDATE_PARTS))
    block = job.tiles.items or grid.block_items(
        num_items, item_bytes=speed.item_bytes, cache_bytes=work.cache_bytes, workers=workers
    )
    return grid.plan_pairs(candidate_P2, size, num_items, block)


def _check_size(tiles: list[grid.Tile], outputs: int) -> None:
    """ValueError if a tile holds more scores than an actor should have in memory."""
    largest = max(tiles, key=lambda t: t.num_pairs)
    if (scores := largest.num_pairs * outputs) > grid.MOST_PAIRS:
        sides = largest.query_stop - largest.query_start, largest.item_stop - largest.item_start
        raise ValueError(
            f"a tile of {sides[0]} queries x {sides[1]} items x {outputs} outputs holds {scores:,} scores, which an "
            f"actor has in memory at once, and more than {grid.MOST_PAIRS:,}; lower tiles.queries or tiles.items"
        )


def _check_markets(markets: list[grid.Market], queries: pa.Table, items: pa.Table) -> None:
    """ValueError if no query has an item of its locale."""
    if not markets:
        theirs, ours = (sorted(map(str, pc.unique(t["locale"]).to_pylist())) for t in (queries, items))
        raise ValueError(
            f"no query has an item of its locale: queries are of {theirs}, items of {ours}; map one to the other"
        )


def _checksums(cut: Cut, receipts: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"name": t.name, "checksum": r["checksum"]} for t, r in zip(cut.tiles, receipts, strict=True)]


def _labelled_pairs(corpus: Corpus, queries: pa.Table, items: pa.Table) -> np.ndarray:
    """Sorted unique (query row, item row) of all labels."""
    labels = corpus.table("labels", ["query_id", "item_id"])
    query_row = pc.index_in(labels["query_id"], value_set=queries["query_id"].combine_chunks())
    item_row = pc.index_in(labels["item_id"], value_set=items["item_id"].combine_chunks())
    return np.unique(np.stack([query_row.to_numpy(), item_row.to_numpy()], axis=1).astype(np.int64), axis=0)


def read_labelled(folder: Folder) -> pa.Table:
    """All labelled pairs with their frozen scores: query_id, item_id, score_<output>."""
    sub = folder.join("labelled")
    return sub.read_tables("part-") if sub.names() else scores_schema(("match",)).empty_table()
