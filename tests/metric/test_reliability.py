"""Calibration metrics against scikit-learn, published values, and naive loops over bins."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, log_loss

from recsys.metric import reliability
from recsys.metric.bootstrap import poisson_weights
from tests.metric import laws, samples

EVERY = [
    reliability.log_loss,
    reliability.brier,
    reliability.ece(5),
    reliability.ece_equal_mass(5),
    reliability.debiased_l2(5),
    reliability.calibration_ratio,
    reliability.normalised_entropy,
    reliability.mce(5),
    reliability.mce_equal_mass(5),
]

BINS_OF_THE_SAMPLE = [EVERY[3], EVERY[4], EVERY[8]]  # equal mass, and that of the estimate


def value(metric, sample):
    return metric(sample, samples.ones(sample))[0]


def rows(probability, label):
    return samples.make([0] * len(label), probability, label, probability=probability)


def same(one, other, tolerance=1e-12):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


# ---- published values ---------------------------------------------------------------------------------------------


def test_distinct_values_as_bins_of_the_verified_calibration_tests():
    sample = rows([0.5, 0.5, 0.5, 0.6, 0.5, 0.6, 0.6, 0.6, 0.6], [0, 1, 0, 1, 0, 1, 1, 1, 0])
    same(value(reliability.ece_equal_mass(2), sample), 0.222222, 1e-6)
    same(value(reliability.debiased_l2(2), sample), 0.0, 1e-8)
    # plug-in L2 is 0.223607: here from the bins
    table = reliability.bins(sample, samples.ones(sample), 10)
    plug_in = ((table.predicted_B - table.observed_B) ** 2 * table.weight_B).sum() / table.weight_B.sum()
    same(math.sqrt(plug_in), 0.223607, 1e-6)


def test_equal_width_and_equal_mass_of_the_verified_calibration_tests():
    sample = rows([0.6, 0.7, 0.8, 0.9], [0, 0, 1, 1])
    same(value(reliability.ece(2), sample), 0.25)
    same(value(reliability.ece_equal_mass(2), sample), 0.40)


def test_one_belongs_to_the_last_bin():  # torchmetrics#3510
    same(value(reliability.ece(15), rows([0.95, 1.0], [1, 0])), 0.475)


def test_largest_error_and_normalised_entropy_by_hand():
    sample = rows([0.6, 0.7, 0.8, 0.9], [0, 0, 1, 1])
    same(value(reliability.mce(5), sample), 0.65)  # .6 and .7 share a bin, .8 and .9 another: .65 - 0 and 1 - .85
    same(value(reliability.mce_equal_mass(4), sample), 0.7)
    same(value(reliability.normalised_entropy, rows([0.5, 0.5, 0.5, 0.5], [0, 1, 1, 0])), 1.0)
    same(value(reliability.normalised_entropy, sample), value(reliability.log_loss, sample) / math.log(2))
    assert np.isnan(value(reliability.normalised_entropy, rows([0.5, 0.5], [1, 1])))


@pytest.mark.parametrize("count", [200, 20_000])
def test_a_perfect_model_has_an_ece_and_little_debiased_error(count):
    # uniform probabilities: E|observed - p| of a bin of count / 15 rows is sqrt(2 / pi * p (1 - p) * 15 / count)
    rng = np.random.default_rng(count)
    eces, errors, roots = [], [], []
    for _ in range(40):
        probability = rng.random(count)
        sample = rows(probability, (rng.random(count) < probability).astype(float))
        eces.append(value(reliability.ece(15), sample))
        errors.append(value(reliability.debiased_l2(15), sample))
        roots.append(eces[-1] * math.sqrt(math.pi / 2))  # the plug-in L2 error is larger than L1 by this factor
    expected = math.sqrt(2 / math.pi * 15 / count) * math.pi / 8
    assert np.mean(eces) == pytest.approx(expected, rel=0.08)
    assert np.mean(errors) < np.mean(roots) / 2


def test_the_debiased_error_finds_the_true_one():
    rng = np.random.default_rng(5)
    probability = rng.random(200_000)
    truth = np.clip(probability + 0.1 * np.where(probability < 0.5, 1, -1), 0, 1)
    sample = rows(probability, (rng.random(200_000) < truth).astype(float))
    assert value(reliability.debiased_l2(15), sample) == pytest.approx(0.1, abs=0.006)


# ---- independent implementations on random samples ------------------------------------------------------------------


@samples.each(range(200))
def test_losses_agree_with_scikit_learn(number):
    sample = samples.draw(number)
    kept = sample.weight_N > 0
    if not kept.any():
        assert np.isnan(value(reliability.log_loss, sample))
        return
    positive, weight = sample.positive_N[kept], sample.weight_N[kept]
    probability = np.clip(sample.probability_N[kept], 1e-15, 1 - 1e-15)
    same(
        value(reliability.log_loss, sample),
        log_loss(positive, probability, sample_weight=weight, labels=[False, True]),
    )
    same(
        value(reliability.brier, sample),
        brier_score_loss(positive, sample.probability_N[kept], sample_weight=weight, labels=[False, True]),
    )
    promised, happened = (weight * sample.probability_N[kept]).sum(), (weight * positive).sum()
    same(value(reliability.calibration_ratio, sample), promised / happened if happened else math.nan)


@samples.each(range(200))
def test_calibration_errors_agree_with_loops_over_bins(number):
    sample = samples.draw(number)
    kept = np.flatnonzero(sample.weight_N > 0)
    width = {n: min(int(sample.probability_N[n] * 5), 4) for n in kept}
    total = sum(sample.weight_N[n] for n in kept)
    mass, before = {}, 0.0
    for p in sorted({sample.probability_N[n] for n in kept}):
        group = [n for n in kept if sample.probability_N[n] == p]
        weight = sum(sample.weight_N[n] for n in group)
        mass |= dict.fromkeys(group, int((before + weight / 2) / total * 5))
        before += weight
    absolute, square = {}, {}
    for name, place in (("width", width), ("mass", mass)):
        absolute[name] = square[name] = 0.0
        for b in set(place.values()):
            group = [n for n in kept if place[n] == b]
            weight = sum(sample.weight_N[n] for n in group)
            predicted = sum(sample.weight_N[n] * sample.probability_N[n] for n in group) / weight
            observed = sum(sample.weight_N[n] * sample.positive_N[n] for n in group) / weight
            noise = observed * (1 - observed) / (weight - 1) if weight > 1 else 0.0
            absolute[name] += weight / total * abs(predicted - observed)
            square[name] += weight / total * ((predicted - observed) ** 2 - noise)
    if not len(kept):
        assert np.isnan(value(reliability.ece(5), sample))
        return
    same(value(reliability.ece(5), sample), absolute["width"])
    same(value(reliability.ece_equal_mass(5), sample), absolute["mass"])
    same(value(reliability.debiased_l2(5), sample) ** 2, max(square["mass"], 0.0), 1e-9)


# ---- bins -----------------------------------------------------------------------------------------------------------


def test_bins_tell_what_a_diagram_needs():
    sample = samples.make(
        [0, 0, 1, 1, 1],
        [0] * 5,
        [0, 1, 1, 1, 0],
        probability=[0.05, 0.92, 0.98, 1.0, 0.08],
        weight=[2, 1, 1, 3, 0],
    )
    table = reliability.bins(sample, samples.ones(sample), 10)
    same(table.start_B, [0.0, 0.9])
    same(table.end_B, [0.1, 1.0])
    same(table.predicted_B, [0.05, (0.92 + 0.98 + 3) / 5])
    same(table.observed_B, [0.0, 1.0])
    same(table.weight_B, [2, 5])
    assert table.num_rows_B.tolist() == [1, 3]
    assert table.num_queries_B.tolist() == [1, 2]


def test_a_bin_of_one_class_is_not_called_certain():
    apart = samples.make(list(range(20)), [0] * 20, [0] * 20, probability=[0.3] * 20)
    for sample, num in ((apart, 20), (rows([0.3] * 20, [0] * 20), 1)):  # as many observations as queries
        table = reliability.bins(sample, poisson_weights([str(q) for q in range(sample.num_queries)], 50, 1))
        expected = binomtest(0, num).proportion_ci(0.95, method="wilson")
        same([table.low_B[0], table.high_B[0]], [expected.low, expected.high], 1e-9)
        assert table.num_queries == num


def test_a_bin_of_unlike_queries_is_wider_than_independent_rows():
    sample = samples.make(
        np.repeat(np.arange(30), 20).tolist(),
        [0.0] * 600,
        np.repeat(np.arange(30) % 2, 20).tolist(),
        probability=[0.5] * 600,
    )
    table = reliability.bins(sample, poisson_weights([str(q) for q in range(30)], 200, 1))
    wilson = binomtest(300, 600).proportion_ci(0.95, method="wilson")
    assert table.high_B[0] - table.low_B[0] > 3 * (wilson.high - wilson.low)


def test_no_rows_have_no_bins():
    sample = rows([], [])
    assert len(reliability.bins(sample, np.ones((0, 3))).weight_B) == 0


# ---- laws -----------------------------------------------------------------------------------------------------------


@samples.each(range(60))
def test_the_order_of_the_rows_changes_no_bit(number):
    for metric in EVERY:
        laws.the_order_of_the_rows_changes_no_bit(metric, [number])


@samples.each(range(60))
def test_a_replicate_is_the_sample_with_its_queries_repeated(number):
    sample = samples.draw(number)
    weight_QR = samples.weightings(sample, number)
    for metric in (m for m in EVERY if m not in BINS_OF_THE_SAMPLE):
        for weight_Q, got in zip(weight_QR.T, metric(sample, weight_QR), strict=True):
            same(got, value(metric, samples.repeat(sample, weight_Q)))


@pytest.mark.parametrize("metric", EVERY)
def test_nothing_is_undefined_and_not_zero(metric):
    empty = samples.make([], [], [], num_queries=4)
    assert np.isnan(metric(empty, samples.weightings(empty, 0))).all()
