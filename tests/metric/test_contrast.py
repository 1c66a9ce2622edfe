"""Tests of a part against the rest: Student's with many queries, and cautious where hardly anything happened."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from recsys.metric.bootstrap import poisson_weights, reach, standard_error
from recsys.metric.contrast import Contrast, Parity

IDS = [f"query {q}" for q in range(420)]


def rate(events_Q, weight_QR):
    """Of 10 rows for each query."""
    return events_Q @ weight_QR / (10 * weight_QR.sum(axis=0))


def contrast(own_R, rest_R, num=(20, 400), size=(200.0, 4000.0), scale="logit") -> Contrast:
    return Contrast(own_R=own_R, rest_R=rest_R, num_queries=num, size=size, scale=scale)


def test_p_is_that_of_students_test_where_both_sides_vary():
    rng, weight_QR = np.random.default_rng(4), poisson_weights(IDS[:200], 2000, 3)
    for _ in range(5):
        value_Q, rest_Q = rng.normal(0.15, 1, 200), rng.normal(0, 1, 200)
        own_R, rest_R = (v @ weight_QR / weight_QR.sum(axis=0) for v in (value_Q, rest_Q))
        found = contrast(own_R, rest_R, (200, 200), (200, 200), "linear")
        assert found.missing == 0
        assert found.p == pytest.approx(ttest_1samp(value_Q - rest_Q, 0).pvalue, abs=0.02, rel=0.25)  # pyright: ignore
        half = reach(0.95, 200) * standard_error(own_R - rest_R)
        value = own_R[0] - rest_R[0]
        assert found.interval(0.95) == pytest.approx((value, value - half, value + half))


@pytest.mark.parametrize("expected", [1, 4])
def test_a_small_group_is_not_called_for_what_did_not_happen(expected):
    """Two groups of one rate: 20 queries, in whose rows 1 or 4 events are expected, and 400."""
    rng, called, excluded = np.random.default_rng(expected), 0, 0
    for trial in range(120):
        weight_QR = poisson_weights(IDS, 100, trial)
        events_Q = rng.poisson(expected / 20, 420)
        found = contrast(rate(events_Q[:20], weight_QR[:20]), rate(events_Q[20:], weight_QR[20:]))
        _, low, high = found.interval(0.95)
        called += found.p <= 0.05
        excluded += not low <= 0 <= high
    assert called / 120 <= 0.07
    assert excluded / 120 <= 0.07


def test_a_group_in_which_much_should_have_happened_is_called():
    rng, weight_QR = np.random.default_rng(1), poisson_weights(IDS, 100, 1)
    nothing_R = np.zeros(101)
    found = contrast(nothing_R, rate(rng.poisson(2, 400), weight_QR[20:]))  # 40 were due
    assert found.p < 1e-3
    assert found.interval(0.95)[2] < 0
    few = contrast(nothing_R, rate(rng.poisson(0.05, 400), weight_QR[20:]))
    assert few.p > 0.2
    assert few.interval(0.95)[1] < 0 < few.interval(0.95)[2]


def test_what_cannot_be_known_is_no_test():
    moving = np.r_[0.3, np.random.default_rng(1).normal(0.3, 0.1, 49)]
    unknown = np.full(50, np.nan)
    assert np.isnan([contrast(unknown, moving).p, contrast(moving, unknown).p]).all()
    assert np.isnan(contrast(np.zeros(50), np.ones(50)).p)  # nothing varies on either side
    assert np.isnan(contrast(moving, moving[::-1], num=(1, 9)).p)
    assert np.isfinite(contrast(np.zeros(50), moving).p)


def test_a_share_against_parity():
    shown = Parity(own_R=np.zeros(50), number=1.0, smaller=100, due=1 / 3)  # 3 places were due, none was had
    assert shown.p > 0.05
    assert shown.interval(0.95)[1] < -1 < 0 < shown.interval(0.95)[2]
    many = Parity(own_R=np.zeros(50), number=1.0, smaller=100, due=1 / 300)
    assert many.p < 1e-6
    moving = np.r_[1.2, np.random.default_rng(1).normal(1.2, 0.1, 49)]
    ordinary = Parity(own_R=moving, number=1.0, smaller=100, due=1 / 300)
    assert ordinary.missing == 0
    assert ordinary.interval(0.95)[0] == pytest.approx(0.2)
