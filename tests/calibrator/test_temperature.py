import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit

from recsys.calibrator import Logistic, Temperature
from tests.calibrator import scenes


def smoothed(positive_N, weight_N):
    positive, negative = weight_N[positive_N].sum(), weight_N[~positive_N].sum()
    return np.where(positive_N, (positive + 1) / (positive + 2), 1 / (negative + 2))


@pytest.mark.parametrize("scale", [1e-3, 0.3, 1.0, 3.0, 1e3])
def test_the_loss_is_that_of_a_bounded_search(scale):
    rng = np.random.default_rng(int(scale))
    scene = scenes.simulate(int(scale * 10), scale=scale)
    weight_N = rng.integers(1, 5, len(scene.score_N)).astype(float)
    target_N = smoothed(scene.positive_N, weight_N)
    fitted = Temperature().fit(scenes.rows(scene.score_N, scene.positive_N, weight_N))

    def loss(slope):
        return scenes.log_loss(expit(slope * scene.score_N.astype(float)), target_N, weight_N)

    reference = minimize_scalar(loss, bounds=(0, 10 / scale), method="bounded", options={"xatol": 1e-10 / scale})
    assert loss(fitted.slope) <= reference.fun + 1e-10
    assert fitted.slope == pytest.approx(1 / scale, rel=0.25)
    assert fitted.intercept == 0


def test_scores_that_point_the_wrong_way_say_nothing():
    scene = scenes.simulate(1)
    assert Temperature().fit(scenes.rows(-scene.score_N, scene.positive_N, scene.weight_N)) == Logistic(
        slope=0.0, intercept=0.0
    )


def test_separable_classes_keep_a_finite_slope():
    score_N = np.array([-2, -1, 1, 2], np.float32)
    fitted = Temperature().fit(scenes.rows(score_N, score_N > 0, np.ones(4)))
    assert 0.5 < fitted.predict(score_N)[2] < 0.9  # (2 + 1) / (2 + 2) is what a positive counts as


def test_scores_of_zero_leave_the_factor_alone():
    assert Temperature().fit(scenes.rows(np.zeros(3, np.float32), np.array([True, False, True]), np.ones(3))).slope == 1
