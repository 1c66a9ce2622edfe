"""How often 95 % intervals hold the truth: queries resampled, as reports do it, and rows resampled, as is often done.

    python -m benchmarks.coverage [--quick] [--queries N] [--json FILE]

Each simulated shop has queries of its own levels of clicks and of its own skill in ranking, 30 shown items each, and
probabilities that are too sure of themselves. The truth is that of 200,000 further queries of the same kind.

Shapes: N rows, Q queries, R weightings.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks._timing import tell
from recsys.metric import Metric, Sample, num_queries, ranking, reliability
from recsys.metric.bootstrap import interval, poisson_weights

ROWS = 30  # of a query
REPLICATES = 200
ROW_REPLICATES = 60  # of nDCG, where each takes a ranking of its own
LEAST_CLICKS = 200


def draw(num: int, seed: int) -> Sample:
    """Shops of `num` queries: the score follows what decides over a click, with noise and with the query's level."""
    rng = np.random.default_rng(seed)
    query_N = np.repeat(np.arange(num), ROWS)
    level_Q, skill_Q = rng.normal(-1.2, 1, num), np.maximum(rng.normal(1, 1, num), 0)
    taste_N = rng.normal(0, 1.2, len(query_N))
    positive_N = rng.random(len(query_N)) < expit(taste_N + level_Q[query_N])
    score_N = skill_Q[query_N] * taste_N + rng.normal(0, 0.7, len(query_N)) + 0.2 * level_Q[query_N]
    return Sample(
        num_queries=num,
        query_N=query_N,
        item_N=np.tile(np.arange(ROWS), num),
        score_N=score_N.astype(np.float32),
        probability_N=expit(1.3 * score_N - 0.7),
        positive_N=positive_N,
        gain_N=positive_N.astype(np.float64),
        weight_N=np.ones(len(query_N)),
    )


def ctr(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    """Clicks over impressions."""
    clicks_Q, shown_Q = (
        np.bincount(sample.query_N, v, sample.num_queries) for v in (sample.positive_N, sample.weight_N)
    )
    return (clicks_Q @ weight_QR) / (shown_Q @ weight_QR)


def rows_apart(metric: Metric) -> Metric:
    """The metric with the weights of rows: every row is taken for a query of its own."""
    return lambda sample, weight_NR: metric(
        replace(sample, num_queries=len(sample), query_N=np.arange(len(sample))), weight_NR
    )


def ranked_rows(metric: Metric) -> Metric:
    """Likewise for a metric that ranks the rows of a query: those that were drawn are ranked anew."""

    def value(sample: Sample, weight_NR: np.ndarray) -> np.ndarray:
        one_Q1 = np.ones((sample.num_queries, 1))
        weights = weight_NR[:, : ROW_REPLICATES + 1].T
        return np.array([metric(replace(sample, weight_N=weight_N), one_Q1)[0] for weight_N in weights])

    return value


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A metric under weights of queries and of rows, and the scale of its interval."""

    metric: Metric
    by_row: Callable[[Metric], Metric]
    scale: str


METRICS = {
    "auc": Measured(metric=ranking.auc, by_row=rows_apart, scale="logit"),
    "ndcg@10": Measured(metric=ranking.ndcg(10), by_row=ranked_rows, scale="logit"),
    "log_loss": Measured(metric=reliability.log_loss, by_row=rows_apart, scale="log"),
    "debiased_l2": Measured(metric=reliability.debiased_l2(15), by_row=rows_apart, scale="linear"),
    "ctr": Measured(metric=ctr, by_row=rows_apart, scale="logit"),
}


def main() -> None:
    """Prints a table and, where asked, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 shops instead of 2,000")
    parser.add_argument("--queries", type=int, default=150)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    num_shops = 200 if given.quick else 2000
    population = draw(200_000, 10**9)
    one_Q1 = np.ones((population.num_queries, 1))
    truth = {name: float(m.metric(population, one_Q1)[0]) for name, m in METRICS.items()}
    held = {(name, way): 0 for name in METRICS for way in ("query", "row")}
    width = dict.fromkeys(held, 0.0)
    ids = [f"query {q}" for q in range(given.queries)]
    clicks = []
    for shop in range(num_shops):
        sample = draw(given.queries, shop)
        clicks.append(int(sample.positive_N.sum()))
        weight_QR = poisson_weights(ids, REPLICATES, shop)
        weight_NR = np.random.default_rng(shop).poisson(1.0, (len(sample), REPLICATES + 1)).astype(np.float64)
        weight_NR[:, 0] = 1
        for name, m in METRICS.items():
            ways = {
                "query": (m.metric(sample, weight_QR), num_queries(m.metric, sample)),
                "row": (m.by_row(m.metric)(sample, weight_NR), len(sample)),
            }
            for way, (value_R, number) in ways.items():
                _, low, high = interval(value_R, 0.95, num_queries=number, scale=m.scale)
                held[name, way] += low <= truth[name] <= high
                width[name, way] += (high - low) / num_shops
    assert min(clicks) >= LEAST_CLICKS, f"a shop has only {min(clicks)} clicks"
    tell(
        [row(*key, count / num_shops, num_shops, truth[key[0]], width[key]) for key, count in held.items()], given.json
    )


def row(name: str, way: str, share: float, num_shops: int, truth: float, width: float) -> dict[str, Any]:
    """The record of a metric and a way to resample."""
    error = (share * (1 - share) / num_shops) ** 0.5
    ends = {"low": share - 1.96 * error, "high": share + 1.96 * error}
    about = {"shops": num_shops, "truth": truth, "mean_width": width}
    return {"name": f"coverage/{name}/{way}", "value": share, "unit": "share of intervals", **ends, **about}


if __name__ == "__main__":
    main()
