import numpy as np
import pytest
from scipy.special import expit, logit

from recsys.calibrator import Beta, Platt, TwoSlopes
from tests.calibrator import scenes


def test_it_is_the_formula_of_the_paper():
    p_N = np.array([0.01, 0.3, 0.5, 0.99])
    fitted = TwoSlopes(low=0.7, high=1.9, intercept=-0.4)
    expected = 1 / (1 + 1 / (np.exp(-0.4) * p_N**0.7 / (1 - p_N) ** 1.9))  # equation 3, c = -0.4
    np.testing.assert_allclose(fitted.predict(logit(p_N)), expected, rtol=1e-12)


def test_it_recovers_a_scorer_that_is_too_sure_on_one_side():
    rng = np.random.default_rng(1)
    score_N = rng.normal(0, 2, 50_000).astype(np.float32)
    truth = TwoSlopes(low=0.4, high=1.5, intercept=-0.3)
    fitted = Beta().fit(scenes.rows(score_N, rng.random(50_000) < truth.predict(score_N)))
    assert (fitted.low, fitted.high, fitted.intercept) == pytest.approx((0.4, 1.5, -0.3), abs=0.1)


def test_where_both_slopes_are_equal_it_is_platt():
    scene = scenes.simulate(2, num_queries=1000, scale=2.0, shift=1.0)
    rows = scenes.rows(scene.score_N, scene.positive_N)
    np.testing.assert_allclose(
        Beta().fit(rows).predict(scene.score_N), Platt().fit(rows).predict(scene.score_N), atol=0.02
    )


def test_scores_that_point_the_wrong_way_say_only_the_rate():
    scene = scenes.simulate(1)
    fitted = Beta().fit(scenes.rows(-scene.score_N, scene.positive_N))
    assert (fitted.low, fitted.high) == (0, 0)
    assert expit(fitted.intercept) == pytest.approx(scene.positive_N.mean(), abs=0.01)


def test_scores_all_far_on_one_side_use_one_slope():
    score_N = np.linspace(30, 40, 200).astype(np.float32)
    fitted = Beta().fit(scenes.rows(score_N, np.arange(200) % 10 < 5 + (score_N > 35)))
    assert fitted.low == 0
    assert 0 < fitted.high < 1
    assert 0.3 < fitted.predict(scenes.single([0]))[0] < 0.6  # the slope of scores below 0 is not known
