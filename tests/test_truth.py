"""On the shop, whose truth is known, over 20 fixed seeds: calibration repairs what was distorted, intervals hold."""

import numpy as np
import pytest
import yaml

from recsys import config
from recsys.calibrator import Identity, Isotonic, Platt, Rows, Temperature, folds, select
from recsys.metric import Sample
from recsys.metric.bootstrap import interval, poisson_weights
from recsys.metric.ranking import auc
from recsys.seed import hash_ids, uniform
from recsys.source import Shop

SEEDS = range(20)


def judged(seed: int) -> dict[str, np.ndarray]:
    """The judged pairs of a small shop: query, label, true probability, and what a noisy scorer believes (a logit)."""
    with open(f"{config.CONF}/source/shop.yaml") as stream:
        values = yaml.safe_load(stream)
    del values["defaults"]
    values |= {
        "seed": seed,
        "num_items": 600,
        "num_search_queries": 90,
        "num_users": 30,
        "num_judged_queries": 120,
        "judgments_per_query": 20,
        "corruption": dict.fromkeys(values["corruption"], 0.0),
    }
    shop = Shop(**values)
    rows = [r for table in shop.read("judgments") for r in table.to_pylist()]
    query_ids, item_ids = [r["query_id"] for r in rows], [r["item_id"] for r in rows]
    truth_N = shop.true_probability(query_ids, item_ids, "relevance")
    keys = [f"{q}/{i}" for q, i in zip(query_ids, item_ids, strict=True)]
    noise_N = 2 * (sum(uniform(hash_ids(keys, 100 + k)) for k in range(12)) - 6)  # nearly normal (Irwin-Hall)
    clipped_N = np.clip(truth_N, 0.01, 0.99)
    return {
        "query": np.array(query_ids),
        "positive": np.array([r["label"] for r in rows]) >= 2,
        "truth": truth_N,
        "belief": np.log(clipped_N / (1 - clipped_N)) + noise_N,
    }


@pytest.fixture(scope="module")
def shops() -> list[dict[str, np.ndarray]]:
    return [judged(seed) for seed in SEEDS]


def true_error(score_N: np.ndarray, truth_N: np.ndarray, probability_N: np.ndarray) -> float:
    """Mean |truth averaged given the score - probability|, over 20 groups of neighbouring scores."""
    groups = np.array_split(np.argsort(score_N, kind="stable"), 20)
    gaps = [abs(truth_N[g].mean() - probability_N[g].mean()) for g in groups]
    return float(np.average(gaps, weights=[len(g) for g in groups]))


@pytest.mark.parametrize(("scale", "shift"), [(3.0, 0.0), (0.3, 0.0), (1.0, 1.5), (2.0, -1.5)])
def test_calibration_removes_at_least_half_of_the_true_error(shops, scale, shift):
    better = 0
    for seed, shop in zip(SEEDS, shops, strict=True):
        score_N = (scale * shop["belief"] + shift).astype(np.float32)
        query_ids, query_N = np.unique(shop["query"], return_inverse=True)
        chosen = select(
            {"identity": Identity(), "temperature": Temperature(), "platt": Platt(), "isotonic": Isotonic()},
            Rows(
                score_N=score_N,
                positive_N=shop["positive"],
                weight_N=np.ones(len(score_N)),
                fold_N=folds(query_ids.tolist(), 5, seed)[query_N],
                segment={},
            ),
            query_N,
        )
        before = true_error(score_N, shop["truth"], 1 / (1 + np.exp(-score_N.astype(float))))
        after = true_error(score_N, shop["truth"], chosen.probability_N)
        better += after <= before / 2
    assert better >= 18


def test_auc_intervals_contain_the_true_value(shops):
    """The true value is that of all shops together, each pair counted as positive with its true probability."""
    score_M = np.concatenate([s["belief"] for s in shops])
    truth_M = np.concatenate([s["truth"] for s in shops])
    true_auc = expected_auc(score_M, truth_M)
    inside = 0
    for seed, shop in zip(SEEDS, shops, strict=True):
        order = np.argsort(shop["query"], kind="stable")
        query_ids, query_N = np.unique(shop["query"][order], return_inverse=True)
        sample = Sample(
            num_queries=len(query_ids),
            query_N=query_N,
            item_N=np.arange(len(order)),
            score_N=shop["belief"][order].astype(np.float32),
            probability_N=np.full(len(order), 0.5),
            positive_N=shop["positive"][order],
            gain_N=shop["positive"][order].astype(float),
            weight_N=np.ones(len(order)),
        )
        value_R = auc(sample, poisson_weights(query_ids.tolist(), 400, seed))
        _, low, high = interval(value_R, 0.95, num_queries=len(query_ids), scale="logit")
        inside += low <= true_auc <= high
    assert inside >= 17
    assert 0.6 < true_auc < 0.95


def expected_auc(score_N: np.ndarray, truth_N: np.ndarray) -> float:
    """P(a positive scores higher than a negative) with labels still to be drawn."""
    order = np.argsort(score_N)
    truth_N = truth_N[order]
    below_N = np.cumsum(1 - truth_N) - (1 - truth_N)
    return float((truth_N * below_N).sum() / (truth_N.sum() * (1 - truth_N).sum()))
