"""The logging policy: propensities in closed form against the definition, enumeration and repeated simulation."""

import itertools

import numpy as np
import pytest
from scipy.stats import chi2

from recsys.source._shop_engine import GROUP, show
from recsys.source._shop_tables import numbers
from tests.source._small_shop import small_shop, whole

NUM_POSITIONS = 5


@pytest.mark.parametrize("exploration", [0.0, 0.2, 1.0])
def test_propensities_are_distributions(exploration):
    shop = small_shop(exploration=exploration)
    item_QM, propensity_QMK = shop.logging_policy(
        [f"q{n:08d}" for n in range(60)] + [f"u{n:08d}" for n in range(60, 80)]
    )
    np.testing.assert_allclose(propensity_QMK.sum(axis=1), 1, atol=1e-12)
    assert all(len(set(row)) == NUM_POSITIONS * GROUP for row in item_QM.tolist())
    if exploration > 0:
        assert propensity_QMK.min() > 0
    if exploration == 1:
        np.testing.assert_allclose(propensity_QMK, 1 / (NUM_POSITIONS * GROUP))


def test_propensities_equal_the_sum_over_all_rotations_and_draws():
    """Enumerates every rotation and, per group, every draw: the marginal by brute force."""
    policy = small_shop()._world.engine.policy(np.array([7]))
    within_KG = policy.within_QM[0].reshape(NUM_POSITIONS, GROUP)
    expected_MK = np.zeros((NUM_POSITIONS * GROUP, NUM_POSITIONS))
    for r, draws in itertools.product(range(NUM_POSITIONS), itertools.product(range(GROUP), repeat=NUM_POSITIONS)):
        chance = policy.rotation_K[r] * np.prod([within_KG[g, draws[g]] for g in range(NUM_POSITIONS)])
        for g in range(NUM_POSITIONS):
            expected_MK[g * GROUP + draws[g], (g + r) % NUM_POSITIONS] += chance
    np.testing.assert_allclose(policy.propensity_QMK()[0], expected_MK, atol=1e-12)


def test_simulated_pages_show_items_as_often_as_their_propensity():
    """40,000 sessions of one query: Pearson's chi-square per position, at the 1e-4 level."""
    engine = small_shop()._world.engine
    query = np.array([11])
    policy = engine.policy(query)
    num_sessions = 40_000
    session_S, zero_S = np.arange(num_sessions), np.zeros(num_sessions, np.int64)
    shown = show(engine, session_S, zero_S + 11, policy, zero_S)
    column = {int(n): m for m, n in enumerate(policy.candidate_QM[0])}
    propensity_MK = policy.propensity_QMK()[0]
    for k in range(NUM_POSITIONS):
        here = shown.position_N == k + 1
        count_M = np.bincount([column[n] for n in shown.item_N[here].tolist()], minlength=len(column))
        expected_M = num_sessions * propensity_MK[:, k]
        statistic = np.sum((count_M - expected_M) ** 2 / expected_M)
        assert statistic < chi2.ppf(1 - 1e-4, len(column) - 1)
    rows = [column[n] for n in shown.item_N.tolist()]
    np.testing.assert_allclose(shown.propensity_N, propensity_MK[rows, shown.position_N - 1])


def test_logged_propensities_are_the_policys_own_and_pages_repeat_nothing():
    shop = small_shop(num_sessions=200)
    shown = whole(shop, "impressions").to_pylist()
    query_ids = sorted({r["query_id"] for r in shown})
    item_QM, propensity_QMK = shop.logging_policy(query_ids)
    where = {(q, int(i)): (a, b) for a, q in enumerate(query_ids) for b, i in enumerate(item_QM[a])}
    for r in shown:
        a, b = where[r["query_id"], int(numbers([r["item_id"]])[0])]
        assert r["propensity"] == pytest.approx(propensity_QMK[a, b, r["position"] - 1], rel=1e-12)
    pages: dict[str, list[str]] = {}
    for r in shown:
        pages.setdefault(r["session_id"], []).append(r["item_id"])
    assert all(len(set(page)) == NUM_POSITIONS for page in pages.values())


def test_inverse_propensity_weighting_recovers_the_value_of_another_policy():
    """Clicks per page of 'every candidate equally likely at each position', estimated from the log and computed."""
    shop = small_shop(num_search_queries=4, num_users=2, num_judged_queries=0, num_sessions=20_000)
    shown = whole(shop, "impressions")
    query_id = "q00000001"
    mine = [r for r in shown.select(["query_id", "propensity", "click"]).to_pylist() if r["query_id"] == query_id]
    num_pages = len(mine) // NUM_POSITIONS
    uniform = 1 / (NUM_POSITIONS * GROUP)
    gain = np.array([r["click"] * uniform / r["propensity"] for r in mine])
    page = gain.reshape(num_pages, NUM_POSITIONS).sum(axis=1)
    item_QM, _ = shop.logging_policy([query_id])
    item_ids = [f"i{n:08d}" for n in item_QM[0]]
    value = sum(
        uniform * shop.true_probability([query_id] * len(item_ids), item_ids, "click", position=k + 1).sum()
        for k in range(NUM_POSITIONS)
    )
    assert abs(page.mean() - value) < 4 * page.std() / np.sqrt(num_pages)
    assert page.std() / np.sqrt(num_pages) < 0.1 * value
    assert abs(np.mean([r["click"] for r in mine]) * NUM_POSITIONS - value) > 0.1 * value


def test_the_pool_is_distinct_and_leans_to_the_relevant():
    shop = small_shop()
    query_Q = np.arange(40)
    item_QJ = shop._world.engine.pool(query_Q, 20)
    assert all(len(set(row)) == 20 for row in item_QJ.tolist())
    ids = [f"i{n:08d}" for n in item_QJ.ravel()]
    pooled = shop.true_probability([f"q{n:08d}" for n in query_Q.repeat(20)], ids, "relevance").reshape(40, 20)
    assert pooled[:, :10].mean() > pooled[:, 10:].mean() + 0.2
