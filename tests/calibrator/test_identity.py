import numpy as np
import pytest

from recsys.calibrator import Identity
from tests.calibrator import scenes


def test_it_is_the_sigmoid_of_the_score_whatever_it_is_fitted_on():
    fitted = Identity().fit(scenes.rows(np.array([5.0, -3.0], np.float32), np.array([False, True]), np.ones(2)))
    score_N = np.array([-2.0, 0.0, 3.0], np.float32)
    assert fitted.predict(score_N) == pytest.approx([1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-3))])
