"""Labelled rows of any number as Parquet files, from a seed, chunk by chunk; and the tables of their slices."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PER_QUERY = 100  # rows
NUM_ITEMS = 100_000
CHUNK = 10_000  # queries of a row group
DEVICES = ("phone", "tablet", "desktop")


def tables(num_queries: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """Queries with eight columns and items with ten that become slices."""
    rng = np.random.default_rng((seed, 0))
    words = pa.array([f"value {v}" for v in range(12)])
    queries = {"query_id": np.arange(num_queries, dtype=np.int32), "frequency": np.ceil(rng.pareto(1.0, num_queries))}
    for c in range(7):
        queries[f"trait_{c}"] = words.take(pa.array(rng.integers(0, 4 + c, num_queries)))
    items = {"item_id": np.arange(NUM_ITEMS, dtype=np.int32), "popularity": rng.pareto(1.0, NUM_ITEMS)}
    items["price"] = rng.lognormal(3, 1, NUM_ITEMS)
    for c in range(8):
        items[f"feature_{c}"] = words.take(pa.array(rng.integers(0, 4 + c, NUM_ITEMS)))
    return pa.table(queries), pa.table(items)


def write(folder: Path, num_rows: int, num_files: int, seed: int = 0) -> tuple[list[str], pa.Table, pa.Table]:
    """Files of whole queries; labels are drawn from the sigmoid of the score, so that it is calibrated. The tables."""
    num_queries = num_rows // PER_QUERY
    rng = np.random.default_rng((seed, 1))
    query_Q = rng.normal(size=num_queries).astype(np.float32) / 2
    item_I = rng.normal(size=NUM_ITEMS).astype(np.float32) / 2
    edges = np.linspace(0, num_queries, num_files + 1).astype(int)
    paths = []
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        paths.append(str(folder / f"rows-{number:03d}.parquet"))
        writer = None
        for first in range(start, stop, CHUNK):
            table = _chunk(first, min(first + CHUNK, stop), query_Q, item_I, seed)
            writer = writer or pq.ParquetWriter(paths[-1], table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()
    return paths, *tables(num_queries, seed)


def _chunk(start: int, stop: int, query_Q: np.ndarray, item_I: np.ndarray, seed: int) -> pa.Table:
    rng = np.random.default_rng((seed, 2, start))
    num, size = stop - start, (stop - start) * PER_QUERY
    query_N = np.repeat(np.arange(start, stop, dtype=np.int32), PER_QUERY)
    place_N = np.tile(np.arange(PER_QUERY), num)
    item_N = ((np.repeat(rng.integers(0, NUM_ITEMS, num), PER_QUERY) + place_N * 7919) % NUM_ITEMS).astype(np.int32)
    score_N = rng.standard_normal(size, dtype=np.float32) + query_Q[query_N] + item_I[item_N] - np.float32(2)
    clicked_N = rng.random(size, dtype=np.float32) < 1 / (1 + np.exp(-score_N))
    device = pa.DictionaryArray.from_arrays(pa.array(rng.integers(0, 3, size).astype(np.int8)), pa.array(DEVICES))
    return pa.table(
        {
            "query_id": query_N,
            "item_id": item_N,
            "label": clicked_N.astype(np.float32),
            "score": score_N,
            "position": (place_N // 10 + 1).astype(np.int8),
            "device": device.cast(pa.string()),
        }
    )
