"""The plan line before the first tile: pairs, tiles, bytes, and the time expected from a timed sample."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import ray

from recsys.grid import FEW_QUERIES
from recsys.model import Model, wait_for_gpu
from recsys.scorer import Encoded, Scorer, num_bytes
from recsys.stage._cluster import num_actors, uses_gpu
from recsys.stage._corpus import Corpus
from recsys.stage._progress import amount, duration
from recsys.stage._schedule import Cut, Work

log = logging.getLogger("recsys")
SAMPLE_S = 1.0  # a sample takes at least this long, or has all items
SCORE_S = 2e-3  # and scores this long, or all pairs: the call itself takes as long as thousands of cheap pairs
ENCODE_S = 4.0  # but grows no more once encoding took this long
DEAR_S = 0.05  # a call that takes this long is not repeated, and of listed pairs only a few are timed
FEW_PAIRS = 64  # so many
COUNT_S = 4e-8  # to count a score, whatever it cost: see benchmarks/README.md


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What one scoring actor takes, measured on rows spread over the corpus."""

    query_s: float  # to encode one
    item_s: float
    pair_s: float  # to score one of a whole tile and count it
    listed_s: float  # to score one of a list and count it
    query_bytes: float  # of one encoded
    item_bytes: float
    outputs: int
    pairs: int  # of the sample

    def seconds(self, *, pairs: int, queries: int, items: int, listed: bool, actors: int = 1) -> float:
        """Of so many actors, which share out items and pairs; each meets all queries."""
        pair_s = self.listed_s if listed else self.pair_s
        return (pairs * pair_s + items * self.item_s) / actors + queries * self.query_s


def measure(work: Work) -> Speed:
    """Times a sample where the tiles will be scored."""
    if not uses_gpu(work.job, work.model):
        return _sample(work, "cpu")
    return ray.get(ray.remote(num_gpus=1, num_cpus=0)(_sample).remote(work, "cuda"))


def announce(work: Work, corpus: Corpus, speed: Speed, *, pairs: str, cut: Cut, num_labelled: int) -> None:
    """The plan line: pairs, tiles, bytes, expected time."""
    job, num_pairs, num_tiles = work.job, cut.num_pairs, len(cut.tiles)
    num_scored = num_pairs - cut.num_taken
    num_items, num_queries = corpus.num_rows("items"), corpus.num_rows("queries")
    asked_items = num_items if cut.pair_P2 is None else len(np.unique(cut.pair_P2[:, 1]))
    actors = max(1, min(num_actors(job, work.model), num_tiles - len(cut.taken)))
    listed = cut.pair_P2 is not None
    seconds = speed.seconds(pairs=num_scored, queries=num_queries, items=asked_items, listed=listed, actors=actors)
    kept = sum((t.query_stop - t.query_start) * min(work.top_k, t.item_stop - t.item_start) for t in cut.tiles)
    rows = {"every": num_pairs, "top": min(num_pairs, kept), "labelled": num_labelled}
    log.info(
        "plan        %s pairs (%d queries x %d items, pairs=%s) in %s tiles of at most %d x %d, keep=%s: at most about "
        "%sB; %sexpected %s on %d %s actor(s), from a sample of %d pairs",
        f"{num_pairs:,}",
        num_queries,
        num_items,
        pairs,
        f"{num_tiles:,}",
        max(t.query_stop - t.query_start for t in cut.tiles),
        max(t.item_stop - t.item_start for t in cut.tiles),
        work.keep,
        amount(rows[work.keep] * (np.dtype(work.score_type).itemsize * speed.outputs + 3.0)),
        f"{cut.num_taken:,} pairs are taken over and {num_scored:,} scored; " if cut.taken else "",
        duration(seconds),
        actors,
        "GPU" if uses_gpu(job, work.model) else "CPU",
        speed.pairs,
    )


def settled(model: Model, device: str) -> Model:
    """The model as it is on the first processor that scores: all others then do as that one does."""
    if device == "cpu":
        return model.settle(device)
    return ray.get(ray.remote(num_gpus=1, num_cpus=0)(_settle).remote(model, device))


def _settle(model: Model, device: str) -> Model:
    return model.settle(device)


def _sample(work: Work, device: str) -> Speed:
    corpus = work.corpus()
    queries = corpus.table("queries", ["query_id", "text"])
    clock = time.perf_counter if device == "cpu" else _done_clock
    return time_sample(work.scorer(device), queries, corpus.num_rows("items"), corpus.items, clock)


def time_sample(
    scorer: Scorer,
    queries: pa.Table,
    num_items: int,
    read_items: Callable[[np.ndarray], pa.Table],
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Scores rows spread over the corpus, more and more of them, until the time they take tells what all will take."""

    def once(size_q: int, size_i: int) -> tuple[Encoded, Encoded, np.ndarray]:
        query_rows, item_rows = _spread(len(queries), size_q), _spread(num_items, size_i)
        chosen, items = queries.take(pa.array(query_rows)), read_items(item_rows)
        marks = [clock()]
        encoded_queries = scorer.encode_queries(chosen)
        marks.append(clock())
        encoded_items = scorer.encode_items(items)
        marks.append(clock())
        score_s = _least(lambda: scorer.score(encoded_queries, encoded_items), clock)
        return encoded_queries, encoded_items, np.r_[np.diff(marks), score_s]

    once(1, 1)  # a first call builds what later ones use
    size_q, size_i = FEW_QUERIES, 8  # as many queries as a tile has, since they may share what an item costs
    if once(1, 1)[2][2] > DEAR_S:
        size_q, size_i = 2, 4
    while True:
        encoded_queries, encoded_items, (query_s, item_s, score_s) = once(size_q, size_i)
        every_query, every_item = size_q >= len(queries), size_i >= num_items
        cheap = score_s < SCORE_S and not (every_query and every_item)
        dear = query_s + item_s > ENCODE_S
        if dear or (not cheap and (every_item or query_s + item_s + score_s > SAMPLE_S)):
            break
        size_q, size_i = size_q * 4 if cheap else size_q, size_i * 4
    num_queries, num_sampled = len(encoded_queries), len(encoded_items)
    pair_P2 = np.argwhere(np.ones((num_queries, num_sampled), bool))
    pair_P2 = pair_P2 if score_s < DEAR_S else pair_P2[:FEW_PAIRS]
    listed_s = _least(lambda: scorer.score_pairs(encoded_queries, encoded_items, pair_P2), clock)
    return Speed(
        query_s=query_s / num_queries,
        item_s=item_s / num_sampled,
        pair_s=score_s / (num_queries * num_sampled) + COUNT_S * len(scorer.outputs),
        listed_s=listed_s / len(pair_P2) + COUNT_S * len(scorer.outputs),
        query_bytes=num_bytes(encoded_queries) / num_queries,
        item_bytes=num_bytes(encoded_items) / num_sampled,
        outputs=len(scorer.outputs),
        pairs=num_queries * num_sampled,
    )


def _done_clock() -> float:
    """Seconds, when the GPU has done what it was asked to."""
    wait_for_gpu()
    return time.perf_counter()


def _spread(total: int, size: int) -> np.ndarray:
    """At most `size` of `total` row numbers, evenly apart."""
    return np.unique(np.linspace(0, total - 1, size).astype(np.int64))


def _least(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds it takes; the least of three times where it is short: a busy machine makes one long."""
    taken: list[float] = []
    while len(taken) < 3 and min(taken, default=0.0) < DEAR_S:
        started = clock()
        work()
        taken.append(clock() - started)
    return min(taken)
