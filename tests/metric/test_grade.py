"""Grades by hand, cuts that were simulated, and what holds for every metric; the rest is in test_parity."""

import math
from dataclasses import replace

import numpy as np
import pytest

from recsys.metric.grade import cuts, macro, of_grade
from tests.metric import laws, samples


def graded(sample):
    return replace(sample, grade_N=sample.gain_N.astype(np.int64))


SAMPLE = graded(samples.make([0, 0, 0, 1, 1, 1], [1, 2, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2]))


def test_by_hand():
    cut_L = np.array([2.0, 4.0])  # said: 0 1 1 1 2 2; is: 0 0 1 1 2 2
    laws.same(laws.value(of_grade("precision", 1, 3, cut_L), SAMPLE), 2 / 3)
    laws.same(laws.value(of_grade("recall", 0, 3, cut_L), SAMPLE), 1 / 2)
    laws.same(laws.value(of_grade("f1", 0, 3, cut_L), SAMPLE), 2 / 3)
    laws.same(laws.value(macro("precision", 3, cut_L), SAMPLE), (1 + 2 / 3 + 1) / 3)
    laws.same(laws.value(macro("recall", 3, cut_L), SAMPLE), (1 / 2 + 1 + 1) / 3)
    laws.same(laws.value(macro("f1", 3, cut_L), SAMPLE), (2 / 3 + 4 / 5 + 1) / 3)


def test_the_best_cuts_are_found():
    laws.same(laws.value(macro("recall", 3), SAMPLE), 2.5 / 3)
    rng = np.random.default_rng(3)
    score = rng.random(5000)
    gain = np.searchsorted([0.2, 0.5, 0.9], score, "right").astype(float)
    noisy = np.where(rng.random(5000) < 0.1, rng.integers(0, 4, 5000), gain)
    sample = graded(samples.make([0] * 5000, score.tolist(), noisy.tolist()))
    assert cuts(sample, 4) == pytest.approx([0.2, 0.5, 0.9], abs=0.01)


def test_a_grade_that_does_not_occur():
    sample = graded(samples.make([0, 0], [1, 2], [0, 2]))
    assert math.isnan(laws.value(of_grade("recall", 1, 3), sample))
    assert laws.value(macro("f1", 3), sample) == 1
    assert np.isnan(cuts(graded(samples.make([], [], [])), 3)).all()


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="no grades"):
        laws.value(macro("f1", 3), samples.make([0], [1], [1]))
    with pytest.raises(ValueError, match=r"grade 2 lies outside 0 \.\.\. 1"):
        laws.value(macro("f1", 2), SAMPLE)
    with pytest.raises(ValueError, match="must be 2 ascending scores"):
        laws.value(macro("f1", 3, np.array([2.0, 1.0])), SAMPLE)
    with pytest.raises(ValueError, match="'accuracy' is unknown"):
        laws.value(macro("accuracy", 3), SAMPLE)


@pytest.mark.parametrize("statistic", ["precision", "recall", "f1"])
def test_laws(statistic):
    cut_L = np.array([-0.8, -0.5, -0.25])
    for number in range(20):
        sample = graded(samples.draw(number))
        weight_QR = samples.weightings(sample, number)
        for metric in (macro(statistic, 4), of_grade(statistic, 1, 4)):
            shuffled = metric(samples.shuffle(sample, number), weight_QR)
            assert metric(sample, weight_QR).tobytes() == shuffled.tobytes()
        value_R = macro(statistic, 4, cut_L)(sample, weight_QR)
        for weight_Q, got in zip(weight_QR.T, value_R, strict=True):
            laws.same(got, laws.value(macro(statistic, 4, cut_L), samples.repeat(sample, weight_Q)))
