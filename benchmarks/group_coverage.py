"""How often 95 % intervals hold the truth when groups of queries are resampled instead of queries.

    python -m benchmarks.group_coverage [--samples N] [--queries N] [--json FILE]

Every sample has queries of its own levels of scores and clicks; the truth is that of 100,000 further queries. The same
samples go the exact way (each query with its own weight) and through a state (256 groups, 32 coarse cells).
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks._timing import tell
from recsys.metric import Metric, Sample, num_queries, ranking, reliability
from recsys.metric.bootstrap import interval, poisson_weights
from recsys.metric.state import Layout
from recsys.metric.state_builder import Builder
from recsys.metric.state_estimate import Estimates
from recsys.metric.state_grid import Grid, order_key, survey
from recsys.seed import hash_ids

ROWS = 20  # of a query
METRICS: dict[str, tuple[Metric | None, str]] = {
    "auc": (ranking.auc, "logit"),
    "gauc": (ranking.gauc, "logit"),
    "ndcg": (ranking.ndcg(10), "logit"),
    "log_loss": (reliability.log_loss, "log"),
    "positive_rate": (None, "logit"),
}


def draw(num: int, seed: int) -> Sample:
    """Queries that differ in level, in how well they rank, and in how far their probabilities are off."""
    rng = np.random.default_rng(seed)
    query_N = np.repeat(np.arange(num), ROWS)
    level_Q, skill_Q, shift_Q = rng.normal(-1, 1, num), rng.normal(1, 0.5, num), rng.normal(0, 0.5, num)
    score_N = (level_Q[query_N] + rng.normal(size=len(query_N)) * skill_Q[query_N]).astype(np.float32)
    positive_N = rng.random(len(query_N)) < expit(score_N + shift_Q[query_N])
    return Sample(
        num_queries=num,
        query_N=query_N,
        item_N=np.tile(np.arange(ROWS), num),
        score_N=score_N,
        probability_N=expit(score_N.astype(np.float64)),
        positive_N=positive_N,
        gain_N=positive_N.astype(np.float64),
        weight_N=np.ones(len(query_N)),
    )


def value_of(name: str, sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    """value_R the exact way."""
    metric = METRICS[name][0]
    if metric is not None:
        return metric(sample, weight_QR)
    positive_Q = np.bincount(sample.query_N, sample.positive_N)
    return (positive_Q @ weight_QR) / (ROWS * weight_QR.sum(axis=0))


def main() -> None:
    """Prints a table and, where asked, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    population = draw(100_000, 10**9)
    truth = {name: float(value_of(name, population, np.ones((100_000, 1)))[0]) for name in METRICS}
    held = {(name, way): 0 for name in METRICS for way in ("queries", "groups")}
    widths: dict[tuple[str, str], list[float]] = {key: [] for key in held}
    ids = [f"query {q}" for q in range(given.queries)]
    for seed in range(given.samples):
        sample = draw(given.queries, seed)
        weight_QR = poisson_weights(ids, 200, seed)
        grid = Grid.fitted(survey(order_key(sample.score_N), sample.positive_N), 4096, 32)
        builder = Builder(Layout(cuts=(), grid=grid, num_groups=256, num_bins=15, k=10, seed=seed))
        builder.add(sample, hash_ids(ids, seed), {})
        estimates = Estimates(builder.state(), 200)
        for name, (metric, scale) in METRICS.items():
            counted = given.queries if metric is None else num_queries(metric, sample)
            groups = min(counted, int(estimates.num_groups_S[0]))
            ways = {
                "queries": (value_of(name, sample, weight_QR), counted),
                "groups": (estimates.of(name).value_SR[0], groups),
            }
            for way, (value_R, number) in ways.items():
                _, low, high = interval(value_R, 0.95, num_queries=number, scale=scale)
                held[name, way] += low <= truth[name] <= high
                widths[name, way].append(high - low)
    rows: list[dict[str, Any]] = []
    for (name, way), count in held.items():
        share = count / given.samples
        about = {"samples": given.samples, "queries": given.queries, "width": float(np.mean(widths[name, way]))}
        error = (share * (1 - share) / given.samples) ** 0.5
        ends = {"low": share - 1.96 * error, "high": share + 1.96 * error}
        rows.append({"name": f"coverage/{name}/{way}", "value": share, "unit": "share", **ends, **about})
    tell(rows, given.json)
    for row in rows:
        print(f"{row['name']:<40} mean width {row['width']:.5f}")


if __name__ == "__main__":
    main()
