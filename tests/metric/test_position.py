"""Rates by position by hand, and a simulated attention that falls with the position."""

import math

import numpy as np
import pytest

from recsys.metric.position import rates


def test_by_hand():
    made = rates(
        query_N=np.array([0, 0, 0, 1, 1]),
        position_N=np.array([1, 2, 5, 1, 9]),
        exposed_N=np.array([True, True, True, True, False]),
        happened_N=np.array([True, False, True, False, True]),
        weight_QR=np.array([[1.0, 3.0], [1.0, 1.0]]),
        deepest=4,
    )
    assert made.position_P.tolist() == [1, 2, 4]
    assert made.value_PR.tolist() == [[0.5, 0.75], [0.0, 0.0], [1.0, 1.0]]
    assert made.num_exposed_P.tolist() == [2, 1, 1]
    assert made.num_queries_P.tolist() == [2, 1, 1]


def test_a_position_that_was_never_exposed_has_no_rate():
    made = rates(
        query_N=np.array([0]),
        position_N=np.array([2]),
        exposed_N=np.array([False]),
        happened_N=np.array([False]),
        weight_QR=np.ones((1, 1)),
        deepest=10,
    )
    assert math.isnan(made.value_PR[0, 0])


def test_a_position_must_be_one():
    with pytest.raises(ValueError, match="position 0 must be at least 1"):
        rates(
            query_N=np.array([0]),
            position_N=np.array([0]),
            exposed_N=np.array([True]),
            happened_N=np.array([True]),
            weight_QR=np.ones((1, 1)),
            deepest=10,
        )


def test_attention_is_found():
    rng = np.random.default_rng(1)
    position_N = rng.integers(1, 6, 50_000)
    made = rates(
        query_N=rng.integers(0, 100, 50_000),
        position_N=position_N,
        exposed_N=np.ones(50_000, bool),
        happened_N=rng.random(50_000) < 0.5 / position_N,
        weight_QR=np.ones((100, 1)),
        deepest=10,
    )
    np.testing.assert_allclose(made.value_PR[:, 0], 0.5 / np.arange(1, 6), atol=0.02)
