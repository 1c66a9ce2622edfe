"""Weights and intervals against the Poisson distribution, textbook formulas and simulated truth."""

import math

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest, nct, poisson, t, ttest_1samp

from recsys.metric import bootstrap, ranking
from recsys.metric.bootstrap import detectable_difference, difference, interval, poisson_weights
from tests.metric import samples

IDS = [f"query {q}" for q in range(400)]
GOLDEN = [
    [1.0, 1.0, 1.0, 3.0, 2.0, 1.0, 1.0],
    [1.0, 2.0, 2.0, 1.0, 2.0, 2.0, 1.0],
    [1.0, 1.0, 0.0, 2.0, 0.0, 2.0, 0.0],
]  # frozen on the day the hash was chosen


def means(value_Q, weight_QR):
    return (weight_QR * value_Q[:, None]).sum(axis=0) / weight_QR.sum(axis=0)


def test_weights_depend_on_seed_query_and_replicate_alone():
    weight_QR = poisson_weights(IDS, 50, 7)
    assert weight_QR.shape == (400, 51)
    assert weight_QR.dtype == np.float64
    assert (weight_QR[:, 0] == 1).all()
    some = [5, 3, 250]
    assert (poisson_weights([IDS[i] for i in some], 20, 7) == weight_QR[some, :21]).all()
    assert not (poisson_weights(IDS, 50, 8) == weight_QR)[:, 1:].all(axis=0).any()


def test_weights_follow_the_poisson_distribution():
    weight = poisson_weights(IDS, 500, 3)[:, 1:].astype(int)
    for k in range(6):
        chance = poisson.pmf(k, 1)
        assert abs((weight == k).mean() - chance) < 4 * math.sqrt(chance * (1 - chance) / weight.size)
    correlation = np.corrcoef(weight)  # of different queries
    assert np.abs(correlation[np.triu_indices(400, 1)]).mean() < 1.2 * math.sqrt(2 / math.pi / 500)


def test_the_weights_of_today_are_the_weights_of_tomorrow():
    assert poisson_weights(["a", "b", "ü"], 6, 11).tolist() == GOLDEN


def test_the_interval_of_a_mean_is_students():
    rng = np.random.default_rng(2)
    value_Q = rng.normal(0.3, 1, 60)
    value_R = means(value_Q, poisson_weights(IDS[:60], 4000, 1))
    expected = ttest_1samp(value_Q, 0).confidence_interval(0.95)
    value, low, high = interval(value_R, 0.95, num_queries=60)
    assert value == pytest.approx(value_Q.mean())
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.03)
    _, narrow_low, narrow_high = interval(value_R, 0.95)
    assert low < narrow_low < narrow_high < high


def test_scales_keep_an_interval_where_its_values_can_be():
    value_R = np.array([0.95, 0.85, 1.0, 0.9, 0.99, 0.97] * 10)
    value, low, high = interval(value_R, 0.95, scale="logit")
    assert 0 < low < value == 0.95 < high < 1
    deviation = np.std(value_R[1:], ddof=1)  # delta method by hand: symmetric on the scale of the logarithm of the odds
    half = 1.959964 * deviation / (0.95 * 0.05)
    assert (low, high) == pytest.approx((expit(math.log(19) - half), expit(math.log(19) + half)), abs=1e-6)
    value, low, high = interval(value_R, 0.95, scale="log")
    assert low * high == pytest.approx(value**2)
    at_the_end = np.array([1.0, 0.99, 0.97, 0.98])
    value, low, high = interval(at_the_end, 0.95, scale="logit")
    assert low < value == high == 1.0
    with pytest.raises(ValueError, match="percentile"):
        interval(value_R, 0.95, scale="percentile")


def test_what_cannot_be_known_is_not_known():
    sample = samples.make([0, 0, 1, 1], [2, 1, 2, 1], [1, 0, 0, 1])
    value, low, high = interval(ranking.auc(sample, poisson_weights(["a", "b"], 200, 1)), 0.95)
    assert value == 0.5
    assert math.isnan(low)
    assert math.isnan(high)
    assert math.isnan(interval(np.array([0.5, 0.4, 0.6]), 0.95, num_queries=1)[1])
    assert math.isnan(interval(np.full(9, np.nan), 0.95)[0])
    assert math.isnan(detectable_difference(np.array([0.5]), num_queries=9))


def test_no_spread_is_no_certainty():
    for num in (2, 20, 50):
        bounds = binomtest(0, num).proportion_ci(0.95, "exact")
        assert interval(np.zeros(99), 0.95, num_queries=num, scale="logit") == pytest.approx((0, 0, bounds.high))
        assert interval(np.ones(99), 0.95, num_queries=num, scale="logit") == pytest.approx((1, 1 - bounds.high, 1))
        low, high = 0.3 * (1 - bounds.high), 0.3 + 0.7 * bounds.high
        assert interval(np.full(99, 0.3), 0.95, num_queries=num, scale="logit") == pytest.approx((0.3, low, high))
        for scale in ("linear", "log", "paired"):
            assert np.isnan(interval(np.full(99, 0.3), 0.95, num_queries=num, scale=scale)[1:]).all()
        assert math.isnan(interval(np.zeros(99), 0.95, num_queries=num)[1])
        assert interval(np.zeros(99), 0.95, num_queries=num, scale="paired") == (0, 0, 0)  # both are one
        assert math.isnan(detectable_difference(np.ones(99), num_queries=num))
    assert interval(np.zeros(99), 0.95, num_queries=20, scale="logit", least_error=0.1)[2] > 0.2


