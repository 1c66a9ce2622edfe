"""How well each model ranks: cross-validation over queries, several seeds, intervals paired by query.

    python -m benchmarks.bench_quality --model FOLDER --data FOLDER [--work FOLDER] [--json FILE] [--figure FILE]
        [--quick] [--seeds N] [--epochs N] [--only MODEL ...]

FOLDER of --model: a Hugging Face encoder such as all-MiniLM-L6-v2; of --data: the chorus_icecat catalogue. Every model
has the same labels, epochs, batches and learning rate, and is tested on the judged pairs of queries that it has not
seen. `shop` is another question, on the built-in shop, whose labels are many: of what a full model is better there than
a two-tower, how much does the split encoder recover?

Each (model, fold, seed) is one file in the folder of --work: given again, the same command goes on where it ended. What
a pair costs is measured at the end, with untrained heads: texts to scores in memory, encoding included.

Shapes: Q queries, D of them with a figure, R weightings of the queries.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmarks._study import FOLDS, MODELS, PEER, Study, peer_model, scorer
from benchmarks._timing import Contender, alternate, rate_rows, tell
from recsys.metric import ranking
from recsys.metric.bootstrap import interval, poisson_weights
from recsys.scorer import Scorer

REPLICATES = 1000
QUICK = ("random", "bm25", "two_tower", "split_encoder_j2")
RIVALS = ("two_tower", "cross_encoder", "cross_encoder_residual")
SHOP = ("two_tower", "split_encoder_j2", "cross_encoder")
SHOP_SOURCE = (
    "source=shop",
    *("source.num_items=4000", "source.num_search_queries=1500", "source.num_users=0", "source.num_sessions=10"),
    *("source.num_judged_queries=1500", "source.judge_noise=0.1"),
)
SHOP_MODEL = ("model.hidden_size=32", "model.num_layers=2")


def chorus(data: str, pretrained: str, work: Path, epochs: int) -> Study:
    """Titles of the catalogue, models that start from the encoder."""
    return Study(
        folder=work / f"chorus-{epochs}-epochs",
        source=("source=chorus", f"source.path={data}", "source.fields=[title]"),
        training=("training=finetune", f"training.epochs={epochs}"),
        model=(f"model.pretrained={pretrained}",),
    )


def shop(work: Path, epochs: int = 4) -> Study:
    """30,000 judgments of the built-in shop, narrow models from scratch: with so many labels reading pairs pays."""
    return Study(
        folder=work / f"shop-{epochs}-epochs",
        source=SHOP_SOURCE,
        training=("training=scratch", f"training.epochs={epochs}"),
        model=SHOP_MODEL,
    )


def evaluate(study: Study, names: tuple[str, ...], folds: range, num_seeds: int) -> dict[str, dict[str, np.ndarray]]:
    """model -> metric -> value_R: of every fold and seed alone, then the mean."""
    for seed in range(num_seeds):  # every model once before any model twice
        for fold in folds:
            for name in names:
                study.scores(name, fold, seed)
    weight_QR = poisson_weights(study.queries["query_id"].to_pylist(), REPLICATES, 0)
    return {name: _values(study, name, folds, num_seeds, weight_QR) for name in names}


def _values(study: Study, name: str, folds: range, num_seeds: int, weight_QR: np.ndarray) -> dict[str, np.ndarray]:
    values: dict[str, list[np.ndarray]] = {"ndcg@10": [], "auc": []}
    for seed in range(num_seeds):
        per_query: list[np.ndarray] = []
        for fold in folds:
            sample = study.sample(study.fold(fold)[1], study.scores(name, fold, seed))
            per_query.append(ranking.ndcg(10).value(sample))
            values["auc"].append(ranking.auc(sample, weight_QR))
        value_Q = np.stack(per_query)
        mask_Q = np.isfinite(value_Q).any(0)
        weight_DR = weight_QR[mask_Q]
        values["ndcg@10"].append(np.nansum(value_Q, 0)[mask_Q] @ weight_DR / weight_DR.sum(0))
    return {metric: np.mean(v, axis=0) for metric, v in values.items()}


def _row(name: str, value_R: np.ndarray, unit: str, num_queries: int) -> dict[str, Any]:
    value, low, high = interval(value_R, 0.95, num_queries=num_queries)
    return {"name": name, "value": value, "low": low, "high": high, "unit": unit}


def quality_rows(results: dict[str, dict[str, np.ndarray]], num_queries: int) -> list[dict[str, Any]]:
    """Records of every model, and of the encoders between two-tower and cross-encoder against the better of them."""
    rows = [_row(f"{n}/{m}", v, m, num_queries) for n, values in results.items() for m, v in values.items()]
    rivals = [name for name in RIVALS if name in results]
    for name in results:
        if not name.startswith(("split_encoder", "late_interaction")) or not rivals:
            continue
        for metric, value_R in results[name].items():
            best = max(rivals, key=lambda n, m=metric: results[n][m][0])
            rows.append(_row(f"{name}/{metric}_minus_best", value_R - results[best][metric], best, num_queries))
    return rows


def shop_rows(results: dict[str, dict[str, np.ndarray]], num_queries: int) -> list[dict[str, Any]]:
    """Records of the shop: the full model's lead over the two-tower in nDCG@10, and the share recovered of it."""
    towers_R, split_R, full_R = (results[name]["ndcg@10"] for name in SHOP)
    rows = [_row(f"shop/{n}/ndcg@10", results[n]["ndcg@10"], "ndcg@10", num_queries) for n in SHOP]
    lead_R = full_R - towers_R
    rows.append(_row("shop/cross_encoder/lead", lead_R, "ndcg@10", num_queries))
    rows.append(_row("shop/split_encoder_j2/lead_recovered", (split_R - towers_R) / lead_R, "share", num_queries))
    return rows


