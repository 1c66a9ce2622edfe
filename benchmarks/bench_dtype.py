"""What a dtype of inference costs in quality: the labelled pairs of a finished run, scored in float32 and in it.

    python -m benchmarks.bench_dtype --run FOLDER [--corpus FOLDER] [--dtype int8] [--json FILE]

FOLDER of --run: a run whose model is a transformer; of --corpus: the run that holds its corpus, if that was reused.
Judged test queries; intervals of the difference resample them (paired, 95 %).
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.stats import spearmanr

from benchmarks._timing import tell
from recsys.metric import Sample, bootstrap
from recsys.metric.ranking import auc, ndcg
from recsys.model import OPTIONS, Supervised
from tests.compose import job

METRICS = {"ndcg@10": ndcg(10), "auc": auc}
REPLICATES = 1000


def opened(run: Path) -> Supervised:
    """The model of the run, as it was configured."""
    settings = json.loads((run / "model" / "_MANIFEST.json").read_text(encoding="utf-8"))["config"]["model"]
    kinds = {option.__name__: option for option in OPTIONS.values()}
    return kinds[settings.pop("type")](**settings | {"dtype": "float32", "batch_tokens": None})


def texts(folder: Path, key: str, ids: pa.ChunkedArray) -> tuple[pa.Table, np.ndarray]:
    """The rows of a corpus table that are named, and which of them each name means."""
    table = pq.read_table(folder).filter(pc.is_in(pq.read_table(folder)[key], ids.unique()))
    return table, pc.index_in(ids, table[key].combine_chunks()).to_numpy()


def sample(labels: pa.Table, pair_P2: np.ndarray, score_P: np.ndarray) -> Sample:
    """The labelled pairs as a metric wants them, judged as conf/target/relevance.yaml says."""
    target = job("report", "name=x").target["relevance"]
    label_P = labels["label"].to_numpy()
    order = np.argsort(pair_P2[:, 0], kind="stable")
    return Sample(
        num_queries=int(pair_P2[:, 0].max()) + 1,
        query_N=pair_P2[order, 0],
        item_N=pair_P2[order, 1],
        score_N=score_P[order],
        probability_N=np.zeros(len(order)),
        positive_N=target.positive(label_P)[order],
        gain_N=target.gain(label_P)[order],
        weight_N=np.ones(len(order)),
    )


def main() -> None:
    """Prints a table and, where asked, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, type=Path)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    corpus = (arguments.corpus or arguments.run) / "corpus"
    model = opened(arguments.run)
    asked = pq.read_table(corpus / "queries")
    tested = asked["query_id"].filter(pc.equal(asked["split"], "test"))
    labels = pq.read_table(corpus / "labels")
    labels = labels.filter(pc.and_(pc.equal(labels["target"], "relevance"), pc.is_in(labels["query_id"], tested)))
    queries, query_P = texts(corpus / "queries", "query_id", labels["query_id"])
    items, item_P = texts(corpus / "items", "item_id", labels["item_id"])
    pair_P2 = np.stack([query_P, item_P], axis=1).astype(np.int64)
    score = {}
    for dtype in ("float32", arguments.dtype):
        scorer = replace(model, dtype=dtype).load(arguments.run / "model", "cpu")
        place = scorer.outputs.index("relevance")
        score[dtype] = scorer.score_pairs(scorer.encode_queries(queries), scorer.encode_items(items), pair_P2)[place]
    tell(records(type(model).__name__, labels, queries, pair_P2, score), arguments.json)


def records(
    name: str, labels: pa.Table, queries: pa.Table, pair_P2: np.ndarray, score: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """The differences between the first dtype and the second."""
    (plain, plain_P), (dtype, other_P) = score.items()
    weight_QR = bootstrap.poisson_weights(queries["query_id"].to_pylist(), REPLICATES, seed=0)
    rows: list[dict[str, Any]] = []
    for metric, compute in METRICS.items():
        plain_R, other_R = (compute(sample(labels, pair_P2, s_P), weight_QR) for s_P in (plain_P, other_P))
        value, low, high = bootstrap.interval(other_R - plain_R, 0.95, num_queries=len(queries))
        rows.append({"name": f"{name} {plain}: {metric}", "value": float(plain_R[0]), "unit": "metric"})
        change = {"name": f"{name} {dtype} - {plain}: {metric}", "value": value, "low": low, "high": high}
        rows.append(change | {"unit": "difference"})
    gap_P = np.abs(other_P - plain_P)
    for what, value, unit in (
        ("pairs", len(gap_P), "count"),
        ("queries", len(queries), "count"),
        ("standard deviation of the score", plain_P.std(), "logit"),
        ("mean absolute difference", gap_P.mean(), "logit"),
        ("largest difference", gap_P.max(), "logit"),
        ("rank correlation", spearmanr(plain_P, other_P).statistic, "Spearman"),
    ):
        rows.append({"name": f"{name} {dtype}: {what}", "value": float(value), "unit": unit})
    return rows


if __name__ == "__main__":
    main()
