"""BM25 over a whole catalogue: our scorer beside bm25s, same texts, same tokens, same thread, alternating.

    python -m benchmarks.bench_bm25 [--json FILE] [--items N] [--queries N] [--repeats N]

Both score every query with every item into RAM; before anything is timed, their scores must agree to 1e-3.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bm25s
import numpy as np
import pyarrow as pa

from recsys.model import Bm25
from recsys.model.bm25 import tokenize
from tests.compose import job


def texts(num_items: int, num_queries: int) -> tuple[pa.Table, pa.Table]:
    """Items and search queries of the built-in shop."""
    shop = job(
        "prepare",
        "name=x",
        f"source.num_items={num_items}",
        f"source.num_search_queries={num_queries}",
        "source.num_users=0",
        f"source.num_judged_queries={num_queries}",
    ).source
    shop.corruption = dict.fromkeys(shop.corruption, 0.0)
    items, queries = (pa.concat_tables(list(shop.read(name))) for name in ("items", "queries"))
    return items, queries


def timed(work: Callable[[], np.ndarray]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Prints a table and, where asked, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    items, queries = texts(arguments.items, arguments.queries)
    model = Bm25(k1=1.5, b=0.75, stopwords=None)
    with tempfile.TemporaryDirectory() as folder:
        model.fit(queries, items, 0, Path(folder))
        scorer = model.load(Path(folder), "cpu")
    encoded_queries, encoded_items = scorer.encode_queries(queries), scorer.encode_items(items)
    token_lists = [tokenize([text], None)[0] for text in queries["text"].to_pylist()]
    peer = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    peer.index([tokenize([text], None)[0] for text in items["text"].to_pylist()], show_progress=False)

    def ours() -> np.ndarray:
        return scorer.score(encoded_queries, encoded_items)[0]

    def theirs() -> np.ndarray:
        return np.stack([peer.get_scores(tokens) for tokens in token_lists])

    assert np.abs(ours() - theirs()).max() < 1e-3
    seconds: dict[str, list[float]] = {"recsys": [], "bm25s": []}
    for _ in range(arguments.repeats):
        seconds["recsys"].append(timed(ours))
        seconds["bm25s"].append(timed(theirs))
    num_pairs = len(items) * len(queries)
    rows = [
        {
            "name": f"bm25 every pair, {name}",
            "value": num_pairs / statistics.median(values),
            "low": num_pairs / max(values),
            "high": num_pairs / min(values),
            "unit": "pairs/s",
        }
        for name, values in seconds.items()
    ]
    ratio = statistics.median(seconds["bm25s"]) / statistics.median(seconds["recsys"])
    rows.append({"name": "bm25 every pair, recsys over bm25s", "value": ratio, "unit": "ratio"})
    for row in rows:
        span = f"[{row['low']:,.3g}, {row['high']:,.3g}]" if "low" in row else ""
        print(f"{row['name']:<40} {row['value']:>14,.3g} {row['unit']} {span}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
