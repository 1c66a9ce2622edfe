import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.metric.state_grid import NUM_PREFIXES, Grid, order_key, score_of, survey
from tests.metric.states import by_bits

floats = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50)


@given(floats)
def test_keys_order_as_scores_do_and_come_back(scores):
    score_N = np.array(scores, np.float32)
    key_N = order_key(score_N)
    np.testing.assert_array_equal(score_of(key_N), score_N + np.float32(0))
    np.testing.assert_array_equal(
        np.sign(np.subtract.outer(key_N.astype(int), key_N.astype(int))),
        np.sign(np.subtract.outer(score_N.astype(float), score_N.astype(float))),
    )


@settings(max_examples=20, deadline=None)
@given(floats, st.integers(1, 64))
def test_cells_ascend_with_the_scores_and_hold_them(scores, num_cells):
    score_N = np.sort(np.array(scores, np.float32))
    key_N = order_key(score_N)
    for grid in (Grid.fitted(survey(key_N, score_N > 0), num_cells, min(num_cells, 4)), by_bits(10, 3)):
        cell_N = grid.cell_of(key_N).astype(int)
        assert (np.diff(cell_N) >= 0).all()
        assert (grid.edge_C[cell_N] <= score_N).all()
        inner_N = cell_N + 1 < grid.num_cells
        assert (score_N[inner_N] < grid.edge_C[cell_N[inner_N] + 1]).all()
        assert 1 <= grid.num_coarse <= grid.num_cells


def test_zero_is_one_score_whatever_its_sign():
    assert order_key(np.array([0.0], np.float32)) == order_key(np.array([-0.0], np.float32))


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_named(score):
    with pytest.raises(ValueError, match="at row 1 is not finite"):
        order_key(np.array([0, score], np.float32))


def test_fitted_cells_hold_equal_shares_wherever_the_scores_lie():
    rng = np.random.default_rng(0)
    for score_N in (rng.normal(size=40_000) * 3, rng.normal(size=40_000) * 1e-4, 100 + rng.random(40_000)):
        key_N = order_key(score_N.astype(np.float32))
        grid = Grid.fitted(survey(key_N, rng.random(40_000) < 0.1), 64, 8)
        share_C = np.bincount(grid.cell_of(key_N), minlength=grid.num_cells) / 40_000
        assert grid.num_cells > 30
        assert share_C.max() < 3 / 64
        assert grid.num_coarse == 8


def test_surveys_of_parts_add_up():
    rng = np.random.default_rng(1)
    key_N, positive_N = order_key(rng.normal(size=1000).astype(np.float32)), rng.random(1000) < 0.3
    whole = survey(key_N, positive_N)
    assert whole.shape == (NUM_PREFIXES, 2)
    assert whole.sum(axis=0).tolist() == [(~positive_N).sum(), positive_N.sum()]
    np.testing.assert_array_equal(whole, survey(key_N[:7], positive_N[:7]) + survey(key_N[7:], positive_N[7:]))


def test_one_class_and_no_rows_have_grids_too():
    key_N = order_key(np.arange(100, dtype=np.float32))
    assert Grid.fitted(survey(key_N, np.zeros(100, bool)), 16, 4).num_cells == 16
    assert Grid.fitted(np.zeros((NUM_PREFIXES, 2), np.int64), 16, 4).num_cells == 1


def test_impossible_grids_are_named():
    with pytest.raises(ValueError, match="num_cells=4 and num_coarse=8"):
        Grid.fitted(np.zeros((NUM_PREFIXES, 2), np.int64), 4, 8)
    assert by_bits(8, 4).same(by_bits(8, 4))
    assert not by_bits(8, 4).same(by_bits(8, 5))
