"""Cumulative calibration error against published values, simulated truth, and what holds for every metric."""

import math

import numpy as np
import pytest

from recsys.metric.cumulative import ecce, ecce_scale
from tests.metric import laws, samples


def rows(probability, label, weight=None):
    return samples.make([0] * len(label), [0.0] * len(label), label, probability=probability, weight=weight)


@pytest.mark.parametrize(
    ("label", "weight", "expected"),
    [
        ([0, 1, 0, 1], None, 0.15),
        ([1, 1, 1, 1], None, 0.5),
        ([0, 1, 0, 0], None, 0.3),
        ([0, 1, 0, 0], [0.4, 0.3, 0.2, 0.1], 0.32),
    ],
)
def test_published_values(label, weight, expected):  # of the tests of MCGrad
    assert laws.value(ecce, rows([0.6, 0.8, 0.2, 0.4], label, weight)) == pytest.approx(expected, abs=1e-15)


def test_equal_probabilities_are_one_step():
    # one by one the walk would go up to 0.25 or down to -0.25 on its way, depending on the order
    assert laws.value(ecce, rows([0.5] * 4, [1, 1, 0, 0])) == 0


def test_the_scale_tells_chance_from_error():
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(200):
        probability = rng.random(500)
        sample = rows(probability.tolist(), (rng.random(500) < probability).astype(float).tolist())
        ratios.append(laws.value(ecce, sample) / laws.value(ecce_scale, sample))
    walk = math.sqrt(8 / math.pi)  # expected range of a Brownian motion
    assert np.mean(ratios) == pytest.approx(walk, abs=float(4 * np.std(ratios) / math.sqrt(200) + 0.03))
    sample = rows([0.5, 0.2], [1, 0], [2, 3])
    laws.same(laws.value(ecce_scale, sample), math.sqrt(2 * 0.25 + 3 * 0.16) / 5)


@pytest.mark.parametrize("metric", [ecce, ecce_scale])
def test_laws(metric):
    laws.the_order_of_the_rows_changes_no_bit(metric, range(60))
    laws.a_replicate_is_the_sample_with_its_queries_repeated(metric, range(40))
    laws.the_estimate_does_not_depend_on_the_replicates_beside_it(metric, range(20))
    laws.nothing_is_undefined_and_not_zero(metric)
