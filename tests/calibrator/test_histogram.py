import numpy as np
import pytest
from scipy.special import logit

from recsys.calibrator import Histogram
from tests.calibrator import scenes


def test_bins_of_equal_mass_hold_equally_many_and_share_no_score():
    fitted = Histogram(bins="mass", num_bins=3).fit(scenes.rows([0, 1, 2, 3, 4, 5], [0, 1, 1, 0, 1, 1]))
    assert fitted.edge_E == (1.5, 3.5)
    assert fitted.probability_B == pytest.approx([1 / 2, 1 / 2, 2.5 / 3])
    tied = Histogram(bins="mass", num_bins=3).fit(scenes.rows([0, 0, 0, 0, 1, 2], [0, 0, 0, 1, 0, 1]))
    assert tied.edge_E == (0.5,)
    assert tied.probability_B == pytest.approx([1 / 4, 1 / 2])


def test_bins_of_equal_width_are_cut_on_the_probability():
    score = logit([0.1, 0.2, 0.3, 0.6, 0.9, 0.95])
    fitted = Histogram(bins="width", num_bins=4).fit(scenes.rows(score, [0, 1, 1, 0, 1, 1]))
    assert fitted.probability_B == pytest.approx([1 / 2, 1.5 / 2, 0.5 / 2, 2.5 / 3])
    assert fitted.predict(scenes.single(score)) == pytest.approx([1 / 2, 1 / 2, 3 / 4, 1 / 4, 5 / 6, 5 / 6])


def test_an_empty_bin_is_shared_by_its_neighbours():
    fitted = Histogram(bins="width", num_bins=10).fit(scenes.rows([-2, -2, 2, 2], [0, 1, 1, 1]))
    assert fitted.edge_E == (0,)


def test_a_lower_bin_may_say_more():
    fitted = Histogram(bins="mass", num_bins=2).fit(scenes.rows([0, 0, 1, 1], [1, 1, 0, 1]))
    assert np.diff(fitted.predict(scenes.single([0, 1])))[0] < 0
    assert fitted.order == "free"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": "weight", "num_bins": 5}, "'weight' is unknown; use width or mass"),
        ({"bins": "mass", "num_bins": 0}, "=0"),
    ],
)
def test_wrong_knobs_are_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        Histogram(**options)
