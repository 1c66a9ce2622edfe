import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from recsys.calibrator import Isotonic
from tests.calibrator import scenes
from tests.calibrator.scenes import single


def fit(score, positive, weight=None):
    positive_N = np.array(positive, bool)
    weight_N = np.ones(len(positive_N)) if weight is None else np.array(weight, float)
    return Isotonic().fit(scenes.rows(np.array(score, np.float32), positive_N, weight_N))


def test_ties_are_gathered_first():  # scikit-learn#9484: [0, 1/3, 1/3, 1/3, 1], here with the ends kept off 0 and 1
    fitted = fit([0, 1, 1, 2, 3], [0, 0, 1, 0, 1])
    assert fitted.predict(single([1, 2])) == pytest.approx([1 / 3, 1 / 3])
    assert fitted.predict(single([0, 3])) == pytest.approx([0.25, 0.75])


def test_inside_it_is_that_of_scikit_learn():
    for number in range(200):
        rng = np.random.default_rng(number)
        score_N = rng.normal(size=80).round(int(rng.integers(0, 4))).astype(np.float32)
        positive_N, weight_N = rng.random(80) < 1 / (1 + np.exp(-score_N)), rng.integers(1, 5, 80).astype(float)
        reference = IsotonicRegression(out_of_bounds="clip").fit(score_N, positive_N, sample_weight=weight_N)
        wanted = reference.predict(score_N)
        inside = (wanted > 1e-9) & (wanted < 1 - 1e-9)
        got = fit(score_N, positive_N, weight_N).predict(score_N)
        np.testing.assert_allclose(got[inside], wanted[inside], atol=1e-6)
        assert ((got > 0) & (got < 1)).all()


def test_a_pool_of_one_class_is_smoothed_by_its_size_but_not_past_its_neighbour():
    fitted = fit([0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1, 1])
    assert fitted.predict(single([0, 1, 2])) == pytest.approx([0.5 / 4, 0.5, 2.5 / 3])
    rare = fit([0, *[1] * 1000], [0, 1, *[0] * 999])  # one row cannot claim 1/4 beside 1 in 1000
    assert rare.predict(single([0, 1])) == pytest.approx([1 / 1000, 1 / 1000])


@pytest.mark.parametrize(("positive", "expected"), [(False, 0.5 / 5), (True, 4.5 / 5)])
def test_one_class_alone(positive, expected):
    assert fit([0, 1, 2, 3], [positive] * 4).predict(single([-1, 9])) == pytest.approx([expected] * 2)


def test_between_pools_it_is_straight():
    fitted = fit([0, 0, 2, 2], [0, 1, 1, 1])
    assert fitted.predict(single([1])) == pytest.approx([(0.5 + 2.5 / 3) / 2])


def test_it_finds_a_shape_that_no_logistic_curve_has():
    rng = np.random.default_rng(0)
    score_N = rng.random(20_000).astype(np.float32)
    truth_N = np.where(score_N < 0.5, 0.2, 0.7)
    fitted = fit(score_N, rng.random(20_000) < truth_N)
    assert np.abs(fitted.predict(score_N) - truth_N).mean() < 0.03


def test_held_out_loss_is_finite_where_classes_separate():
    scene = scenes.simulate(1, scale=20)
    fitted = fit(scene.score_N, scene.score_N > 0)
    assert np.isfinite(np.log(fitted.predict(single([-1e9, 1e9])))).all()
