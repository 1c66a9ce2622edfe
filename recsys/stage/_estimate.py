"""The plan line before the first tile: pairs, tiles, bytes, and the time expected from a timed sample."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import ray

from recsys.model import Model
from recsys.scorer import num_bytes
from recsys.stage._cluster import num_actors, uses_gpu
from recsys.stage._corpus import Corpus
from recsys.stage._progress import amount, duration
from recsys.stage._schedule import Cut, Work

log = logging.getLogger("recsys")
SAMPLE_S = 0.5  # a sample runs at least this long, or over all items
SCORE_S = 2e-3  # and scores this long, or all pairs: the call itself takes as long as thousands of cheap pairs
COUNT_S = 4e-8  # to count a score, whatever it cost: see benchmarks/README.md


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What one scoring actor takes, measured on rows spread over the corpus."""

    query_s: float  # to encode one
    item_s: float
    pair_s: float  # to score one and count it
    query_bytes: float  # of one encoded
    item_bytes: float
    outputs: int
    pairs: int  # of the sample

    def seconds(self, *, pairs: int, queries: int, items: int) -> float:
        return pairs * self.pair_s + queries * self.query_s + items * self.item_s


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
    actors = num_actors(job, work.model)
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
        duration(speed.seconds(pairs=num_scored, queries=num_queries, items=asked_items) / actors),
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
    corpus, scorer = work.corpus(), work.scorer(device)
    num_items = corpus.num_rows("items")
    queries = corpus.table("queries", ["query_id", "text"])
    size_q, size_i = 8, 32
    while True:
        query_rows, item_rows = (
            np.unique(np.linspace(0, total - 1, size).astype(np.int64))
            for total, size in ((len(queries), size_q), (num_items, size_i))
        )
        items = corpus.items(item_rows)
        marks = [time.perf_counter()]
        encoded_queries = scorer.encode_queries(queries.take(pa.array(query_rows)))
        marks.append(time.perf_counter())
        encoded_items = scorer.encode_items(items)
        marks.append(time.perf_counter())
        score_s = _least(lambda pair=(encoded_queries, encoded_items): scorer.score(*pair))
        cheap = score_s < SCORE_S and len(query_rows) * len(item_rows) < len(queries) * num_items
        if not cheap and (time.perf_counter() - marks[0] > SAMPLE_S or len(item_rows) < size_i):
            break
        size_q, size_i = size_q * (4 if cheap else 1), size_i * 4
    pairs = len(query_rows) * len(item_rows)
    query_s, item_s = np.diff(marks) / (len(query_rows), len(item_rows))
    return Speed(
        query_s=float(query_s),
        item_s=float(item_s),
        pair_s=score_s / pairs + COUNT_S * len(scorer.outputs),
        query_bytes=num_bytes(encoded_queries) / len(query_rows),
        item_bytes=num_bytes(encoded_items) / len(item_rows),
        outputs=len(scorer.outputs),
        pairs=pairs,
    )


def _least(work: Callable[[], object]) -> float:
    """Seconds it takes; the least of three times where it is short: a first call, or a busy machine, makes it long."""
    taken: list[float] = []
    while len(taken) < 3 and min(taken, default=0.0) < 10 * SCORE_S:
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)
