"""Weights and intervals against the Poisson distribution, textbook formulas and simulated truth."""

import math

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import poisson, ttest_1samp

from recsys.metric import bootstrap, ranking
from recsys.metric.bootstrap import detectable_difference, interval, poisson_weights, simultaneous
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
    assert math.isnan(detectable_difference(np.array([0.5])))


def test_no_spread_has_no_width():
    assert interval(np.full(100, 0.5), 0.95, num_queries=30, scale="logit") == pytest.approx((0.5, 0.5, 0.5))


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


def test_simultaneous_intervals_hold_all_at_once():
    rng = np.random.default_rng(4)
    all_held = first_held = 0
    for trial in range(150):
        value_QS = rng.normal(0, 1, (80, 6))
        weight_QR = poisson_weights(IDS[:80], 200, trial)
        value_SR = np.stack([means(value_Q, weight_QR) for value_Q in value_QS.T])
        _, low_S, high_S = simultaneous(value_SR, 0.95)
        all_held += bool(((low_S <= 0) & (high_S >= 0)).all())
        first_held += low_S[0] <= 0 <= high_S[0]
    assert 0.88 <= all_held / 150 <= 0.985
    assert first_held > all_held


def test_an_unknown_slice_does_not_widen_the_others():
    value_SR = np.stack([np.r_[0.5, np.random.default_rng(1).normal(0.5, 0.1, 99)], np.full(100, np.nan)])
    alone, both = simultaneous(value_SR[:1], 0.95), simultaneous(value_SR, 0.95)
    assert both[1][0] == alone[1][0]
    assert math.isnan(both[1][1])


def test_the_detectable_difference_is_detected_with_its_power():
    rng = np.random.default_rng(9)
    count, correlation = 100, 0.5
    shared = rng.normal(0, 1, (2000, count)) * math.sqrt(correlation)
    one, other = (shared + rng.normal(0, 1, (2000, count)) * math.sqrt(1 - correlation) for _ in range(2))
    value_R = means(one[0] / one[0].std(ddof=1), poisson_weights(IDS[:count], 4000, 1))
    effect = detectable_difference(value_R, correlation=correlation)
    assert effect == pytest.approx(2.8016 * bootstrap.standard_error(value_R), rel=1e-4)
    found = (ttest_1samp(other + effect - one, 0, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.04)
    with pytest.raises(ValueError, match="correlation=2"):
        detectable_difference(value_R, correlation=2)
