"""How fast numbers are made: exact AUC and ranking beside their peers, and a whole balanced report of many rows.

    python -m benchmarks.bench_metrics [--quick] [--json FILE] [--only auc,ranking,report] [--rows N] [--repeats N]

All contenders of a part get the same rows and take turns; before anything is timed their results must agree. The report
is a job of its own: Parquet in, all records out, everyone's proportional memory summed while it runs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import ir_measures
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from ir_measures import AP, RR, R, nDCG
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.classification import binary_auroc

from benchmarks import _labelled_rows
from benchmarks._timing import Contender, alternate, rate_rows, ratio_row, tell
from benchmarks._whole_job import family, proportional
from recsys.metric.exact_auc import exact_auc
from recsys.metric.state_grid import order_key
from recsys.metric.state_ranking import PairSet, rank

EVERY_S = 2.0  # between two looks at the memory
SHARES = {"sparse": 0.01, "dense": 0.4}  # of positives

RANKED = """
with ranked as (select positive, rank() over (order by score) + (count(*) over (partition by score) - 1) / 2.0 as place
                from rows)
select (sum(place) filter (positive) - n * (n + 1) / 2.0) / (n * (count(*) - n))
from ranked, (select count(*) filter (positive) as n from rows) group by n
"""
GROUPED = """
with cells as (select score, count(*) filter (positive) as p, count(*) filter (not positive) as n
               from rows group by score),
     below as (select p, n, sum(n) over (order by score) - n / 2.0 as b from cells)