def pairs_per_s(study: Study, names: tuple[str, ...], repeats: int) -> dict[str, list[float]]:
    """Rates of scoring a grid of all queries and some items, in turns."""
    contenders = []
    for name in names:
        items = study.items.slice(0, 8 if MODELS[name][0] == "model=cross_encoder" else 512)
        peer = name == PEER
        work = _peer_work(study, items) if peer else _work(scorer(study, study.option(name), 0, None), study, items)
        contenders.append(Contender(name, work, len(study.queries) * len(items)))
    return alternate(contenders, repeats)


def _work(model: Scorer, study: Study, items: pa.Table) -> Callable[[], object]:
    return lambda: model.score(model.encode_queries(study.queries), model.encode_items(items))


def _peer_work(study: Study, items: pa.Table) -> Callable[[], object]:
    pairs = [[q, i] for q in study.queries["text"].to_pylist() for i in items["text"].to_pylist()]
    return partial(peer_model(study.option(PEER)).predict, pairs, show_progress_bar=False)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Quality against cost: nDCG@10 with its interval over core-seconds of a million pairs."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "recsys"
    found = {row["name"]: row for row in rows}
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for name in (n for n in MODELS if f"{n}/pairs_per_s" in found):
        cost = 1e6 * torch.get_num_threads() / found[f"{name}/pairs_per_s"]["value"]
        quality = found[f"{name}/ndcg@10"]
        whisker = [[quality["value"] - quality["low"]], [quality["high"] - quality["value"]]]
        axes.errorbar(cost, quality["value"], whisker, fmt="o", capsize=3, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("core-seconds for a million pairs, texts to scores")
    axes.set_ylabel("nDCG@10, mean and 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    plt.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, help="kept scores; a temporary folder if not given")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path, help="SVG of quality against cost")
    parser.add_argument("--quick", action="store_true", help="one fold, one seed, four models")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=(*MODELS, "shop"))
    arguments = parser.parse_args()
    chosen = arguments.only or (QUICK if arguments.quick else (*MODELS, "shop"))
    names = tuple(name for name in chosen if name != "shop")
    folds, num_seeds = (range(1), 1) if arguments.quick else (range(FOLDS), arguments.seeds)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).absolute()
        if names:
            study = chorus(arguments.data, arguments.model, work, arguments.epochs)
            rows += quality_rows(evaluate(study, names, folds, num_seeds), study.num_tested(folds))
            rates = pairs_per_s(study, names, repeats=3)
            rows += rate_rows({f"{name}/pairs_per_s": rate for name, rate in rates.items()}, "pairs/s")
        if "shop" in chosen:
            study = shop(work)
            rows += shop_rows(evaluate(study, SHOP, range(1), num_seeds), study.num_tested(range(1)))
    tell(rows, arguments.json)
    if arguments.figure and names:
        draw(rows, arguments.figure)


if __name__ == "__main__":
    main()
