from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.metric import reliability
from recsys.metric.condensed import Condensed
from recsys.metric.state_grid import Grid, order_key, survey
from tests.metric.states import by_bits

NUM_GROUPS = 7


def rows(seed: int, num: int = 200, *, tied: bool = False) -> tuple[np.ndarray, ...]:
    """score_N, positive_N, weight_N, group_N."""
    rng = np.random.default_rng(seed)
    score_N = rng.normal(size=num).astype(np.float32)
    if tied:
        score_N = np.round(score_N * 2) / 2
    weight_N = rng.choice([0.0, 0.5, 1.0, 3.0], num)
    return score_N, rng.random(num) < 1 / (1 + np.exp(-score_N)), weight_N, rng.integers(0, NUM_GROUPS, num)


def condensed(grid: Grid, score_N, positive_N, weight_N, group_N) -> Condensed:
    found = Condensed.empty(grid, NUM_GROUPS)
    found.count(order_key(score_N), positive_N, weight_N, group_N)
    return found


def same(one: Condensed, other: Condensed) -> bool:
    return pa.Table.equals(one.to_table(), other.to_table())


@given(st.integers(0, 10**6), st.lists(st.integers(0, 200), max_size=6))
@settings(max_examples=40, deadline=None)
def test_the_same_bits_for_any_parts_in_any_order(seed, edges):
    table, grid = rows(seed), by_bits(12, 1)
    whole = condensed(grid, *table)
    rng = np.random.default_rng(seed)
    order, bounds = rng.permutation(200), [0, *sorted(edges), 200]
    parts = [order[a:b] for a, b in pairwise(bounds)]
    total = Condensed.empty(grid, NUM_GROUPS)
    for p in rng.permutation(len(parts)):
        part = condensed(grid, *(column[parts[p]] for column in table))
        total.add(Condensed.from_table(part.to_table()))
    assert same(total, whole)


@pytest.mark.parametrize("seed", range(5))
def test_where_a_cell_is_one_score_nothing_is_lost(seed):
    score_N, positive_N, weight_N, group_N = rows(seed, tied=True)
    sample = condensed(by_bits(16, 1), score_N, positive_N, weight_N, group_N).sample()
    seen = weight_N > 0
    assert set(sample.score_N.tolist()) == set(score_N[seen].tolist())
    loss = np.average(np.logaddexp(0, np.where(positive_N, -1, 1) * score_N.astype(float)), weights=weight_N)
    one_QR = np.ones((sample.num_queries, 1))
    assert reliability.log_loss(sample, one_QR)[0] == pytest.approx(loss, abs=1e-12)
    by_group = np.bincount(group_N, weights=weight_N * positive_N, minlength=NUM_GROUPS)
    found = np.bincount(sample.query_N, weights=sample.weight_N * sample.positive_N, minlength=NUM_GROUPS)
    assert found == pytest.approx(by_group, abs=1e-12)


def test_a_score_lies_in_the_middle_of_its_cell_and_never_outside():
    score_N, positive_N, weight_N, group_N = rows(3, 5000)
    grid = Grid.fitted(survey(order_key(score_N), positive_N), 64, 1)
    found = condensed(grid, score_N, positive_N, np.ones(5000), group_N)
    cell_N = grid.cell_of(order_key(score_N))
    for cell in range(grid.num_cells):
        inside = score_N[cell_N == cell].astype(float)
        assert found.score_C[cell] == pytest.approx((inside.min() + inside.max()) / 2, rel=1e-6)
        assert found.width_C[cell] == inside.max() - inside.min()
    del weight_N


def test_no_rows_are_no_rows():
    empty = Condensed.empty(by_bits(12, 1), NUM_GROUPS)
    assert len(empty.sample()) == 0
    score_N, positive_N, weight_N, group_N = rows(1)
    empty.count(order_key(score_N), positive_N, weight_N * 0, group_N)
    assert len(empty.sample()) == 0
    assert np.isnan(reliability.log_loss(empty.sample(), np.ones((NUM_GROUPS, 1)))).all()


def test_scores_that_are_none_are_named():
    with pytest.raises(ValueError, match="score inf at row 1 is not finite"):
        order_key(np.array([0.0, np.inf], np.float32))
