"""The exact metric always lies in the bracket: against scikit-learn, on scores that share cells."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from recsys.metric import state_bracket
from recsys.metric.state_grid import Grid, order_key
from tests.metric.samples import each
from tests.metric.states import by_bits


def rows(seed: int):
    rng = np.random.default_rng(seed)
    num = int(rng.integers(2, 300))
    score_N = (rng.normal(size=num) * rng.choice([0.1, 1, 10])).astype(np.float32)
    if rng.random() < 0.5:
        score_N = np.round(score_N * 2) / 2
    positive_N = rng.random(num) < expit(score_N)
    positive_N[:2] = True, False
    return score_N, positive_N


def cells(score_N: np.ndarray, positive_N: np.ndarray, grid: Grid):
    cell_N = grid.cell_of(order_key(score_N)).astype(int)
    count_C2 = np.stack([np.bincount(cell_N[positive_N == c], minlength=grid.num_cells) for c in (False, True)])
    tied_C = np.bincount(cell_N[np.unique(score_N, return_index=True)[1]], minlength=grid.num_cells) == 1
    return count_C2[0], count_C2[1], tied_C


@each(range(50))
def test_the_exact_value_is_inside(seed):
    score_N, positive_N = rows(seed)
    false_C, true_C, _ = roc_curve(positive_N, score_N, drop_intermediate=False)
    exact = {
        state_bracket.auc: roc_auc_score(positive_N, score_N),
        state_bracket.average_precision: average_precision_score(positive_N, score_N),
        state_bracket.ks: float(np.abs(true_C - false_C).max()),
    }
    for bits in (5, 9):
        for metric, value in exact.items():
            low, middle, high = metric(*cells(score_N, positive_N, by_bits(bits, 1)))
            assert low - 1e-12 <= value <= high + 1e-12, metric.__name__
            assert low - 1e-12 <= middle <= high + 1e-12


def test_ties_are_no_doubt():
    score_N = np.repeat(np.array([-3.0, 0.5, 0.5, 7.0], np.float32), 5)
    positive_N = np.arange(20) % 3 == 0
    for metric, value in (
        (state_bracket.auc, roc_auc_score(positive_N, score_N)),
        (state_bracket.average_precision, average_precision_score(positive_N, score_N)),
    ):
        assert metric(*cells(score_N, positive_N, by_bits(12, 1))) == pytest.approx((value,) * 3)


def test_brackets_narrow_as_cells_do():
    rng = np.random.default_rng(0)
    score_N, positive_N = rng.normal(size=2000).astype(np.float32), rng.random(2000) < 0.3
    widths = []
    for bits in (4, 8, 12, 16):
        low, _, high = state_bracket.auc(*cells(score_N, positive_N, by_bits(bits, 1)))
        widths.append(high - low)
    assert sorted(widths, reverse=True) == widths
    assert widths[0] > 10 * widths[-1]


def test_huge_weights_do_not_overflow():
    count_C = np.full(4, 1 << 60)
    assert state_bracket.auc(count_C, count_C, np.ones(4, bool)) == (0.5, 0.5, 0.5)


def test_one_class_has_no_bracket():
    none_C, some_C, tied_C = np.zeros(3, int), np.ones(3, int), np.zeros(3, bool)
    for metric in (state_bracket.auc, state_bracket.ks):
        assert np.isnan(metric(some_C, none_C, tied_C)).all()
        assert np.isnan(metric(none_C, some_C, tied_C)).all()
    assert np.isnan(state_bracket.average_precision(some_C, none_C, tied_C)).all()
