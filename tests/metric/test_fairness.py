"""What groups get by hand, and how often a small group is called that is as it should be."""

import numpy as np
import pytest

from recsys.metric.bootstrap import interval, poisson_weights
from recsys.metric.fairness import calibration_difference, exposure_ratio, least_error, selection_rate
from tests.metric import laws, samples

IDS = [f"query {q}" for q in range(200)]


def test_by_hand():
    sample = samples.make([0, 0, 1], [0, 0, 0], [1, 0, 0], probability=[0.5, 0.2, 0.9], weight=[2, 1, 1])
    laws.same(laws.value(selection_rate(0.5), sample), 3 / 4)
    laws.same(laws.value(calibration_difference, sample), (2 * 0.5 + 0.2 + 0.9) / 4 - 2 / 4)


def test_exposure_over_size():
    # group 0 has 3 of 4 items and 2 of 4 places; group 1 one item and 2 places; group 2 nothing at all
    ratio_GR = exposure_ratio(
        np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([3, 1, 0]), np.array([[1.0, 0.0], [1.0, 2.0]])
    )
    laws.same(ratio_GR, [[2 / 3, 2 / 3], [2, 2], [np.nan, np.nan]])
    nothing = exposure_ratio(np.zeros(0, np.int64), np.zeros(0, np.int64), np.array([3, 1]), np.ones((2, 1)))
    assert np.isnan(nothing).all()


@pytest.mark.parametrize("metric", [selection_rate(0.31), calibration_difference])
def test_laws(metric):
    laws.the_order_of_the_rows_changes_no_bit(metric, range(30))
    laws.a_replicate_is_the_sample_with_its_queries_repeated(metric, range(20))
    laws.nothing_is_undefined_and_not_zero(metric)


@pytest.mark.parametrize(("size", "least"), [(20, 0.005), (20, 0.02)])
def test_true_probabilities_of_a_small_group_are_believed(size, least):
    """Groups of 20 queries and 10 rows each, and a rare outcome that happens as often as stated: 1 or 4 expected."""
    rng, held = np.random.default_rng(8), 0
    for _ in range(200):
        probability_N = least * rng.lognormal(0, 0.5, size * 10)
        sample = samples.make(
            np.repeat(np.arange(size), 10).tolist(),
            [0.0] * (size * 10),
            (rng.random(size * 10) < probability_N).tolist(),
            probability=probability_N.tolist(),
        )
        value_R = calibration_difference(sample, poisson_weights(IDS[:size], 60, 1))
        _, low, high = interval(value_R, 0.95, num_queries=size, least_error=least_error(sample))
        held += low <= 0 <= high
    assert held / 200 >= 0.92
    by_hand = np.sqrt((probability_N * (1 - probability_N)).sum()) / (size * 10)
    assert least_error(sample) == pytest.approx(by_hand)
    assert np.isnan(least_error(sample.select(np.zeros(len(sample), bool))))
