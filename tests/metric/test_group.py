"""Slices by hand, and intervals for picked slices against simulated truth."""

import numpy as np
import pytest

from recsys.metric.bootstrap import interval
from recsys.metric.group import extremes, head_torso_tail, macro, macro_interval


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


def picked(value_SR, num_S, *, scale="linear", better="higher"):
    found = extremes(value_SR, 0.95, num_queries_S=num_S, size_S=num_S, scale=scale, better=better)
    assert found is not None
    return found


def drawn(rng, value_SQ):
    """value_SR of means over each slice's own queries."""
    weight_SQR = rng.poisson(1, (*value_SQ.shape, 101)).astype(float)
    weight_SQR[:, :, 0] = 1
    return (weight_SQR * value_SQ[:, :, None]).sum(axis=1) / weight_SQR.sum(axis=1)


def test_extremes_name_the_slices():
    rng = np.random.default_rng(0)
    value_SR = np.array([0.6, 0.9, np.nan, 0.5])[:, None] + np.c_[np.zeros(4), rng.normal(0, 0.02, (4, 200))]
    found = picked(value_SR, [50] * 4)
    assert (found.worst, found.best) == (3, 1)
    assert found.worst_value == 0.5
    assert found.gap == pytest.approx(0.4)
    assert found.worst_low < 0.5 - 2 * 0.02 < 0.5 < found.worst_high  # wider than of a slice that was not picked
    assert found.gap_low < 0.4 < found.gap_high
    assert found.gap_high - found.gap == pytest.approx(found.gap - found.gap_low)
    turned = picked(value_SR, [50] * 4, better="lower")
    assert (turned.worst, turned.best, turned.worst_value) == (1, 3, 0.9)
    assert (turned.gap, turned.gap_low) == (found.gap, found.gap_low)
    for unknown in (value_SR[:1], value_SR[:, :1]):  # one slice, no replicates
        num_S = [50] * len(unknown)
        assert extremes(unknown, 0.95, num_queries_S=num_S, size_S=num_S, scale="linear", better="higher") is None


def test_a_slice_without_spread_is_not_certain():
    value_SR = np.stack([np.zeros(100), np.r_[0.4, np.random.default_rng(1).normal(0.4, 0.1, 99)]])
    found = picked(value_SR, [20, 20], scale="logit")
    assert (found.worst, found.worst_low) == (0, 0)
    assert found.worst_high > 0.168  # Clopper & Pearson's of 20
    assert found.gap_low < 0.4 - 3.5 * 0.05
    both = picked(np.zeros((2, 100)), [20, 20], scale="logit")
    assert both.gap_low < -0.16 < 0.16 < both.gap_high


@pytest.mark.parametrize("kind", ["share", "reciprocal", "unlike"])
def test_intervals_of_what_was_picked_hold_in_small_slices(kind):
    """Eight slices of 20 queries, the least that counts: hits of which a fifth succeeds, 1 / rank of 1 to 20, and
    slices of unlike level and spread."""
    rng, held_worst, held_gap, trials = np.random.default_rng(4), 0, 0, 150
    truth_S = np.full(8, {"share": 0.2, "reciprocal": (1 / np.arange(1, 21)).mean()}.get(kind, 0))
    for _ in range(trials):
        if kind == "share":
            value_SQ = (rng.random((8, 20)) < 0.2).astype(float)
        elif kind == "reciprocal":
            value_SQ = 1 / rng.integers(1, 21, (8, 20))
        else:
            truth_S, certain_S = np.linspace(0.2, 0.8, 8), np.linspace(2, 30, 8)
            value_SQ = rng.beta((truth_S * certain_S)[:, None], ((1 - truth_S) * certain_S)[:, None], (8, 20))
        found = picked(drawn(rng, value_SQ), [20] * 8, scale="logit")
        held_worst += found.worst_low <= truth_S[found.worst] <= found.worst_high
        held_gap += found.gap_low <= truth_S[found.best] - truth_S[found.worst] <= found.gap_high
    assert held_worst / trials >= 0.93
    assert held_gap / trials >= 0.93


def test_a_large_gap_is_seen():
    rng = np.random.default_rng(2)
    truth_S = np.array([0.2, 0.5, 0.5, 0.7])
    found = picked(drawn(rng, rng.beta(4 * truth_S[:, None], 4 * (1 - truth_S)[:, None], (4, 60))), [60] * 4)
    assert (found.worst, found.best) == (0, 3)
    assert 0.2 < found.gap_low < 0.5 < found.gap_high


def test_the_macro_average_doubts_a_slice_without_spread():
    moving = np.r_[0.4, np.random.default_rng(1).normal(0.4, 0.1, 99)]
    one_still, num_S = np.stack([np.zeros(100), moving]), [20, 20]
    value, low, high = macro_interval(one_still, 0.95, num_queries_S=num_S, num_queries=40, scale="logit")
    assert value == pytest.approx(0.2)
    assert high - value == pytest.approx(np.hypot(value - low, 0.168 / 2), abs=1e-3)
    both = macro_interval(np.stack([moving, moving]), 0.95, num_queries_S=num_S, num_queries=40, scale="logit")
    assert both == pytest.approx(interval(moving, 0.95, num_queries=40))
    assert np.isnan(macro_interval(one_still, 0.95, num_queries_S=num_S, num_queries=40, scale="linear")[1])
