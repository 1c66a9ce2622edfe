"""The parts of the Brier score by hand, their sum, and what holds for every metric."""

import pytest

from recsys.metric.decomposition import brier_reliability, brier_resolution, brier_uncertainty, brier_within
from recsys.metric.reliability import brier
from tests.metric import laws, samples

EVERY = [brier_reliability(5), brier_resolution(5), brier_uncertainty, brier_within(5)]


def test_by_hand():
    sample = samples.make([0] * 4, [0.0] * 4, [0, 0, 1, 0], probability=[0.1, 0.1, 0.8, 0.8])
    parts = [laws.value(metric, sample) for metric in EVERY]
    laws.same(parts, [(0.1**2 + 0.3**2) / 2, 0.25**2, 0.25 * 0.75, 0.0])


def test_the_parts_add_up_for_every_weighting():
    for number in range(60):
        sample = samples.draw(number)
        weight_QR = samples.weightings(sample, number)
        reliability, resolution, uncertainty, within = (metric(sample, weight_QR) for metric in EVERY)
        laws.same(brier(sample, weight_QR), reliability - resolution + uncertainty + within)


@pytest.mark.parametrize("metric", EVERY)
def test_laws(metric):
    laws.the_order_of_the_rows_changes_no_bit(metric, range(40))
    laws.the_estimate_does_not_depend_on_the_replicates_beside_it(metric, range(20))
    laws.nothing_is_undefined_and_not_zero(metric)
