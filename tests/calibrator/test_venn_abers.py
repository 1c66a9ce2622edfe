import time

import numpy as np
import pytest

from recsys.calibrator import VennAbers
from tests.calibrator import scenes


def test_four_rows_by_hand():
    fitted = VennAbers().fit(scenes.rows([0, 1, 2, 3], [0, 1, 0, 1]))
    low, high = fitted.interval(scenes.single([0, 1, 2, 3]))
    # a positive at 0: (0, 1) 1/2 | at 1: 1, 1, 0 pool to 2/3 | likewise at 2 | at 3: 1
    assert high == pytest.approx([1 / 2, 2 / 3, 2 / 3, 1])
    assert low == pytest.approx([0, 1 / 3, 1 / 3, 1 / 2])
    assert fitted.predict(scenes.single([1])) == pytest.approx([(2 / 3) / (1 - 1 / 3 + 2 / 3)])


def test_beyond_and_between_the_scores():
    fitted = VennAbers().fit(scenes.rows([0, 1, 2, 3], [0, 1, 0, 1]))
    low, high = fitted.interval(scenes.single([-1, 1.5, 9]))
    assert low == pytest.approx([0, 1 / 3, 1 / 2])
    assert high == pytest.approx([1 / 2, 2 / 3, 1])


def test_one_of_the_two_ends_is_calibrated():
    """Vovk & Petej (2014), theorem 1: the end that the outcome selects is perfectly calibrated. Here: unbiased."""
    scene, unseen = (scenes.simulate(k, num_queries=400, scale=3.0, shift=1.0) for k in (1, 2))
    fitted = VennAbers().fit(scenes.rows(scene.score_N, scene.positive_N))
    low_N, high_N = fitted.interval(unseen.score_N)
    assert (low_N <= high_N).all()
    said_N = np.where(unseen.positive_N, high_N, low_N)
    for part in np.array_split(np.argsort(unseen.score_N), 5):
        error = np.sqrt(unseen.positive_N[part].mean() / len(part))
        assert abs(said_N[part].mean() - unseen.positive_N[part].mean()) < 5 * error


def test_more_rows_make_the_interval_narrower():
    widths = []
    for num_queries in (10, 100, 1000):
        scene = scenes.simulate(1, num_queries=num_queries)
        low_N, high_N = VennAbers().fit(scenes.rows(scene.score_N, scene.positive_N)).interval(scene.score_N)
        widths.append((high_N - low_N).mean())
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_time_grows_like_the_number_of_scores():
    rng = np.random.default_rng(0)
    seconds = []
    for num in (2_000, 64_000):
        score_N = rng.normal(size=num).astype(np.float32)
        rows = scenes.rows(score_N, rng.random(num) < 0.3)
        started = time.perf_counter()
        VennAbers().fit(rows)
        seconds.append(time.perf_counter() - started)
    assert seconds[1] < 200 * seconds[0]  # quadratic would be 1,024 times
