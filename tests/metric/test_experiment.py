"""Delta method, CUPED, sample ratio and intervals for any look: against resampling, loops and simulated experiments."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare, ttest_ind

from recsys.metric import experiment
from recsys.metric.experiment import Arm, Estimate
from tests.metric.trials import peeked, users


def test_the_error_of_a_ratio_is_that_of_resampled_users():
    arm = users(1)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 300, (2000, 300))
    resampled = arm.amount_U[drawn].sum(axis=1) / arm.chance_U[drawn].sum(axis=1)
    made = experiment.ratio(arm)
    assert made.value == arm.amount_U.sum() / arm.chance_U.sum()
    assert made.error == pytest.approx(resampled.std(ddof=1), rel=0.06)
    rows = math.sqrt(made.value * (1 - made.value) / arm.chance_U.sum())
    assert made.error > 1.3 * rows


def test_a_mean_per_user_is_the_t_test_of_welch():
    one, other = users(1), users(2, num=200, lift=0.05)
    per_user = [Arm(amount_U=a.amount_U, chance_U=np.ones(a.num_units)) for a in (one, other)]
    made = experiment.difference(*per_user)
    peer = ttest_ind(one.amount_U, other.amount_U, equal_var=False)
    assert made.value / made.error == pytest.approx(peer.statistic)  # pyright: ignore


def test_intervals_by_user_hold_and_intervals_by_row_do_not():
    held = {"user": 0, "row": 0, "cuped": 0, "relative": 0}
    widths = {"user": 0.0, "cuped": 0.0}
    trials = 400
    for seed in range(trials):
        treatment, control = users(2 * seed), users(2 * seed + 1, lift=0.0)
        plain, adjusted = experiment.difference(treatment, control), experiment.cuped(treatment, control).difference
        p = [experiment.ratio(a).value for a in (treatment, control)]
        error = math.hypot(
            *(math.sqrt(q * (1 - q) / a.chance_U.sum()) for q, a in zip(p, (treatment, control), strict=True))
        )
        relative = experiment.relative_difference(treatment, control)
        for name, estimate in (
            ("user", plain),
            ("row", Estimate(value=plain.value, error=error)),
            ("cuped", adjusted),
            ("relative", relative),
        ):
            low, high = estimate.interval(0.95)
            held[name] += low <= 0 <= high
        widths["user"] += plain.error
        widths["cuped"] += adjusted.error
    for name in ("user", "cuped", "relative"):
        assert binomtest(held[name], trials, 0.95).pvalue > 0.001, (name, held)
    assert held["row"] / trials < 0.85
    assert widths["cuped"] < 0.85 * widths["user"]


def test_cuped_is_the_formula_of_its_paper_and_is_not_biased():
    treatment, control = users(5, lift=0.04), users(6)
    per_user = [
        Arm(amount_U=a.amount_U, chance_U=np.ones(a.num_units), covariate_U=a.covariate_U) for a in (treatment, control)
    ]
    made = experiment.cuped(*per_user)
    y, x = (
        np.concatenate([getattr(a, n) - getattr(a, n).mean() for a in per_user]) for n in ("amount_U", "covariate_U")
    )
    theta = (y * x).sum() / (x * x).sum()
    adjusted = [a.amount_U - theta * a.covariate_U for a in per_user]
    assert made.slope == pytest.approx(theta)
    assert made.difference.value == pytest.approx(adjusted[0].mean() - adjusted[1].mean())
    error = math.hypot(*(v.std(ddof=1) / math.sqrt(len(v)) for v in adjusted))
    assert made.difference.error == pytest.approx(error)
    assert made.variance_kept < 0.9
    off = [experiment.cuped(users(1000 + s, lift=0.04), users(2000 + s)).difference.value - 0.04 for s in range(300)]
    assert abs(np.mean(off)) < 4 * np.std(off) / math.sqrt(300)


def test_a_covariate_that_never_varies_changes_nothing():
    flat = [Arm(amount_U=a.amount_U, chance_U=a.chance_U, covariate_U=np.ones(300)) for a in (users(1), users(2))]
    made = experiment.cuped(*flat)
    assert made.difference == experiment.difference(*flat)
    assert made.variance_kept == pytest.approx(1)
    with pytest.raises(ValueError, match="covariate_U of both arms"):
        experiment.cuped(flat[0], Arm(amount_U=np.ones(2), chance_U=np.ones(2)))


@pytest.mark.parametrize(
    ("counts", "planned"), [([510, 490], [1, 1]), ([200, 610, 190], [1, 3, 1]), ([9, 1], [0.5, 0.5])]
)
def test_the_sample_ratio_is_scipy_s_chi_square(counts, planned):
    expected = np.array(planned) / sum(planned) * sum(counts)
    assert experiment.sample_ratio(counts, planned) == pytest.approx(chisquare(counts, expected).pvalue)


def test_a_lost_percent_of_a_large_arm_is_seen():
    assert experiment.sample_ratio([100_000, 98_000], [1, 1]) < experiment.SAMPLE_RATIO_P < 0.1
    assert experiment.sample_ratio([100_000, 99_900], [1, 1]) > 0.5


def test_peeking_breaks_an_interval_for_one_look_and_not_one_for_any_look():
    """Two equal arms are looked at after every 100 users of each, 20 times; how often is a difference called at all?"""
    trials, called = 200, {"one look": 0, "any look": 0}
    for seed in range(trials):
        for name, was in peeked(seed, looks=20).items():
            called[name] += was
    assert called["one look"] / trials > 0.2
    assert called["any look"] / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)


def test_the_interval_for_any_look_is_robbins_mixture_and_narrowest_where_planned():
    low, high = experiment.always_valid(Estimate(value=1.0, error=0.1), num_units=500, planned_units=500, level=0.95)
    g = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 500  # Waudby-Smith et al., their equation for rho
    expected = (
        0.1 * math.sqrt(500) * math.sqrt(2 * (500 * g + 1) / (500**2 * g) * math.log(math.sqrt(500 * g + 1) / 0.05))
    )
    assert (low, high) == pytest.approx((1 - expected, 1 + expected))
    widths = {
        planned: np.diff(
            experiment.always_valid(Estimate(value=0.0, error=0.1), num_units=500, planned_units=planned, level=0.95)
        )[0]
        for planned in (100, 400, 500, 650, 2000)
    }
    assert min(widths, key=widths.get) == 500  # pyright: ignore
    assert widths[500] / (2 * 1.959964 * 0.1) == pytest.approx(1.55, abs=0.01)


def test_edges():
    nothing = Arm(amount_U=np.zeros(3), chance_U=np.zeros(3))
    assert math.isnan(experiment.ratio(nothing).value)
    one = Arm(amount_U=np.ones(1), chance_U=np.ones(1))
    assert math.isnan(experiment.ratio(one).error)
    none = Arm(amount_U=np.zeros(5), chance_U=np.ones(5))
    assert math.isnan(experiment.relative_difference(users(1), none).value)
    assert all(
        math.isnan(v)
        for v in experiment.always_valid(Estimate(value=0, error=1), num_units=1, planned_units=9, level=0.95)
    )
    with pytest.raises(ValueError, match="amount_U is nan at unit 1"):
        Arm(amount_U=np.array([1, np.nan]), chance_U=np.ones(2))
    with pytest.raises(ValueError, match=r"chance_U is -1\.0 at unit 0"):
        Arm(amount_U=np.ones(1), chance_U=-np.ones(1))
    with pytest.raises(ValueError, match="planned_units=0"):
        experiment.always_valid(Estimate(value=0, error=1), num_units=5, planned_units=0, level=0.95)
    with pytest.raises(ValueError, match=r"num_units=\[0, 0\]"):
        experiment.sample_ratio([0, 0], [1, 1])


def test_an_arm_in_which_nothing_happened_is_not_certain():
    """0 of 50 units against 100 of 5,000: so would one in three experiments with equal arms look."""
    small = Arm(amount_U=np.zeros(50), chance_U=np.ones(50))
    large = Arm(amount_U=np.r_[np.ones(100), np.zeros(4900)], chance_U=np.ones(5000))
    made = experiment.difference(small, large)
    assert made.error == pytest.approx(math.sqrt(100 / 5050 * 4950 / 5050 / 50), rel=0.01)  # of the pooled rate
    low, high = made.interval(0.95)
    assert low < 0 < high
    low, high = experiment.always_valid(made, num_units=5050, planned_units=10_000, level=0.95)
    assert low < 0 < high
    assert experiment.relative_difference(small, large).interval(0.95)[1] > 0
    before = np.random.default_rng(1).random(5050)
    arms = [
        Arm(amount_U=a.amount_U, chance_U=a.chance_U, covariate_U=x)
        for a, x in zip((small, large), np.split(before, [50]), strict=True)
    ]
    assert experiment.cuped(*arms).difference.interval(0.95)[1] > 0
    many = Arm(amount_U=np.zeros(5000), chance_U=np.ones(5000))
    assert experiment.difference(many, large).interval(0.95)[1] < 0  # here 100 were due
    assert np.isnan(experiment.ratio(small).interval(0.95)).all()
    assert np.isnan(experiment.difference(small, many).interval(0.95)).all()
    assert np.isnan(
        experiment.always_valid(Estimate(value=0.0, error=0.0), num_units=9, planned_units=9, level=0.9)
    ).all()


def test_arms_of_rare_events_are_seldom_called_different():
    """Equal arms of 1:100, where 1 or 5 units of the small one should have an event."""
    rng = np.random.default_rng(3)
    for expected in (1, 5):
        called = 0
        for _ in range(120):
            arms = [
                Arm(amount_U=(rng.random(num) < expected / 50).astype(float), chance_U=np.ones(num))
                for num in (50, 5000)
            ]
            low, high = experiment.difference(*arms).interval(0.95)
            called += not low <= 0 <= high
        assert called / 120 <= 0.07


@pytest.mark.parametrize("num", [5, 10])
def test_one_look_holds_with_few_units(num):
    value_TAU = np.random.default_rng(num).normal(size=(500, 2, num))
    held, low, high = 0, math.nan, math.nan
    for value_AU in value_TAU:
        made = experiment.difference(*(Arm(amount_U=value_U, chance_U=np.ones(num)) for value_U in value_AU))
        low, high = made.interval(0.95)
        held += low <= 0 <= high
    assert abs(held / 500 - 0.95) < 0.03
    peer = ttest_ind(*value_AU, equal_var=False).confidence_interval(0.95)  # pyright: ignore
    assert (low, high) == pytest.approx((peer.low, peer.high))
    always = experiment.always_valid(made, num_units=2 * num, planned_units=2 * num, level=0.95)
    assert always[0] <= low
    assert high <= always[1]
