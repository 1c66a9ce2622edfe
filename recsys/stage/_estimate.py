"""The plan line before the first tile: pairs, tiles, bytes, and the time expected from a timed sample."""

import logging
import time

import numpy as np
import pyarrow as pa
import ray

from recsys.model import Model
from recsys.stage._cluster import num_actors, uses_gpu
from recsys.stage._corpus import Corpus
from recsys.stage._progress import amount, duration
from recsys.stage._schedule import Work

log = logging.getLogger("recsys")
SAMPLE_S = 0.5  # a sample runs at least this long, or over all items


def announce(work: Work, corpus: Corpus, *, pairs: str, num_pairs: int, num_tiles: int, num_labelled: int) -> float:
    """The plan line: pairs, tiles, bytes, time from a timed sample. Returns seconds for the labelled pairs."""
    job = work.job
    num_items, num_queries = corpus.num_rows("items"), corpus.num_rows("queries")
    gpu = uses_gpu(job, work.model)
    on_gpu = ray.remote(num_gpus=1, num_cpus=0)(_sample)
    timed = ray.get(on_gpu.remote(work, "cuda")) if gpu else _sample(work, "cpu")
    actors = num_actors(job, work.model)
    seconds = num_pairs * timed["pair_s"] + num_items * timed["item_s"] + num_queries * timed["query_s"]
    outputs = timed["outputs"]
    rows = {"every": num_pairs, "top": min(num_pairs, num_queries * work.top_k * num_tiles), "labelled": num_labelled}
    log.info(
        "plan        %s pairs (%d queries x %d items, pairs=%s) in %s tiles, keep=%s: at most about %sB; "
        "expected %s on %d %s actor(s), from a sample of %d pairs",
        f"{num_pairs:,}",
        num_queries,
        num_items,
        pairs,
        f"{num_tiles:,}",
        work.keep,
        amount(rows[work.keep] * (4.0 * outputs + 3)),
        duration(seconds / actors),
        actors,
        "GPU" if gpu else "CPU",
        timed["pairs"],
    )
    return num_labelled * timed["pair_s"] + min(num_labelled, num_items) * timed["item_s"]


def settled(model: Model, device: str) -> Model:
    """The model as it is on the first processor that scores: all others then do as that one does."""
    if device == "cpu":
        return model.settle(device)
    return ray.get(ray.remote(num_gpus=1, num_cpus=0)(_settle).remote(model, device))


def _settle(model: Model, device: str) -> Model:
    return model.settle(device)


def _sample(work: Work, device: str) -> dict[str, float]:
    """Seconds per item encoded, per query encoded and per pair scored, measured on rows spread over the corpus."""
    corpus, scorer = work.corpus(), work.scorer(device)
    num_items = corpus.num_rows("items")
    queries = corpus.table("queries", ["query_id", "text"])
    query_rows = np.unique(np.linspace(0, len(queries) - 1, 8).astype(np.int64))
    size = 32
    while True:
        item_rows = np.unique(np.linspace(0, num_items - 1, size).astype(np.int64))
        items = corpus.items(item_rows)
        marks = [time.perf_counter()]
        encoded_queries = scorer.encode_queries(queries.take(pa.array(query_rows)))
        marks.append(time.perf_counter())
        encoded_items = scorer.encode_items(items)
        marks.append(time.perf_counter())
        scorer.score(encoded_queries, encoded_items)
        marks.append(time.perf_counter())
        if marks[-1] - marks[0] > SAMPLE_S or len(item_rows) < size:
            break
        size *= 4
    query_s, item_s, pair_s = np.diff(marks) / (len(query_rows), len(item_rows), len(query_rows) * len(item_rows))
    num_pairs = len(query_rows) * len(item_rows)
    return {
        "query_s": query_s,
        "item_s": item_s,
        "pair_s": pair_s,
        "pairs": num_pairs,
        "outputs": len(scorer.outputs),
    }
