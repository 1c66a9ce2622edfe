"""Decisions by hand, the recommended threshold, and what holds for every metric; the rest is in test_parity."""

import math

import numpy as np
import pytest

from recsys.metric import Metric
from recsys.metric.threshold import CRITERIA, TO_CHOOSE_BY, at, recommend
from tests.metric import laws, samples

SAMPLE = samples.make(
    [0, 0, 0, 1, 1],
    [9, 8, 7, 6, 5],
    [1, 0, 1, 0, 0],
    probability=[0.9, 0.6, 0.6, 0.3, 0.1],
    weight=[1, 2, 3, 1, 3],
)


def _at_its_best(criterion: str) -> Metric:
    return lambda sample, weight_QR: at(criterion, recommend(criterion, sample))(sample, weight_QR)


def test_by_hand():
    # from 0.6 on: 4 right, 2 wrong; below: 4 negatives, no positive
    laws.same(laws.value(at("precision", 0.6), SAMPLE), 4 / 6)
    laws.same(laws.value(at("recall", 0.6), SAMPLE), 1.0)
    laws.same(laws.value(at("f1", 0.6), SAMPLE), 8 / 10)
    laws.same(laws.value(at("balanced_accuracy", 0.6), SAMPLE), (1 + 4 / 6) / 2)
    laws.same(laws.value(at("g_mean", 0.6), SAMPLE), math.sqrt(4 / 6))
    laws.same(laws.value(at("mcc", 0.6), SAMPLE), 16 / math.sqrt(6 * 4 * 4 * 6))
    laws.same(laws.value(at("recall", 9.0, on="score"), SAMPLE), 1 / 4)


def test_the_recommended_threshold_by_hand():
    assert recommend("f1", SAMPLE) == 0.6
    assert recommend("f1", SAMPLE, on="score") == 7.0  # scores tell apart what the probabilities do not
    tied = samples.make([0, 0], [1, 2], [1, 1], probability=[0.2, 0.4])
    assert recommend("f1", tied) == 0.2
    assert recommend("f1", samples.make([0, 0], [1, 2], [0, 1], probability=[0.5, 0.5])) == 0.5


def test_undefined_is_not_zero():
    negatives, positives = (samples.make([0, 0], [1, 2], [y, y], probability=[0.2, 0.9]) for y in (0, 1))
    assert math.isnan(recommend("f1", negatives))
    for criterion in TO_CHOOSE_BY:
        assert math.isnan(laws.value(_at_its_best(criterion), negatives))
    for criterion in ("balanced_accuracy", "g_mean", "mcc"):
        assert math.isnan(laws.value(at(criterion, 0.5), positives))
    assert math.isnan(laws.value(at("precision", 1.0), positives))
    assert laws.value(at("precision", 0.5), negatives) == 0.0
    assert laws.value(at("mcc", 0.0), SAMPLE) == 0.0  # yes to everything


def test_what_is_unknown_is_named():
    with pytest.raises(ValueError, match="'accuracy' is unknown; use precision"):
        at("accuracy", 0.5)
    with pytest.raises(ValueError, match="best for 'recall' says nothing; use f1"):
        recommend("recall", SAMPLE)
    with pytest.raises(ValueError, match="'logit' is unknown; use probability, score"):
        at("f1", 0.5, on="logit")


@pytest.mark.parametrize("criterion", CRITERIA)
def test_laws_of_a_fixed_threshold(criterion):
    metric = at(criterion, 0.31)
    laws.the_order_of_the_rows_changes_no_bit(metric, range(30))
    laws.a_replicate_is_the_sample_with_its_queries_repeated(metric, range(20))
    laws.the_estimate_does_not_depend_on_the_replicates_beside_it(metric, range(10))
    laws.nothing_is_undefined_and_not_zero(metric)


@pytest.mark.parametrize("criterion", TO_CHOOSE_BY)
def test_laws_of_the_best_threshold(criterion):
    laws.the_order_of_the_rows_changes_no_bit(_at_its_best(criterion), range(30))
    laws.nothing_is_undefined_and_not_zero(_at_its_best(criterion))


def test_the_best_threshold_of_a_large_sample_is_the_one_that_was_simulated():
    rng = np.random.default_rng(2)
    probability = rng.random(20_000)
    label = (rng.random(20_000) < np.where(probability >= 0.7, 0.9, 0.1)).astype(float)
    sample = samples.make([0] * 20_000, [0.0] * 20_000, label.tolist(), probability=probability.tolist())
    assert recommend("f1", sample) == pytest.approx(0.7, abs=0.005)
