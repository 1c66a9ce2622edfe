"""Smooth calibration error against closed forms and simulated truth, and what holds for every metric."""

import numpy as np
import pytest

from recsys.metric.reliability import ece
from recsys.metric.smooth import smooth_ece
from tests.metric import laws, samples


def rows(probability, label):
    return samples.make([0] * len(label), [0.0] * len(label), label, probability=probability)


@pytest.mark.parametrize(("probability", "label"), [(0.5, 1), (0.3, 0), (0.9, 0), (0.0, 1)])
def test_one_probability_alone_is_its_own_error(probability, label):
    # smoothing spreads a residual of one sign and loses nothing of it
    laws.same(laws.value(smooth_ece, rows([probability], [label])), abs(label - probability), 1e-11)


def test_right_probabilities_have_none():
    assert laws.value(smooth_ece, rows([0.0, 1.0, 1.0], [0, 1, 1])) == 0
    assert laws.value(smooth_ece, rows([0.5, 0.5], [0, 1])) == 0


def test_a_shift_is_found_and_chance_shows_less_than_in_bins():
    rng = np.random.default_rng(3)
    perfect, binned, shifted = [], [], []
    for _ in range(20):
        probability = rng.uniform(0, 0.8, 500)
        label = rng.random(500) < probability
        perfect.append(laws.value(smooth_ece, rows(probability.tolist(), label.astype(float).tolist())))
        binned.append(laws.value(ece(15), rows(probability.tolist(), label.astype(float).tolist())))
        shifted.append(laws.value(smooth_ece, rows((probability + 0.15).tolist(), label.astype(float).tolist())))
    assert np.mean(perfect) < np.mean(binned)
    assert np.mean(shifted) == pytest.approx(0.15, abs=0.02)


def test_laws():
    laws.the_order_of_the_rows_changes_no_bit(smooth_ece, range(12))
    laws.a_replicate_is_the_sample_with_its_queries_repeated(smooth_ece, range(5), 1e-11)
    laws.the_estimate_does_not_depend_on_the_replicates_beside_it(smooth_ece, range(5))
    laws.nothing_is_undefined_and_not_zero(smooth_ece)
