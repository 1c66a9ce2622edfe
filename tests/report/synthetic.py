"""A shop small enough for a test whose true probabilities are known: what a report is checked against."""

import numpy as np
import pyarrow as pa

from recsys.report._evaluation import Evaluation
from recsys.target import Click, Purchase, Relevance

TARGETS = {
    "relevance": Relevance(name="relevance", max_label=3.0, positive_label=2.0, gain_map="exponential"),
    "click": Click(name="click"),
    "purchase": Purchase(name="purchase", exposure="impression"),
}


def evaluation(
    *,
    num_queries: int = 60,
    num_items: int = 300,
    judged: int = 12,
    targets: tuple[str, ...] = ("relevance",),
    full: bool = True,
    learned: bool = True,
    signal: float = 1.5,
    seed: int = 0,
    names: tuple[str, ...] = ("Drill", "Lamp", "Sofa", "Rug"),
) -> Evaluation:
    """Scores are the true logit and labels are drawn from the true probability, so the column `probability` is
    calibrated by construction and `uncalibrated` is not. Of five queries one is train, one validation, three test."""
    rng = np.random.default_rng(seed)
    query_ids = [f"q{i:04d}" for i in range(num_queries)]
    item_ids = [f"i{i:05d}" for i in range(num_items)]
    frequency_Q = np.ceil(1000 / np.arange(5, num_queries + 5) ** 0.7)
    split_Q = np.array(["test", "train", "test", "validation", "test"])[np.arange(num_queries) % 5]
    truth_QI = signal * rng.normal(size=(num_queries, num_items)) - 1.0
    logit_QI = truth_QI.astype(np.float32)
    calibrated, ranks, top = [], [], []
    popularity = 1 / np.arange(1, num_items + 1)
    for q in range(num_queries):
        order = np.lexsort((np.arange(num_items), -logit_QI[q]))
        above = np.searchsorted(np.sort(-logit_QI[q]), -logit_QI[q], "left")
        items = np.sort(
            rng.choice(num_items, size=min(judged, num_items), replace=False, p=popularity / popularity.sum())
        )
        for name in targets:
            shift = {"relevance": 0.0, "click": -1.0, "purchase": -3.0}[name]
            p = 1 / (1 + np.exp(-(logit_QI[q, items].astype(float) + shift)))
            y = rng.random(len(items)) < p
            label = (
                np.where(y, 2 + (rng.random(len(items)) < 0.5), rng.random(len(items)) < 0.5)
                if name == "relevance"
                else y
            )
            for i, item in enumerate(items):
                score = float(logit_QI[q, item])
                calibrated.append(
                    {
                        "query_id": query_ids[q],
                        "item_id": item_ids[item],
                        "target": name,
                        "label": float(label[i]),
                        "weight": 1.0,
                        "split": str(split_Q[q]),
                        "score": score,
                        "uncalibrated": 1 / (1 + np.exp(-2 * score - 1)),
                        "probability": float(p[i]),
                    }
                )
        ranks += [
            {
                "query_id": query_ids[q],
                "item_id": item_ids[i],
                "output": "match",
                "num_above": int(above[i]),
                "num_tied": 1,
                "num_items": num_items,
            }
            for i in items
        ]
        top += [
            {
                "query_id": query_ids[q],
                "output": "match",
                "rank": r + 1,
                "item_id": item_ids[order[r]],
                "score": float(logit_QI[q, order[r]]),
                "model": "split_encoder",
            }
            for r in range(min(10, num_items))
        ]
    rank_schema = [(n, pa.string()) for n in ("query_id", "item_id", "output")]
    rank_schema += [(n, pa.int64()) for n in ("num_above", "num_tied", "num_items")]
    top_schema = [("query_id", pa.string()), ("output", pa.string()), ("rank", pa.int32()), ("item_id", pa.string())]
    top_schema += [("score", pa.float32()), ("model", pa.string())]
    label_table = pa.Table.from_pylist(calibrated)
    label_table = label_table.set_column(6, "score", label_table["score"].cast(pa.float32()))
    return Evaluation(
        run="autumn",
        source="shop",
        model="split_encoder",
        created="2026-01-31",
        seed=7,
        learned=learned,
        outputs=("match",),
        targets={t: TARGETS[t] for t in targets},
        queries=pa.table(
            {
                "query_id": query_ids,
                "text": [f"{names[q % len(names)].lower()} {q}" for q in range(num_queries)],
                "kind": ["search"] * num_queries,
                "locale": pa.array([("us", "de")[q % 2] for q in range(num_queries)]),
                "frequency": frequency_Q,
                "split": split_Q.tolist(),
            }
        ),
        items=pa.table(
            {
                "item_id": item_ids,
                "text": [f"{names[i % len(names)]} {i}" for i in range(num_items)],
                "title": [f"{names[i % len(names)]} {i}" for i in range(num_items)],
                "category": [names[i % len(names)] for i in range(num_items)],
                "brand": [f"brand {int(i**0.5)}" for i in range(num_items)],
                "price": (1.0 + np.arange(num_items) % 97),
                "locale": pa.nulls(num_items, pa.string()),
            }
        ),
        calibrated=label_table,
        ranks=pa.Table.from_pylist(ranks if full else [], schema=pa.schema(rank_schema)),
        top=pa.Table.from_pylist(top if full else [], schema=pa.schema(top_schema)),
        calibration={
            t: {
                "chosen": "beta",
                "candidates": [
                    {"name": "identity", "log_loss": 0.62, "low": 0.59, "high": 0.66},
                    {"name": "beta", "log_loss": 0.48, "low": 0.46, "high": 0.50},
                    {"name": "isotonic", "log_loss": 0.481, "low": 0.46, "high": 0.51},
                ],
            }
            for t in targets
        },
        rows={
            "items": {
                "in": num_items + 40,
                "out": num_items,
                "merged": {"same_text": 30},
                "quarantined": {"null_text": 10},
            },
            "queries": {"in": num_queries, "out": num_queries, "merged": {}, "quarantined": {}},
        },
        num_labels=label_table.num_rows,
        num_pairs=num_queries * num_items,
        num_queries=num_queries,
        num_items=num_items,
    )
