import numpy as np
import pytest

from recsys.calibrator import CentredIsotonic, Isotonic
from tests.calibrator import scenes


def fit(score, positive, weight=None):
    return CentredIsotonic().fit(scenes.rows(score, positive, weight))


def test_a_pool_becomes_its_centre():
    fitted = fit([0, 0, 1, 1, 2, 2, 4, 4], [0, 1, 1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1])
    # rates 1/2, 1, 1/2, 1: scores 1 and 2 pool to 3/4 at 1.5; the last pool of two positives is (2 + 1/2) / (2 + 1)
    assert fitted.score_K == pytest.approx([0, 1.5, 4])
    assert fitted.probability_K == pytest.approx([1 / 2, 3 / 4, 5 / 6])
    assert fitted.predict(scenes.single([0.75])) == pytest.approx([5 / 8])


def test_the_centre_is_weighted():
    fitted = fit([0, 1, 4], [1, 0, 1], [1, 3, 2])
    assert fitted.score_K == pytest.approx([0.75, 4])
    assert fitted.probability_K == pytest.approx([1 / 4, 5 / 6])


def test_between_the_outer_centres_nothing_ties():
    scene = scenes.simulate(3, num_queries=200)
    rows = scenes.rows(scene.score_N, scene.positive_N)
    centred = CentredIsotonic().fit(rows)
    score_N = np.unique(scene.score_N)
    inner_N = score_N[(score_N > centred.score_K[0]) & (score_N < centred.score_K[-1])]
    assert len(np.unique(centred.predict(inner_N))) == len(inner_N)
    assert len(np.unique(Isotonic().fit(rows).predict(inner_N))) < len(inner_N)


def test_it_is_closer_to_a_smooth_truth_than_isotonic():
    closer = 0
    for number in range(20):
        scene = scenes.simulate(number)
        rows = scenes.rows(scene.score_N, scene.positive_N)
        centred, plain = (
            np.abs(option.fit(rows).predict(scene.score_N) - scene.truth_N).mean()
            for option in (CentredIsotonic(), Isotonic())
        )
        closer += centred < plain
    assert closer >= 18
