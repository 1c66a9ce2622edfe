import math

import numpy as np
import pytest

from recsys.calibrator import Bbq
from tests.calibrator import scenes


def test_one_score_is_one_histogram_of_one_bin():
    fitted = Bbq(range_factor=10).fit(scenes.rows([0.3] * 4, [1, 1, 0, 1]))
    assert fitted.probability_B == pytest.approx([(3 + 1) / (4 + 2)])  # a prior of two observations around 1/2


def test_two_histograms_are_averaged_by_their_evidence():
    """Scores 0 and 2, twice each, all negative and all positive: one bin, or two, by hand."""
    fitted = Bbq(range_factor=1.1).fit(scenes.rows([0, 0, 2, 2], [0, 0, 1, 1]))
    one = math.log(math.gamma(2) / math.gamma(6) * math.gamma(3) ** 2)
    low, high = (0 + 1 / (1 + math.exp(-1))) / 2, (1 / (1 + math.exp(-1)) + 1) / 2
    two = sum(math.log(math.gamma(1) / math.gamma(3) * math.gamma(2 + p) / math.gamma(p)) for p in (1 - low, high))
    share = 1 / (1 + math.exp(one - two))
    expected = [share * low / 3 + (1 - share) / 2, share * (2 + high) / 3 + (1 - share) / 2]
    assert fitted.probability_B == pytest.approx(expected)


def test_it_finds_a_step():
    rng = np.random.default_rng(0)
    score_N = rng.uniform(-3, 3, 20_000).astype(np.float32)
    truth_N = np.where(score_N < 0, 0.2, 0.7)
    fitted = Bbq(range_factor=10).fit(scenes.rows(score_N, rng.random(20_000) < truth_N))
    assert np.abs(fitted.predict(score_N) - truth_N).mean() < 0.015


def test_a_narrow_range_is_refused():
    with pytest.raises(ValueError, match=r"range_factor=0\.5"):
        Bbq(range_factor=0.5)
