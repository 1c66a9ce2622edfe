"""What groups get by hand, and how often a difference is called that is none."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from recsys.metric.bootstrap import poisson_weights
from recsys.metric.compare import false_discovery
from recsys.metric.fairness import calibration_difference, exposure_ratio, p_values, selection_rate
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


def test_p_values_are_those_of_students_test():
    rng = np.random.default_rng(4)
    value_GQ = rng.normal(0.15, 1, (5, 200))
    weight_QR = poisson_weights(IDS, 2000, 3)
    value_GR = value_GQ @ weight_QR / weight_QR.sum(axis=0)
    expected = [ttest_1samp(value_Q, 0).pvalue for value_Q in value_GQ]
    np.testing.assert_allclose(p_values(value_GR, np.full(5, 200)), expected, atol=0.02, rtol=0.25)


def test_few_equal_groups_are_called_different():
    rng = np.random.default_rng(5)
    weight_QR = poisson_weights(IDS, 100, 3)
    called = false = 0
    for _ in range(60):
        value_GQ = rng.normal(np.r_[np.zeros(8), 0.5, 0.5][:, None], 1, (10, 200))
        value_GR = value_GQ @ weight_QR / weight_QR.sum(axis=0)
        adjusted_G = false_discovery(p_values(value_GR, np.full(10, 200)))
        called += int((adjusted_G <= 0.05).sum())
        false += int((adjusted_G[:8] <= 0.05).sum())
    assert called > 110  # nearly all of 120 true differences
    assert false / called < 0.09  # 5 % nominal


def test_what_cannot_be_known_is_no_test():
    value_GR = np.stack(
        [np.full(50, np.nan), np.full(50, 0.2), np.r_[0.3, np.random.default_rng(1).normal(0.3, 0.1, 49)]]
    )
    assert np.isfinite(false_discovery(p_values(value_GR, np.array([9, 9, 9])))).tolist() == [False, False, True]
    assert np.isnan(p_values(value_GR, np.array([1, 1, 1]))).all()
