"""What holds for every metric, whatever it measures."""

import numpy as np

from recsys.metric import Metric
from tests.metric import samples


def same(one, other, tolerance=1e-12):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


def value(metric: Metric, sample) -> float:
    return metric(sample, samples.ones(sample))[0]


def the_order_of_the_rows_changes_no_bit(metric: Metric, seeds) -> None:
    for number in seeds:
        sample = samples.draw(number)
        weight_QR = samples.weightings(sample, number)
        one, other = metric(sample, weight_QR), metric(samples.shuffle(sample, number + 1), weight_QR)
        assert one.tobytes() == other.tobytes()


def a_replicate_is_the_sample_with_its_queries_repeated(metric: Metric, seeds, tolerance=1e-12) -> None:
    for number in seeds:
        sample = samples.draw(number)
        weight_QR = samples.weightings(sample, number)
        for weight_Q, got in zip(weight_QR.T, metric(sample, weight_QR), strict=True):
            same(got, value(metric, samples.repeat(sample, weight_Q)), tolerance)


def the_estimate_does_not_depend_on_the_replicates_beside_it(metric: Metric, seeds) -> None:
    for number in seeds:
        sample = samples.draw(number)
        beside = metric(sample, samples.weightings(sample, number, num=9))[0]
        assert value(metric, sample).tobytes() == beside.tobytes()


def nothing_is_undefined_and_not_zero(metric: Metric) -> None:
    empty = samples.make([], [], [], num_queries=4)
    assert np.isnan(metric(empty, samples.weightings(empty, 0))).all()
