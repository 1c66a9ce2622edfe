import numpy as np
import pytest
from scipy.special import expit, logit

from recsys.calibrator import Bends, Platt, Spline
from tests.calibrator import scenes


def test_the_slope_of_the_logit_is_straight_between_knots_and_constant_outside():
    fitted = Bends(score_K=(-1.0, 1.0, 2.0), slope_K=(0.5, 2.0, 0.0), intercept=-0.3)
    score_N = np.linspace(-4, 5, 901)
    slope_N = np.gradient(logit(fitted.predict(score_N)), score_N)
    expected_N = np.interp(score_N, fitted.score_K, fitted.slope_K)
    np.testing.assert_allclose(slope_N[5:-5], expected_N[5:-5], atol=0.02)
    assert fitted.predict(np.array([-1.0])) == pytest.approx(expit(-0.3))


def test_two_knots_may_be_platt_and_more_are_not_worse_on_their_own_rows():
    scene = scenes.simulate(4, scale=2.0, shift=1.0, num_queries=300)
    rows = scenes.rows(scene.score_N, scene.positive_N)
    losses = [
        scenes.log_loss(option.fit(rows).predict(scene.score_N), scene.positive_N, scene.weight_N)
        for option in (Platt(), Spline(num_knots=2), Spline(num_knots=8))
    ]
    assert losses[0] >= losses[1] - 1e-6 >= losses[2] - 2e-3


def test_it_finds_a_bend_that_no_logistic_curve_has():
    rng = np.random.default_rng(0)
    score_N = rng.uniform(-3, 3, 40_000).astype(np.float32)
    truth_N = expit(np.where(score_N < 0, 0.2, 2.0) * score_N)
    rows = scenes.rows(score_N, rng.random(40_000) < truth_N)
    spline, platt = (
        np.abs(option.fit(rows).predict(score_N) - truth_N).mean() for option in (Spline(num_knots=6), Platt())
    )
    assert spline < 0.015 < platt / 2


def test_a_truth_that_falls_is_level_there():
    rng = np.random.default_rng(0)
    score_N = rng.uniform(-3, 3, 5000).astype(np.float32)
    fitted = Spline(num_knots=6).fit(scenes.rows(score_N, rng.random(5000) < expit(-np.abs(score_N))))
    probability_N = fitted.predict(np.linspace(-5, 5, 101))
    assert (np.diff(probability_N) >= 0).all()
    assert min(fitted.slope_K) == 0


@pytest.mark.parametrize("num_knots", [1, 51])
def test_wrong_knobs_are_an_error(num_knots):
    with pytest.raises(ValueError, match=f"num_knots={num_knots}"):
        Spline(num_knots=num_knots)
