"""Area under the precision-recall curve and Kolmogorov-Smirnov distance by hand, and what holds for every metric."""

import math

import numpy as np
import pytest

from recsys.metric.separation import average_precision, ks
from tests.metric import laws, samples

EVERY = [average_precision, ks]


def test_by_hand():
    # best first: positive, negative, positive and negative tied, positive
    sample = samples.make([0] * 5, [5, 4, 3, 3, 1], [1, 0, 1, 0, 1])
    laws.same(laws.value(average_precision, sample), (1 / 1 + 2 / 4 + 3 / 5) / 3)
    laws.same(laws.value(ks, sample), 1 / 3)  # at 5 and at 3: shares 1/3 - 0 and 2/3 - 1
    twice = samples.make([0] * 4, [5, 4, 3, 1], [1, 0, 0, 1], weight=[3, 1, 1, 1])
    laws.same(laws.value(average_precision, twice), 3 / 4 * 1 + 1 / 4 * 4 / 6)
    laws.same(laws.value(ks, twice), 3 / 4)


def test_what_a_random_order_has():
    rng = np.random.default_rng(1)
    for num_positive, num in ((1, 10), (60, 400)):
        label = [1] * num_positive + [0] * (num - num_positive)
        shuffled = [samples.make([0] * num, rng.permutation(num).tolist(), label) for _ in range(300)]
        precision, distance = (np.mean([laws.value(metric, sample) for sample in shuffled]) for metric in EVERY)
        if num_positive == 1:
            assert precision == pytest.approx(0.29, abs=0.06)
        else:
            assert precision == pytest.approx(num_positive / num, rel=0.15)
            assert distance == pytest.approx(0.87 * (1 / num_positive + 1 / (num - num_positive)) ** 0.5, rel=0.05)


def test_one_class_is_undefined():
    positive, negative = samples.make([0, 0], [1, 2], [1, 1]), samples.make([0, 0], [1, 2], [0, 0])
    assert laws.value(average_precision, positive) == 1
    assert math.isnan(laws.value(average_precision, negative))
    assert math.isnan(laws.value(ks, positive))
    assert math.isnan(laws.value(ks, negative))


@pytest.mark.parametrize("metric", EVERY)
def test_laws(metric):
    laws.the_order_of_the_rows_changes_no_bit(metric, range(60))
    laws.a_replicate_is_the_sample_with_its_queries_repeated(metric, range(40))
    laws.the_estimate_does_not_depend_on_the_replicates_beside_it(metric, range(20))
    laws.nothing_is_undefined_and_not_zero(metric)
