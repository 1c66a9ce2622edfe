"""Rows drawn by chance: what is perfect looks perfect, however many rows each of them stands for."""

import math
from dataclasses import replace

import numpy as np
import pytest

from recsys.metric import Sample, Unit, reliability
from recsys.metric.cumulative import ecce, ecce_scale
from tests.metric import laws, samples

EVERYONE, TENTH, NEGATIVES = (1.0, 1.0), (0.1, 0.1), (1.0, 0.1)  # chance of a positive and of a negative to be kept


def perfect(seed: int, chance: tuple[float, float], num: int = 4000, *, wide: bool = True) -> Sample:
    """Rows of true probabilities, of which some are kept and stand for the others."""
    rng = np.random.default_rng(seed)
    probability_N = rng.beta(0.5, 4, num) if wide else np.full(num, 0.1)
    positive_N = rng.random(num) < probability_N
    chance_N = np.where(positive_N, *chance)
    kept_N = rng.random(num) < chance_N
    given = [a[kept_N] for a in (probability_N, positive_N, chance_N)]
    zeros = [0] * int(kept_N.sum())
    sample = samples.make(
        zeros, zeros, given[1].astype(float).tolist(), probability=given[0].tolist(), weight=(1 / given[2]).tolist()
    )
    return replace(sample, unit=Unit.of(sample.weight_N, given[2], given[1]))


def test_counts_are_themselves_to_the_bit():
    sample = perfect(1, EVERYONE)
    assert sample.unit == Unit()
    weight_N = np.random.default_rng(1).integers(1, 9, 500).astype(float)
    unit = Unit.of(weight_N, np.ones(500), weight_N > 4)
    share = np.random.default_rng(2).random(1000)
    assert unit == Unit()
    assert (np.asarray(unit.per(share)) == 1.0).all()


def test_by_hand():
    unit = Unit.of(np.array([1.0, 10, 20]), np.array([1.0, 0.1, 0.1]), np.array([True, False, False]))
    assert unit == Unit(positive=1.0, negative=10.0)
    assert unit.per(0.0) == 1.0
    assert unit.per(1.0) == 10.0
    assert Unit.of(np.array([10.0]), np.array([0.1]), np.array([False])) == Unit(positive=10.0, negative=10.0)
    assert Unit.of(np.zeros(0), np.zeros(0), np.zeros(0, bool)) == Unit()


def test_ten_times_the_weight_of_everything_changes_nothing():
    one = perfect(2, EVERYONE, num=500)
    ten = replace(one, weight_N=one.weight_N * 10, unit=Unit(positive=10.0, negative=10.0))
    for metric in (ecce, ecce_scale, reliability.debiased_l2(), reliability.ece_equal_mass()):
        assert laws.value(metric, ten) == pytest.approx(laws.value(metric, one), abs=1e-12)
    weight_QR = np.ones((1, 3))
    mine, theirs = (reliability.bins(sample, weight_QR, 5) for sample in (one, ten))
    np.testing.assert_allclose(mine.low_B, theirs.low_B)
    np.testing.assert_allclose(mine.high_B, theirs.high_B)
    fooled = replace(ten, unit=Unit())  # as if each had been seen ten times
    assert laws.value(reliability.debiased_l2(), fooled) > laws.value(reliability.debiased_l2(), ten)


@pytest.mark.parametrize("chance", [TENTH, NEGATIVES])
def test_the_walk_of_true_probabilities_is_no_wider_than_its_scale_says(chance):
    ratios = []
    for seed in range(150):
        sample = perfect(seed, chance)
        ratios.append(laws.value(ecce, sample) / laws.value(ecce_scale, sample))
    assert np.mean(ratios) == pytest.approx(math.sqrt(8 / math.pi), rel=0.12)


@pytest.mark.parametrize("chance", [TENTH, NEGATIVES])
def test_a_share_varies_as_its_effective_number_says(chance):
    shares, inside, size = [], 0, []
    for seed in range(400):
        sample = perfect(seed, chance, num=2000, wide=False)
        weight = sample.weight_N.sum()
        shares.append(sample.weight_N[sample.positive_N].sum() / weight)
        size.append(weight / sample.unit.per(0.1))
        by_query = replace(sample, num_queries=40, query_N=np.arange(len(sample)) * 40 // len(sample))
        found = reliability.bins(by_query, np.ones((40, 1)), 1)
        inside += bool(found.low_B[0] <= 0.1 <= found.high_B[0])
    assert np.var(shares) == pytest.approx(0.1 * 0.9 / np.mean(size), rel=0.2)
    assert 0.92 < inside / 400 < 0.98  # 95 % nominal