def test_rare_events_are_not_taken_for_none():
    """Shares of 50 queries at which something happens in 2 %: in a third of the samples it never does."""
    rng, held, never = np.random.default_rng(5), 0, 0
    for trial in range(150):
        value_Q = (rng.random(50) < 0.02).astype(float)
        _, low, high = interval(
            means(value_Q, poisson_weights(IDS[:50], 60, trial)), 0.95, num_queries=50, scale="logit"
        )
        never += value_Q.max() == 0
        held += low <= 0.02 <= high
    assert never > 35
    assert held / 150 >= 0.95


def test_a_side_without_spread_brings_its_own_doubt():
    weight_QR = poisson_weights(IDS, 400, 2)
    value_R = means(np.random.default_rng(1).random(400), weight_QR)
    sides = {"num_queries": (20, 400), "scale": "logit"}
    value, low, high = difference(np.zeros(401), value_R, 0.95, **sides)
    half = bootstrap.reach(0.95, 20) * bootstrap.standard_error(value_R)
    top = interval(np.zeros(401), 0.95, num_queries=20, scale="logit")[2]
    assert (value, low, high) == pytest.approx((-value_R[0], -value_R[0] - half, -value_R[0] + math.hypot(half, top)))
    turned = difference(value_R, np.zeros(401), 0.95, num_queries=(400, 20), scale="logit")
    assert turned == pytest.approx((-value, -high, -low))
    assert math.isnan(difference(np.zeros(401), value_R, 0.95, num_queries=(20, 400), scale="linear")[1])
    _, low, high = difference(np.ones(401), np.ones(401), 0.95, **sides)  # alike, but nothing says by how much
    assert low < -0.15 < 0 < high < 0.01 + (1 - 0.025 ** (1 / 400))


def test_auc_intervals_hold_the_truth():
    """200 shops of 60 unlike queries; 95 % nominal. The truth is the AUC of 20,000 queries."""
    num_queries, num_shops = 60, 200

    def draw(rng, count):
        query_N = np.repeat(np.arange(count), 12)
        skill_Q, level_Q = np.maximum(rng.normal(1, 0.5, count), 0), rng.normal(0, 0.7, count)
        taste_N = rng.normal(0, 1.2, len(query_N))
        score_N = skill_Q[query_N] * taste_N + rng.normal(0, 1, len(query_N)) + level_Q[query_N]
        gain_N = rng.random(len(query_N)) < expit(taste_N - 1 + level_Q[query_N])
        return samples.make(query_N.tolist(), score_N.tolist(), gain_N.tolist())

    rng = np.random.default_rng(num_queries)
    large = draw(rng, 20_000)
    truth = ranking.auc(large, samples.ones(large))[0]
    held = 0
    for shop in range(num_shops):
        value_R = ranking.auc(draw(rng, num_queries), poisson_weights(IDS[:num_queries], 200, shop))
        _, low, high = interval(value_R, 0.95, num_queries=num_queries, scale="logit")
        held += low <= truth <= high
    assert 0.91 <= held / num_shops <= 0.985  # 95 % and 2.5 standard errors of this simulation below


@pytest.mark.parametrize("num", [3, 5, 10, 20, 1000])
def test_the_detectable_difference_has_its_power_with_few_queries_too(num):
    """A true difference of d has noncentrality d over Student's error, sqrt(n / (n - 1)) of that of the replicates."""
    value_R = np.r_[0.5, np.random.default_rng(num).normal(0.5, 0.1, 200)]
    effect = detectable_difference(value_R, num_queries=num)
    noncentrality = effect / (bootstrap.standard_error(value_R) * math.sqrt(num / (num - 1)))
    assert nct.sf(t.ppf(0.975, num - 1), num - 1, noncentrality) == pytest.approx(0.8, abs=1e-4)


def test_the_detectable_difference_is_detected_with_its_power():
    rng = np.random.default_rng(9)
    count, correlation = 100, 0.5
    shared = rng.normal(0, 1, (2000, count)) * math.sqrt(correlation)
    one, other = (shared + rng.normal(0, 1, (2000, count)) * math.sqrt(1 - correlation) for _ in range(2))
    value_R = means(one[0] / one[0].std(ddof=1), poisson_weights(IDS[:count], 4000, 1))
    effect = detectable_difference(value_R, num_queries=count, correlation=correlation)
    assert effect == pytest.approx(2.8016 * bootstrap.standard_error(value_R), rel=0.02)
    found = (ttest_1samp(other + effect - one, 0, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.04)
    with pytest.raises(ValueError, match="correlation=2"):
        detectable_difference(value_R, num_queries=count, correlation=2)
