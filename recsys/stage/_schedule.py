"""Streams tile descriptors through a pool of scoring actors, and tells progress from the parts they commit."""

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import ActorPoolStrategy

from recsys import grid
from recsys.grid import Tile
from recsys.model import Model, use_threads
from recsys.part import Receipt, committed, verify
from recsys.scorer import Scorer
from recsys.stage._attempts import KILLED, count_attempts
from recsys.stage._base import take_over
from recsys.stage._cluster import num_actors, uses_gpu
from recsys.stage._corpus import Corpus
from recsys.stage._job import Job
from recsys.stage._progress import Progress, Watch, amount
from recsys.store import Folder, Run, stem
from recsys.tile import Frozen, TileScorer, group_of

log = logging.getLogger("recsys")


@dataclass(kw_only=True)
class Work:
    """What an actor needs to know to score tiles of this run: small, and the same for all of them."""

    job: Job  # for its resources
    run: Run
    model: Model
    keep: str
    score_type: str
    top_k: int
    threads: int
    cache_bytes: int  # of encoded items that an actor keeps, and of encoded queries
    folder: Folder
    fingerprint: str
    verify: bool  # read committed parts again, and compare checksums
    base: Folder | None = None  # scores/ of a run whose counts are taken over where nothing has changed
    base_fingerprint: str = ""

    def corpus(self) -> Corpus:
        return Corpus(self.run.folder("corpus"), self.run.manifest("corpus"))

    def scorer(self, device: str) -> Scorer:
        scorer = self.model.load(self.run.folder("model").fetch(), device)
        use_threads(self.threads)
        return scorer


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Tiles that go to one folder: with the pairs asked for listed, or else every pair of each tile."""

    sub: str  # folder under scores/
    tiles: list[Tile]
    pair_P2: np.ndarray | None = None  # sorted (query row, item row)
    listed: dict[str, np.ndarray] | None = None  # output -> bool: which pairs it ranks; None for all
    taken: frozenset[int] = frozenset()  # tiles that a base has counted

    @cached_property
    def pairs_K(self) -> list[int]:
        """Number of pairs of each of the K tiles."""
        if self.pair_P2 is None:
            return [t.num_pairs for t in self.tiles]
        return grid.count_pairs(self.pair_P2, self.tiles).tolist()

    @cached_property
    def num_pairs(self) -> int:
        return sum(self.pairs_K)

    @property
    def num_taken(self) -> int:
        """Pairs that are not to be scored."""
        return sum(num for t, num in zip(self.tiles, self.pairs_K, strict=True) if t.index in self.taken)

    def write_pairs(self, folder: Folder) -> None:
        """Leaves the listed pairs where the actors find them."""
        if self.pair_P2 is not None:
            listed = {f"listed_{output}": listed_P for output, listed_P in (self.listed or {}).items()}
            table = pa.table({"query_row": self.pair_P2[:, 0], "item_row": self.pair_P2[:, 1]} | listed)
            folder.write_table(pairs_file(self.sub), table)


def pairs_file(sub: str) -> str:
    """Name of the list of pairs asked for in one folder; absent where every pair is."""
    return f"pairs-{sub}.parquet"


def read_pairs(folder: Folder, sub: str) -> np.ndarray | None:
    """The pairs that `Cut.write_pairs` left."""
    if not folder.exists(pairs_file(sub)):
        return None
    table = folder.read_table(pairs_file(sub))
    return np.stack([table["query_row"].to_numpy(), table["item_row"].to_numpy()], axis=1)


def read_listed(folder: Folder, sub: str, outputs: tuple[str, ...]) -> np.ndarray | None:
    """listed_TP of the pairs that `Cut.write_pairs` left: which of them each output ranks; None for all."""
    if not folder.exists(pairs_file(sub)):
        return None
    table, names = folder.read_table(pairs_file(sub)), [f"listed_{output}" for output in outputs]
    return np.stack([table[n].to_numpy() for n in names]) if names[0] in table.column_names else None


def tile_scorer(work: Work, sub: str, device: str) -> Callable[[Tile], Receipt]:
    """Opens model and corpus to score tiles into one folder under scores/."""
    corpus, scorer = work.corpus(), work.scorer(device)
    first = sub == "labelled"
    frozen, texts = (no_labels(scorer.outputs), None) if first else read_frozen(work.folder, corpus, scorer.outputs)
    score = TileScorer(
        scorer=scorer,
        folder=work.folder.join(sub),
        fingerprint=work.fingerprint,
        keep="every" if first else work.keep,
        score_type="float32" if first else work.score_type,
        top_k=1 if first else work.top_k,
        cache_bytes=work.cache_bytes,
        queries=corpus.table("queries", ["query_id", "text"]),
        read_items=corpus.items,
        frozen=frozen,
        texts=texts if scorer.by_text else None,
        candidate_P2=read_pairs(work.folder, sub),
        listed_TP=read_listed(work.folder, sub, scorer.outputs),
        by_block=not first,
        model=stem(work.model),
    )
    return score if first or work.base is None else take_over(score, work.folder, work.base, work.base_fingerprint)


class _Actor:
    """Scores one tile per row; opens model and corpus once."""

    def __init__(self, work: Work, sub: str, device: str, attempts: Any) -> None:
        self.score = tile_scorer(work, sub, device)
        self.attempts = attempts
        self.stopped = ""  # why no more can be written

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = [self._attempt(Tile(**row)) for row in batch.to_pylist()]
        return pa.Table.from_pylist([row | {"stopped": self.stopped} for row in rows])

    def _attempt(self, tile: Tile) -> dict[str, Any]:
        if self.stopped:
            return failed(tile, self.stopped)
        if not ray.get(self.attempts.begin.remote(tile.index)):
            return failed(tile, KILLED)
        try:
            row = attempt(self.score, tile)
        except OSError as error:  # as a row, since Ray Data would hide it behind an error of its own
            self.stopped = str(error)
            row = failed(tile, self.stopped)
        self.attempts.end.remote(tile.index)
        return row


def attempt(score: Callable[[Tile], Receipt], tile: Tile) -> dict[str, Any]:
    """The tile's receipt, or why it has none: a tile that fails leaves the others to be scored.

    Raises OSError, for what keeps a part from being written would keep the others as well.
    """
    try:
        return dataclasses.asdict(score(tile)) | {"error": ""}
    except OSError:
        raise
    except Exception as error:  # whatever a model may raise
        log.debug("tile %d failed", tile.index, exc_info=True)
        return failed(tile, f"{type(error).__name__}: {error}")


def failed(tile: Tile, error: str) -> dict[str, Any]:
    """What stands for the receipt of a tile that has none."""
    nothing = Receipt(
        tile=tile.index, num_pairs=0, num_rows=0, num_bytes=0, checksum="", seconds=0.0, encode_s=0.0, scored=False
    )
    return dataclasses.asdict(nothing) | {"error": error}


def no_labels(outputs: tuple[str, ...]) -> Frozen:
    """Nothing frozen yet."""
    none = np.zeros(0, np.int64)
    return Frozen(query_row_L=none, item_row_L=none, score_TL=np.zeros((len(outputs), 0), np.float32), group_L=none)


def read_frozen(folder: Folder, corpus: Corpus, outputs: tuple[str, ...]) -> tuple[Frozen, pa.Array | None]:
    """The labelled pairs and their frozen scores, in row numbers; and the texts of their items, by group."""
    if not folder.join("labelled").names():
        return no_labels(outputs), None
    table = folder.join("labelled").read_tables("part-")
    if not len(table):
        return no_labels(outputs), None
    query_ids = corpus.table("queries", ["query_id"])["query_id"].combine_chunks()
    item_ids = corpus.table("items", ["item_id"])["item_id"].combine_chunks()
    item_row_L = pc.index_in(table["item_id"], value_set=item_ids).to_numpy().astype(np.int64)
    item_row_M, at_L = np.unique(item_row_L, return_inverse=True)
    text_M = pc.fill_null(corpus.items(item_row_M)["text"], "")
    texts = pc.unique(text_M)
    frozen = Frozen(
        query_row_L=pc.index_in(table["query_id"], value_set=query_ids).to_numpy().astype(np.int64),
        item_row_L=item_row_L,
        score_TL=np.stack([table[f"score_{o}"].to_numpy() for o in outputs]),
        group_L=group_of(text_M, texts)[at_L],
    )
    return frozen, texts


def run_tiles(work: Work, cut: Cut, *, here: bool) -> list[dict[str, Any]]:
    """Receipts of all tiles, in order; those already committed are not scored again.

    `here` scores in this process, on the CPU: the same bytes, without actors.
    """
    cut.write_pairs(work.folder)
    sub, tiles, target, fingerprint = cut.sub, cut.tiles, work.folder.join(cut.sub), work.fingerprint
    present = set(target.names())
    found = [committed(target, t, fingerprint) if f"{t.name}.parquet" in present else None for t in tiles]
    if work.verify:
        names = [f"{tiles[r.tile].name}.parquet" for r in found if r is not None]
        damaged = {name for name in names if not verify(target, name)}
        for name in damaged:
            log.info("%-11s %s/%s is damaged: it is scored again", "verify", sub, name)
            target.remove(name)
        found = [r for r in found if r is not None and f"{tiles[r.tile].name}.parquet" not in damaged]
    receipts = {r.tile: dataclasses.asdict(r) for r in found if r is not None}
    open_tiles = [t for t in tiles if t.index not in receipts]
    for name in present - {f"{t.name}.parquet" for t in tiles}:
        target.remove(name)
    progress = Progress("score" if sub == "tiles" else "labelled", "pairs", cut.num_pairs)
    if receipts:
        log.info("%-11s %d of %d parts were committed before", progress.stage, len(receipts), len(tiles))
        progress.step(sum(r["num_pairs"] for r in receipts.values()), counts=False)
    if open_tiles:
        failures = []
        for row in (_here if here else _schedule)(work, cut, open_tiles, progress):
            error = row.pop("error")
            if error:
                failures.append(f"tile {row['tile']} ({_span(tiles[row['tile']])}) failed with {error}")
            else:
                receipts[row["tile"]] = row
        if failures:
            raise ValueError(
                f"{failures[0]}; {len(failures)} of {len(tiles)} tiles failed, {len(receipts)} are committed: once the "
                "cause is mended, the same command scores the rest"
            )
    assert len(receipts) == len(tiles)
    return [receipts[t.index] for t in tiles]


def _here(work: Work, cut: Cut, tiles: list[Tile], progress: Progress) -> Iterator[dict[str, Any]]:
    """Scores tiles one after the other in this process."""
    score = tile_scorer(work, cut.sub, "cpu")
    for t in tiles:
        row = attempt(score, t)
        progress.step(row["num_pairs"])
        yield row


def _span(tile: Tile) -> str:
    return f"query rows {tile.query_start}-{tile.query_stop - 1}, item rows {tile.item_start}-{tile.item_stop - 1}"


def _schedule(work: Work, cut: Cut, tiles: list[Tile], progress: Progress) -> list[dict[str, Any]]:
    """Streams tile descriptors through a pool of scoring actors; blocks keep tiles of the same items together."""
    job = work.job
    actors = min(num_actors(job, work.model), len(tiles))
    gpu = uses_gpu(job, work.model)
    chunks = _chunks(tiles, actors)
    blocks = [pa.Table.from_pylist([dataclasses.asdict(t) for t in chunk]) for chunk in chunks]
    receipts = ray.data.from_arrow(blocks).map_batches(
        _Actor,
        fn_constructor_args=(work, cut.sub, "cuda" if gpu else "cpu", count_attempts()),
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            min_size=1,
            max_size=actors,
            initial_size=actors,
            max_tasks_in_flight_per_actor=1,  # a chunk that waits for its actor would come out of turn
        ),
        num_gpus=1 if gpu else 0,
        num_cpus=0 if gpu else job.resources.cpus_per_actor,
    )
    rows: list[dict[str, Any]] = []
    with Watch(_Committed(work.folder.join(cut.sub), tiles, cut, progress).look):
        for batch in receipts.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in batch.to_pylist():
                if stopped := row.pop("stopped"):
                    raise ValueError(f"scoring stopped: {stopped}; the same command goes on")
                rows.append(row)
    return rows


def _chunks(tiles: list[Tile], actors: int) -> list[list[Tile]]:
    """Runs of tiles that share their items, in the order they are handed out.

    Blocks of items are cut further where there are few. As many blocks as there are actors take turns, so that an actor
    that takes every so-manieth chunk meets the items again that it has encoded.
    """
    blocks: dict[int, list[Tile]] = {}
    for t in tiles:
        blocks.setdefault(t.block, []).append(t)
    pieces = max(1, actors * grid.CHUNKS_PER_WORKER // len(blocks))
    cut = [[block[a:b] for a, b in grid.spans(0, len(block), -(-len(block) // pieces))] for block in blocks.values()]
    turns = [itertools.zip_longest(*cut[at : at + actors], fillvalue=[]) for at in range(0, len(cut), actors)]
    return [chunk for turn in turns for chunks in turn for chunk in chunks if chunk]


class _Committed:
    """Tells progress from the parts that are committed."""

    def __init__(self, folder: Folder, tiles: list[Tile], cut: Cut, progress: Progress) -> None:
        self.folder, self.progress = folder, progress
        self.open = {f"{t.name}.parquet": (cut.pairs_K[t.index], t.index in cut.taken) for t in tiles}
        self.taken = 0

    def look(self) -> None:
        for name in [n for n in self.folder.names() if n in self.open]:
            num_pairs, taken = self.open.pop(name)
            self.taken += num_pairs if taken else 0
            self.progress.step(num_pairs, counts=not taken, note=f"{amount(self.taken)} taken over" if taken else "")
