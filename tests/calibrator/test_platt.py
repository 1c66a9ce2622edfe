import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from recsys.calibrator import Platt
from tests.calibrator import scenes
from tests.calibrator.scenes import single
from tests.calibrator.test_temperature import smoothed


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.3, -2.0), (3.0, 2.0), (1e-3, 1.0), (100.0, 1e4)])
def test_the_loss_is_that_of_scikit_learn(scale, shift):
    scene = scenes.simulate(7, scale=scale, shift=shift)
    weight_N = np.random.default_rng(1).integers(1, 5, len(scene.score_N)).astype(float)
    target_N = smoothed(scene.positive_N, weight_N)
    score_N = scene.score_N.astype(float)
    fitted = Platt().fit(scenes.rows(scene.score_N, scene.positive_N, weight_N))

    standard_N = (score_N - score_N.mean()) / score_N.std()
    both = np.r_[standard_N, standard_N][:, None], np.r_[np.ones(len(score_N)), np.zeros(len(score_N))]
    reference = LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky")
    reference.fit(*both, sample_weight=np.r_[weight_N * target_N, weight_N * (1 - target_N)])
    best = scenes.log_loss(reference.predict_proba(standard_N[:, None])[:, 1], target_N, weight_N)
    assert scenes.log_loss(fitted.predict(scene.score_N), target_N, weight_N) == pytest.approx(best, abs=1e-8)
    assert fitted.slope * scale == pytest.approx(1.0, rel=0.25)


def test_the_mean_probability_is_the_mean_target():
    scene = scenes.simulate(3, scale=3, shift=2)
    probability_N = Platt().fit(scenes.rows(scene.score_N, scene.positive_N, scene.weight_N)).predict(scene.score_N)
    assert probability_N.mean() == pytest.approx(smoothed(scene.positive_N, scene.weight_N).mean(), abs=1e-8)


def test_scores_that_point_the_wrong_way_say_only_the_rate():
    scene = scenes.simulate(1)
    fitted = Platt().fit(scenes.rows(-scene.score_N, scene.positive_N, scene.weight_N))
    assert fitted.slope == 0
    assert expit(fitted.intercept) == pytest.approx(smoothed(scene.positive_N, scene.weight_N).mean())


def test_equal_scores_and_one_class_give_the_smoothed_rate():
    fitted = Platt().fit(scenes.rows(np.full(8, 3.25, np.float32), np.ones(8, bool), np.ones(8)))
    assert fitted.predict(single([-9, 3.25])) == pytest.approx([9 / 10, 9 / 10])


def test_separable_classes_keep_a_finite_slope():
    score_N = np.r_[np.full(5, -1), np.full(5, 1)].astype(np.float32)
    fitted = Platt().fit(scenes.rows(score_N, score_N > 0, np.ones(10)))
    assert fitted.predict(score_N[[0, -1]]) == pytest.approx([1 / 7, 6 / 7])  # Platt's targets exactly
