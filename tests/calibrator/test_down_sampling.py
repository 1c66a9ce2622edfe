import numpy as np
import pytest
from scipy.special import expit, logit

from recsys.calibrator import DownSampling, Logistic
from tests.calibrator import scenes


def undo(p: float, keep_rate: float) -> float:
    fitted = DownSampling(keep_rate=keep_rate).fit(scenes.rows([0.0], [True]))
    return float(fitted.predict(np.array([logit(p)]))[0])


def test_half_of_a_tenth_is_a_little():  # He et al. (2014): p = 0.5, w = 0.1
    assert undo(0.5, 0.1) == pytest.approx(0.090909, abs=1e-6)
    for p in (0.01, 0.4, 0.99):
        assert undo(p, 0.03) == pytest.approx(p / (p + (1 - p) / 0.03), abs=1e-12)


def test_a_scorer_that_learnt_from_a_sample_is_right_again():
    scene = scenes.simulate(1, num_queries=4000)
    rng = np.random.default_rng(0)
    kept_N = scene.positive_N | (rng.random(len(scene.score_N)) < 0.05)
    sampled = logit(scene.positive_N[kept_N].mean())  # a scorer that knows the rate of its sample alone
    said = DownSampling(keep_rate=0.05).fit(scenes.rows([0.0], [True])).predict(np.array([sampled]))
    assert said == pytest.approx(scene.positive_N.mean(), rel=0.02)
    assert expit(sampled) > 0.85


def test_all_kept_changes_nothing():
    assert DownSampling(keep_rate=1.0).fit(scenes.rows([0.0], [True])) == Logistic(slope=1.0, intercept=0.0)


@pytest.mark.parametrize("keep_rate", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_lies_above_0_and_not_above_1(keep_rate):
    with pytest.raises(ValueError, match=rf"keep_rate={keep_rate} must lie in \(0, 1\]"):
        DownSampling(keep_rate=keep_rate)
