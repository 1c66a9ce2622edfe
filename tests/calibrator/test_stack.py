"""Several models as one."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from recsys.calibrator import Platt, cross_fit, fit_stack
from tests.calibrator import scenes


def models(seed: int, num: int = 4000):
    """Two models that know different things, one that knows nothing; labels; and the true probabilities."""
    rng = np.random.default_rng(seed)
    score_NM = rng.normal(0, [1.0, 2.0, 1.0], (num, 3))
    truth_N = expit(score_NM @ np.array([1.0, 0.5, 0.0]) - 0.3)
    return score_NM, rng.random(num) < truth_N, truth_N


def test_it_finds_what_each_model_is_worth():
    score_NM, positive_N, _ = models(1, 40_000)
    stack = fit_stack(score_NM, positive_N, np.ones(40_000))
    assert (*stack.weight_M, stack.intercept) == pytest.approx((1.0, 0.5, 0.0, -0.3), abs=0.06)


def test_it_is_the_regression_of_scikit_learn_where_no_weight_is_negative():
    score_NM, positive_N, _ = models(2)
    stack = fit_stack(score_NM[:, :2], positive_N, np.ones(4000))
    reference = LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky").fit(score_NM[:, :2], positive_N)
    assert stack.weight_M == pytest.approx(reference.coef_[0], rel=2e-3)  # its targets are not smoothed


def test_a_model_that_points_the_wrong_way_gets_no_weight():
    score_NM, positive_N, _ = models(3)
    score_NM[:, 2] = -score_NM[:, 0] + np.random.default_rng(0).normal(0, 3, 4000)
    assert fit_stack(score_NM, positive_N, np.ones(4000)).weight_M[2] == pytest.approx(0, abs=0.03)
    assert fit_stack(-score_NM[:, :1], positive_N, np.ones(4000)).weight_M == (0.0,)


def test_the_stack_is_better_than_each_model_on_rows_it_has_not_seen():
    score_NM, positive_N, truth_N = models(4, 2000)
    logit_N = cross_fit(score_NM, positive_N, np.ones(2000), np.arange(2000) % 5)
    together = np.abs(expit(logit_N) - truth_N).mean()
    for m in range(3):
        rows = scenes.rows(score_NM[:, m], positive_N)
        assert together < np.abs(Platt().fit(rows).predict(rows.score_N) - truth_N).mean() / 2


def test_a_row_is_scored_by_folds_it_is_not_in():
    score_NM, positive_N, _ = models(5, 100)
    fold_N = np.arange(100) % 4
    logit_N = cross_fit(score_NM, positive_N, np.ones(100), fold_N)
    stack = fit_stack(score_NM[fold_N != 2], positive_N[fold_N != 2], np.ones(75))
    assert logit_N[fold_N == 2].tolist() == stack.score(score_NM[fold_N == 2]).tolist()


def test_the_order_of_the_rows_changes_no_bit():
    score_NM, positive_N, _ = models(6, 300)
    weight_N, order = np.random.default_rng(0).random(300), np.random.default_rng(1).permutation(300)
    assert fit_stack(score_NM, positive_N, weight_N) == fit_stack(score_NM[order], positive_N[order], weight_N[order])


def test_equal_scores_say_only_the_rate():
    stack = fit_stack(np.ones((8, 2)), np.ones(8, bool), np.ones(8))
    assert expit(stack.score(np.zeros((1, 2)))) == pytest.approx(9 / 10)
    with pytest.raises(ValueError, match="score nan"):
        fit_stack(np.array([[0.0, np.nan]]), np.ones(1, bool), np.ones(1))
