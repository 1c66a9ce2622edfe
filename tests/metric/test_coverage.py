"""Coverage and Gini of exposure against hand sums and the mean absolute difference."""

import math

import numpy as np
import pytest

from recsys.metric.coverage import coverage, gini


def test_by_hand():
    top = np.array([0, 1, 1, 3])
    assert coverage(top, 8) == 3 / 8
    assert gini(np.arange(5), 5) == 0
    assert gini(np.array([2, 2, 2]), 4) == 1 - 1 / 4
    assert coverage(np.zeros(0, np.int64), 4) == 0
    assert math.isnan(gini(np.zeros(0, np.int64), 4))


def test_gini_is_half_the_relative_mean_difference():
    rng = np.random.default_rng(1)
    for _ in range(50):
        top = rng.integers(0, 9, rng.integers(1, 40))
        exposure = np.bincount(top, minlength=12).astype(float)
        expected = np.abs(exposure[:, None] - exposure).mean() / (2 * exposure.mean())
        assert gini(top, 12) == pytest.approx(expected)


def test_unknown_items_are_an_error():
    with pytest.raises(ValueError, match="catalogue of 3"):
        coverage(np.array([3]), 3)
