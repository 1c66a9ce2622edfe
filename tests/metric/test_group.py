"""Slices by hand, and intervals for picked slices against simulated truth."""

import numpy as np
import pytest

from recsys.metric.bootstrap import poisson_weights
from recsys.metric.group import extremes, head_torso_tail, macro


@pytest.mark.parametrize(
    ("frequency", "expected"),
    [
        ([60, 20, 20, 20, 30, 30], ["head", "tail", "tail", "tail", "torso", "torso"]),
        ([80, 10, 10], ["head", "tail", "tail"]),  # one query is more than a third by itself
        ([50] + [1] * 50, ["head"] + ["tail"] * 50),
        ([30, 30, 20] + [1] * 80, ["head", "head", "torso"] + ["tail"] * 80),
        ([5, 5, 5], ["torso"] * 3),  # nothing is more frequent than anything
        ([0, 0], ["torso"] * 2),
        ([3], ["torso"]),
        ([9, 0, 0], ["head", "tail", "tail"]),
        ([], []),
    ],
)
def test_thirds_of_the_traffic(frequency, expected):
    assert head_torso_tail(np.array(frequency, float)).tolist() == expected


def test_equal_frequencies_fall_together_in_any_order():
    rng = np.random.default_rng(1)
    for _ in range(200):
        frequency = rng.zipf(1.6, rng.integers(1, 60)).clip(max=1000)
        part = head_torso_tail(frequency)
        order = rng.permutation(len(frequency))
        assert (head_torso_tail(frequency[order]) == part[order]).all()
        assert all(len(set(part[frequency == f])) == 1 for f in set(frequency.tolist()))
        rank = np.select([part == "head", part == "torso"], [2, 1], 0)
        assert (np.diff(rank[np.argsort(frequency)]) >= 0).all()


@pytest.mark.parametrize("wrong", [np.nan, -1.0, np.inf])
def test_an_unknown_frequency_is_an_error(wrong):
    with pytest.raises(ValueError, match="row 1"):
        head_torso_tail(np.array([1.0, wrong]))


def test_macro_counts_every_slice_the_same():
    assert macro(np.array([[0.2, 0.4], [0.6, np.nan]]))[0] == pytest.approx(0.4)
    assert np.isnan(macro(np.array([[0.2, 0.4], [0.6, np.nan]]))[1])


def test_extremes_name_the_slices():
    rng = np.random.default_rng(0)
    value_SR = np.array([0.6, 0.9, np.nan, 0.5])[:, None] + np.c_[np.zeros(4), rng.normal(0, 0.02, (4, 200))]
    found = extremes(value_SR, 0.95)
    assert found is not None
    assert (found.worst, found.best) == (3, 1)
    assert found.worst_value == 0.5
    assert found.gap == pytest.approx(0.4)
    assert found.worst_low < 0.5 - 2 * 0.02 < 0.5 < found.worst_high  # wider than of a slice that was not picked
    assert found.gap_low < 0.4 < found.gap_high
    assert found.gap_high - found.gap == pytest.approx(found.gap - found.gap_low)
    assert extremes(value_SR[:1], 0.95) is None


def test_a_gap_between_equal_slices_is_not_claimed():
    rng = np.random.default_rng(3)
    claimed = 0
    for trial in range(100):
        weight_QR = poisson_weights([str(q) for q in range(160)], 200, trial)
        value_Q, slice_Q = rng.normal(0, 1, 160), np.arange(160) % 4
        parts = [(weight_QR[slice_Q == s], value_Q[slice_Q == s, None]) for s in range(4)]
        value_SR = np.stack([(weight * value).sum(axis=0) / weight.sum(axis=0) for weight, value in parts])
        found = extremes(value_SR, 0.95)
        assert found is not None
        claimed += found.gap_low > 0
    assert claimed / 100 < 0.13