select sum(p * b) / (sum(p) * sum(n)) from below
"""


def auc_rows(num_rows: int, repeats: int) -> list[dict[str, Any]]:
    """Exact AUC of float32 scores in memory."""
    made: list[dict[str, Any]] = []
    for kind, share in SHARES.items():
        rng = np.random.default_rng(0)
        positive_N = rng.random(num_rows) < share
        score_N = rng.standard_normal(num_rows, dtype=np.float32) + positive_N
        work = _auc_contenders(score_N, positive_N)
        values = {name: float(one()) for name, one in work.items()}
        for name, value in values.items():
            near = 1e-3 if name == "torchmetrics" else 1e-9  # it sums in float32
            assert abs(value - values["recsys"]) < near, f"{name}: {value} and {values['recsys']}"
        rates = alternate([Contender(f"auc/{kind}/{name}", one, num_rows) for name, one in work.items()], repeats)
        made += rate_rows(rates, "rows/s")
        ours = rates[f"auc/{kind}/recsys"]
        made.append(ratio_row(f"auc/vs_scikit_learn_{kind}", ours, rates[f"auc/{kind}/scikit-learn"]))
        made.append(ratio_row(f"auc/vs_torchmetrics_{kind}", ours, rates[f"auc/{kind}/torchmetrics"]))
        error = abs(values["torchmetrics"] - values["recsys"])
        made.append({"name": f"auc/{kind}/torchmetrics_error", "value": error, "unit": "AUC"})
        for peer in ("duckdb", "polars"):
            of_peer = [v for n, v in rates.items() if f"/{peer}" in n]
            best = max(of_peer, key=lambda rate: sorted(rate)[len(rate) // 2])
            suffix = "" if kind == "sparse" else "_dense"
            made.append(ratio_row(f"auc/vs_{peer}{suffix}", ours, best))
    return made


def _auc_contenders(score_N: np.ndarray, positive_N: np.ndarray) -> dict[str, Callable[[], float]]:
    rows = pa.table({"score": score_N, "positive": positive_N})
    frame = polars.from_arrow(rows)
    connection = duckdb.connect()
    connection.register("arrow_rows", rows)
    connection.execute("create table rows as select * from arrow_rows")
    num, num_positive = len(score_N), int(positive_N.sum())
    share_N, label_N = torch.from_numpy(score_N).double().sigmoid(), torch.from_numpy(positive_N).long()

    def by_rank() -> float:
        place = polars.col("score").rank("average").filter(polars.col("positive")).sum()
        return (frame.select(place).item() - num_positive * (num_positive + 1) / 2) / (
            num_positive * (num - num_positive)
        )

    def by_group() -> float:
        p, n = polars.col("p").cast(polars.Float64), polars.col("n").cast(polars.Float64)
        counts = polars.col("positive").sum().alias("p"), (~polars.col("positive")).sum().alias("n")
        cells = frame.group_by("score").agg(*counts).sort("score")
        return cells.select((p * (n.cum_sum() - n / 2)).sum() / (p.sum() * n.sum())).item()

    return {
        "recsys": lambda: exact_auc(score_N, positive_N),
        "scikit-learn": lambda: roc_auc_score(positive_N, score_N),
        "torchmetrics": lambda: float(binary_auroc(share_N, label_N)),
        "duckdb, ranks": lambda: connection.execute(RANKED).fetchall()[0][0],
        "duckdb, groups": lambda: connection.execute(GROUPED).fetchall()[0][0],
        "polars, ranks": by_rank,
        "polars, groups": by_group,
    }


def ranking_rows(num_queries: int, repeats: int) -> list[dict[str, Any]]:
    """nDCG@10, MRR, MAP and recall@10 of every query, and our GAUC on top.

    Both start from the same arrays of ids and scores: ours packs them, theirs becomes the list of documents that it is
    quickest with. `prepared` starts from that list. Its judgments are taken in before, which is not timed.
    """
    size = _labelled_rows.PER_QUERY
    rng = np.random.default_rng(0)
    query_N, place_N = np.repeat(np.arange(num_queries), size), np.tile(np.arange(size), num_queries)
    score_N = rng.permutation(num_queries * size).astype(np.float32)
    gain_N = (rng.integers(1, 4, len(query_N)) * (rng.random(len(query_N)) < 0.1)).astype(np.float64)
    gain_N[::size] = np.maximum(gain_N[::size], 1)  # every query has a positive: nobody has to leave one out
    metrics = [nDCG @ 10, RR, AP, R @ 10]
    names = [f"q{q}" for q in query_N], [f"d{p}" for p in place_N]
    qrels = [ir_measures.Qrel(q, d, int(g)) for q, d, g in zip(*names, gain_N, strict=True)]
    prepared = documents(*names, score_N)
    evaluator = ir_measures.evaluator(metrics, qrels)

    def ours() -> list[float]:
        ranked = rank(PairSet.of(query_N, order_key(score_N), gain_N, gain_N > 0), num_queries, 10)
        has_Q = ranked.num_positive > 0
        most_Q = ranked.num_positive * (ranked.num_pairs - ranked.num_positive)
        assert 0 <= float((1 - ranked.auc_lost / (2 * np.maximum(most_Q, 1))).mean()) <= 1
        return [float(value_Q[has_Q].mean()) for value_Q in (ranked.ndcg, ranked.mrr, ranked.map, ranked.recall)]

    def theirs(run: list[Any]) -> list[float]:
        values: dict[Any, list[float]] = {metric: [] for metric in metrics}
        for value in evaluator.iter_calc(run):
            values[value.measure].append(value.value)
        return [float(np.mean(values[metric])) for metric in metrics]

    for one, other in zip(ours(), theirs(prepared), strict=True):
        assert abs(one - other) < 1e-9, (one, other)
    amount = len(query_N)
    work = {
        "recsys": ours,
        "ir_measures": lambda: theirs(documents(*names, score_N)),
        "ir_measures_prepared": lambda: theirs(prepared),
    }
    rates = alternate([Contender(f"ranking/{name}", one, amount) for name, one in work.items()], repeats)
    peers = [name for name in work if name != "recsys"]
    found = [ratio_row(f"ranking/vs_{name}", rates["ranking/recsys"], rates[f"ranking/{name}"]) for name in peers]
    return [*rate_rows(rates, "rows/s"), *found]


def documents(query_N: list[str], item_N: list[str], score_N: np.ndarray) -> list[Any]:
    """A run as ir_measures takes it."""
    return [ir_measures.ScoredDoc(q, d, s) for q, d, s in zip(query_N, item_N, score_N.tolist(), strict=True)]


def report_rows(num_rows: int, root: Path, workers: int) -> list[dict[str, Any]]:
    """The whole balanced report, from Parquet to the page, in processes of its own."""
    folder = root / f"rows-{num_rows}"
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    _, queries, items = _labelled_rows.write(folder, num_rows, num_files=max(2, num_rows // 5_000_000))
    pq.write_table(queries, folder / "queries.parquet")
    pq.write_table(items, folder / "items.parquet")
    shutil.rmtree(folder / "runs", ignore_errors=True)
    print(f"{num_rows:,} rows written in {time.perf_counter() - started:.0f} s", flush=True)
    log = folder / "job.log"
    started = time.perf_counter()
    with log.open("wb") as stream:
        files = [f"rows.path={folder}/rows-*.parquet", f"cuts.queries={folder}/queries.parquet"]
        files += [f"cuts.items={folder}/items.parquet", "cuts.rows=[position,device]"]
        named = [f"store.root={folder}/runs", "name=report", f"resources.actors={workers}"]
        command = [sys.executable, "-m", "ray_jobs.evaluate", *files, *named]
        driver = subprocess.Popen(command, stdout=stream, stderr=stream)
        peak, spent = 0, {}
        while driver.poll() is None:
            everyone = family(driver.pid)
            peak = max(peak, sum(map(proportional, everyone)))
            spent |= {pid: max(cpu_s(pid), spent.get(pid, 0.0)) for pid in everyone}
            time.sleep(EVERY_S)
    seconds = time.perf_counter() - started
    if driver.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    made = json.loads((folder / "runs/report/report/metrics.json").read_text())
    slices = {r["slice"] for r in made if not r["slice"].endswith(("=*", "=tail vs head"))} - {"overall"}
    slicings = {name.partition("=")[0] for name in slices}
    about = {"rows": num_rows, "slicings": len(slicings), "slices": len(slices), "records": len(made)}
    return [
        {"name": "report/rows_per_s", "value": num_rows / seconds, "unit": "rows/s", **about},
        {"name": "report/seconds", "value": seconds, "unit": "s", **about},
        {"name": "report/cpu_s", "value": sum(spent.values()), "unit": "s", **about},
        {"name": "report/peak_memory_bytes", "value": peak, "unit": "bytes", **about},
    ]


def cpu_s(pid: int) -> float:
    """Processor time of a process so far; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Prints a table and, where asked, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="auc,ranking,report")
    parser.add_argument("--rows", type=lambda text: int(float(text)), help="of the report")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the rows of the report go, and stay")
    given = parser.parse_args()
    parts = {
        "auc": lambda root: auc_rows(2_000_000 if given.quick else 10_000_000, given.repeats),
        "ranking": lambda root: ranking_rows(5_000 if given.quick else 20_000, given.repeats),
        "report": lambda root: report_rows(given.rows or (2_000_000 if given.quick else 10**8), root, given.workers),
    }
    if unknown := set(given.only.split(",")) - set(parts):
        parser.error(f"--only knows {', '.join(parts)}; not {', '.join(sorted(unknown))}")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in given.only.split(","):
            rows += parts[name](given.folder or Path(temporary))
            print(f"{name}: done", flush=True)
    tell(rows, given.json)


if __name__ == "__main__":
    main()
