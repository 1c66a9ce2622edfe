"""Estimators against loops, hand sums, a bandit whose value is known, and logs that say nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest

from recsys.metric import policy
from recsys.metric._reward import fit_rewards
from recsys.metric.bootstrap import interval, poisson_weights
from recsys.metric.policy import Log
from tests.metric.bandits import bandit, log

ESTIMATORS = {
    "ips": policy.ips,
    "clipped": policy.clipped_ips(2.0),
    "snips": policy.snips,
    "direct": policy.direct_method,
    "doubly robust": policy.doubly_robust,
    "switch": policy.switch_doubly_robust(2.0),
    "replay": policy.replay,
}


def drawn(seed: int, *, num: int = 40, clicks: float = 0.4) -> Log:
    rng = np.random.default_rng(seed)
    return log(
        rng.random(num) < clicks,
        rng.uniform(0.05, 1, num),
        rng.choice([0.0, rng.random(), 1.0], num),
        unit=np.sort(np.unique(rng.integers(0, 12, num), return_inverse=True)[1]),
        predicted=rng.random(num),
        expected=rng.random(num),
        draw=rng.random(num),
    )


def naive(name: str, given: Log, weight_U: np.ndarray) -> float:
    """The published formulas, as Open Bandit Pipeline has them, row by row; weights repeat units."""
    top = bottom = 0.0
    largest = max(c / p for c, p in zip(given.chance_N, given.propensity_N, strict=True))
    for i in range(len(given.reward_N)):
        times, r = weight_U[given.unit_N[i]], given.reward_N[i]
        w, q, v = given.chance_N[i] / given.propensity_N[i], given.predicted_N[i], given.expected_N[i]
        kept = 1.0 if given.draw_N[i] * largest < w else 0.0
        value, mass = {
            "ips": (w * r, 1.0),
            "clipped": (min(w, 2.0) * r, 1.0),
            "snips": (w * r, w),
            "direct": (v, 1.0),
            "doubly robust": (v + w * (r - q), 1.0),
            "switch": (v + (w if w <= 2.0 else 0.0) * (r - q), 1.0),
            "replay": (kept * r, kept),
        }[name]
        top, bottom = top + times * value, bottom + times * mass
    return top / bottom if bottom > 0 else math.nan


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_are_their_formulas(name):
    for seed in range(50):
        given = drawn(seed)
        weight_UR = np.random.default_rng(seed).integers(0, 3, (given.num_units, 4)).astype(np.float64)
        weight_UR[:, 0] = 1
        expected = [naive(name, given, weight_U) for weight_U in weight_UR.T]
        assert ESTIMATORS[name](given, weight_UR) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_by_hand():
    given = log([1, 0, 1, 0], [0.5, 0.25, 0.2, 0.8], [0.25, 0.5, 0.8, 0.0])  # weights 1/2, 2, 4, 0
    ones = np.ones((4, 1))
    assert policy.ips(given, ones)[0] == pytest.approx((0.5 + 4) / 4)
    assert policy.clipped_ips(2)(given, ones)[0] == pytest.approx((0.5 + 2) / 4)
    assert policy.snips(given, ones)[0] == pytest.approx(4.5 / 6.5)
    found = policy.overlap(given)
    assert found.effective == pytest.approx(6.5**2 / (0.25 + 4 + 16))
    assert (found.largest, found.num, found.scarcer) == (4.0, 4, 1)
    assert found.largest_share == pytest.approx(4 / 6.5)
    assert found.mean_weight == pytest.approx(6.5 / 4)
    residual = np.array([0.5, 2, 4, 0]) * (np.array([1, 0, 1, 0]) - 4.5 / 6.5)
    assert policy.snips_error(given) == pytest.approx(math.sqrt(4 / 3 * (residual**2).sum()) / 6.5)


def test_a_policy_on_its_own_log_returns_what_was_earned():
    for seed in range(20):
        given = drawn(seed)
        own = log(given.reward_N, given.propensity_N, given.propensity_N, predicted=0.3, expected=0.3)
        ones = np.ones((own.num_units, 1))
        for name in ("ips", "snips", "replay", "clipped"):
            assert ESTIMATORS[name](own, ones)[0] == given.reward_N.sum() / len(given.reward_N)
        assert policy.doubly_robust(own, ones)[0] == pytest.approx(given.reward_N.mean(), abs=1e-15)


def test_the_order_of_rows_is_irrelevant():
    given, rng = drawn(3), np.random.default_rng(0)
    order = rng.permutation(len(given.reward_N))
    other = Log(num_units=given.num_units, **{n: v[order] for n, v in vars(given).items() if n != "num_units"})
    weight_UR = poisson_weights([str(u) for u in range(given.num_units)], 5, 1)
    for estimator in ESTIMATORS.values():
        assert estimator(other, weight_UR).tolist() == estimator(given, weight_UR).tolist()
    assert policy.overlap(other) == policy.overlap(given)
    assert policy.snips_error(other) == policy.snips_error(given)


@pytest.mark.parametrize(("name", "scale"), [("ips", "log"), ("snips", "logit"), ("doubly robust", "linear")])
def test_intervals_by_unit_hold_the_true_value_of_a_bandit_and_intervals_by_row_do_not(name, scale):
    inside, trials = {"unit": 0, "row": 0}, 100
    for seed in range(trials):
        made, truth = bandit(seed)
        num = len(made.unit_N)
        for by, given in (("unit", made), ("row", replace(made, num_units=num, unit_N=np.arange(num)))):
            value_R = ESTIMATORS[name](
                given, poisson_weights([f"{seed}/{u}" for u in range(given.num_units)], 50, seed)
            )
            _, low, high = interval(value_R, 0.95, num_queries=given.num_units, scale=scale)
            inside[by] += low <= truth <= high
    assert 0.90 <= inside["unit"] / trials <= 0.99
    assert inside["row"] / trials < 0.90


def test_a_wrong_model_misleads_the_direct_method_alone():
    values = {name: [] for name in ESTIMATORS}
    for seed in range(100):
        made, truth = bandit(seed)
        for name, estimator in ESTIMATORS.items():
            values[name].append(estimator(made, np.ones((made.num_units, 1)))[0] - truth)
    off = {name: np.mean(v) / (np.std(v) / 10) for name, v in values.items()}
    assert abs(off["ips"]) < 4
    assert abs(off["snips"]) < 4
    assert abs(off["doubly robust"]) < 4
    assert abs(off["replay"]) < 4
    assert off["direct"] < -10
    assert np.std(values["doubly robust"]) < np.std(values["ips"])


def test_the_error_of_snips_is_that_of_resampling_and_not_that_of_a_frozen_denominator():
    rng = np.random.default_rng(5)
    num = 3000
    propensity_N = rng.uniform(0.1, 0.9, num)
    given = log(rng.random(num) < 0.9, propensity_N, 1 - propensity_N)  # rewards are frequent
    value_R = policy.snips(given, poisson_weights([str(i) for i in range(num)], 400, 2))
    assert policy.snips_error(given) == pytest.approx(value_R[1:].std(ddof=1), rel=0.12)
    frozen = np.std(given.weight_N * given.reward_N) / math.sqrt(num) / given.weight_N.mean()
    assert frozen > 2 * policy.snips_error(given)


def test_hopeless_overlap_names_its_effective_sample_size():
    rare = log([1, 0, 0, 0], [0.5, 0.5, 0.5, 1e-6], [0.5, 0.5, 0.5, 0.5])
    why = policy.overlap(rare).hopeless(2)
    assert why is not None
    assert "4 logged decisions are worth 1.0 of this policy's own (effective sample size; at least 2" in why
    assert "the largest weight, 500,000, makes up 100 %" in why
    assert policy.overlap(rare).hopeless(1) is None
    never = log([1, 1], [0.5, 0.5], [0, 0])
    assert policy.overlap(never).hopeless(1) == "the log of 2 decisions shows nothing that this policy would show"
    assert np.isnan(policy.snips(never, np.ones((2, 1)))[0])
    own = log([1, 0], [0.3, 0.4], [0.3, 0.4])
    assert policy.overlap(own).hopeless(100) is None  # its own log, however short


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.1, np.nan, np.inf])
def test_a_propensity_that_is_none_is_named_with_its_row(wrong):
    with pytest.raises(ValueError, match=rf"propensity {wrong} at row 1 .*\(1 of 3 rows"):
        log([0, 1, 0], [0.5, wrong, 0.5], [0.5, 0.5, 0.5])


def test_other_wrong_values_are_named():
    with pytest.raises(ValueError, match=r"chance 1\.5 at row 0"):
        log([1], [0.5], [1.5])
    with pytest.raises(ValueError, match="reward_N is nan at row 1"):
        log([1, np.nan], [0.5, 0.5], [1, 1])
    with pytest.raises(ValueError, match="clip=0"):
        policy.clipped_ips(0)


def test_no_reward_at_all_and_one_unit():
    given = log([0, 0], [0.5, 0.25], [0.5, 0.5])
    assert policy.snips(given, np.ones((2, 1)))[0] == 0.0
    one = log([1, 0], [0.5, 0.5], [0.5, 0.5], unit=[0, 0])
    assert math.isnan(policy.snips_error(one))


def test_rewards_are_shrunken_rates_of_the_other_folds():
    rng = np.random.default_rng(0)
    num, prior = 300, 5.0
    item_N, position_N, fold_N = rng.integers(0, 4, num), rng.integers(0, 2, num), rng.integers(0, 3, num)
    reward_N = (rng.random(num) < 0.3).astype(float)
    made = fit_rewards(reward_N=reward_N, position_N=position_N, item_N=item_N, fold_N=fold_N, prior=prior, num_items=5)
    for i in range(20):
        others = (fold_N != fold_N[i]) & (position_N == position_N[i])
        rate = reward_N[others].mean()
        own = others & (item_N == item_N[i])
        expected = (reward_N[own].sum() + prior * rate) / (own.sum() + prior)
        found = made.of_shown(fold_N[[i]], position_N[[i]], item_N[[i]])[0]
        assert found == pytest.approx(expected)
    never = made.of_shown(np.array([0]), np.array([1]), np.array([4]))[0]
    assert never == pytest.approx(reward_N[(fold_N != 0) & (position_N == 1)].mean())
    member = np.array([[1.0, 1, 0, 0, 0], [0, 0, 1, 1, 1]])
    assert made.of_groups(member)[2, 1, 1] == pytest.approx(made.reward_FPI[2, 1, 2:].mean())
