"""Coverage and Gini of exposure against hand sums and the mean absolute difference."""

import math

import numpy as np
import pytest

from recsys.metric.coverage import (
    coverage,
    diversity,
    entropy,
    gini,
    lorenz,
    mean_over_queries,
    novelty,
    popularity_bias,
    top_share,
)


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


def test_even_and_uneven_exposure():
    top = np.array([0, 0, 0, 1])
    assert lorenz(top, 4).tolist() == [0, 0.75, 1, 1, 1]
    assert top_share(top, 4, 0.25) == 0.75
    assert top_share(top, 4, 0.01) == 0.75  # at least one item
    assert entropy(np.arange(7), 7) == pytest.approx(1)
    assert entropy(np.array([2, 2]), 7) == 0
    assert entropy(top, 4) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(4))
    assert math.isnan(entropy(np.zeros(0, np.int64), 4))
    assert np.isnan(lorenz(np.zeros(0, np.int64), 4)).all()
    with pytest.raises(ValueError, match="share=0 of the catalogue"):
        top_share(top, 4, 0)


def test_popularity_novelty_and_diversity_of_lists():
    query, item = np.array([0, 0, 0, 1, 3]), np.array([0, 1, 2, 2, 0])
    popularity = np.array([6.0, 2.0, 1.0, 3.0])
    bias = popularity_bias(query, item, popularity, 4)
    np.testing.assert_allclose(bias, [3 / 3, 1 / 3, np.nan, 6 / 3])
    bits = -np.log2(np.array([7, 3, 2]) / 16)
    np.testing.assert_allclose(novelty(query, item, popularity, 4), [bits.mean(), bits[2], np.nan, bits[0]])
    group = np.array([0, 0, 1, -1])
    np.testing.assert_allclose(diversity(query, item, group, 4), [2 / 3, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(diversity(query, item, np.array([0, -1, 1, 0]), 4)[0], 1.0)
    weight_QR = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 2.0], [1.0, 2.0]])
    np.testing.assert_allclose(mean_over_queries(bias, weight_QR), [10 / 9, 2.0])
    assert np.isnan(mean_over_queries(np.full(4, np.nan), weight_QR)).all()
    with pytest.raises(ValueError, match="popularity nan of item 1"):
        novelty(query, item, np.array([1.0, np.nan, 1.0, 1.0]), 4)


def test_unknown_items_are_an_error():
    with pytest.raises(ValueError, match="catalogue of 3"):
        coverage(np.array([3]), 3)
