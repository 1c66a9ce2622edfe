"""The randomisation test against scipy and loops, adjusted p-values against their definition, wins by hand."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control, permutation_test

from recsys.metric.compare import false_discovery, sign_flip, wins
from recsys.seed import hash_ids

SALT = 5


def hashes(num: int) -> np.ndarray:
    return hash_ids([f"q{i}" for i in range(num)], SALT)


def naive(difference_Q: np.ndarray) -> float:
    """All sign patterns, one by one."""
    hits = total = 0
    for signs in itertools.product((1, -1), repeat=len(difference_Q)):
        total += 1
        hits += abs(sum(s * d for s, d in zip(signs, difference_Q, strict=True))) >= abs(difference_Q.sum()) - 1e-7
    return hits / total


@pytest.mark.parametrize("seed", range(25))
def test_few_queries_are_exact(seed):
    rng = np.random.default_rng(seed)
    num = int(rng.integers(1, 9))
    difference_Q = rng.choice([-0.2, -0.1, 0.0, 0.1, 0.2, 0.3, rng.normal()], num)
    p = sign_flip(difference_Q[:, None], hashes(num), num_flips=100)[0]
    assert p == pytest.approx(naive(difference_Q), abs=1e-12)
    if num > 1:
        peer = permutation_test(
            (difference_Q,), np.sum, permutation_type="samples", n_resamples=10**6, alternative="two-sided"
        )
        assert p == pytest.approx(min(peer.pvalue, 1.0), abs=1e-9)


def test_many_queries_are_drawn_and_close_to_exact():
    rng = np.random.default_rng(0)
    difference_Q = rng.normal(0.25, 1, 16)
    exact = permutation_test((difference_Q,), np.sum, permutation_type="samples", n_resamples=10**6).pvalue
    drawn = sign_flip(difference_Q[:, None], hashes(16), num_flips=20_000)[0]
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_every_statistic_is_tested_as_if_alone_and_order_is_irrelevant():
    rng = np.random.default_rng(1)
    difference_QS = rng.normal(0.1, 1, (80, 4)) * np.array([1, 1e-6, 1e6, 0])
    difference_QS[rng.random((80, 4)) < 0.3] = np.nan
    difference_QS[10:, 1] = 0  # few that differ: exact beside drawn
    hash_Q, order = hashes(80), rng.permutation(80)
    p_S = sign_flip(difference_QS, hash_Q, num_flips=640)
    assert p_S[3] == 1
    assert [sign_flip(difference_QS[:, [s]], hash_Q, num_flips=640)[0] for s in range(4)] == p_S.tolist()
    assert sign_flip(difference_QS[order], hash_Q[order], num_flips=640).tolist() == p_S.tolist()
    assert sign_flip(-difference_QS, hash_Q, num_flips=640).tolist() == p_S.tolist()


def test_a_true_null_is_called_no_more_often_than_promised():
    rng = np.random.default_rng(2)
    difference_QS = rng.standard_t(3, (40, 600))  # 600 pairs of equally good rankers
    called = int((sign_flip(difference_QS, hashes(40), num_flips=999) <= 0.05).sum())
    assert binomtest(called, 600, 0.05).pvalue > 0.001
    assert sign_flip(difference_QS[:, :1] + 3, hashes(40), num_flips=999)[0] == pytest.approx(1 / 1025)


def test_no_query_and_no_draw():
    assert sign_flip(np.zeros((0, 2)), hashes(0), num_flips=100).tolist() == [1, 1]
    with pytest.raises(ValueError, match="num_flips=0 must be at least 1"):
        sign_flip(np.zeros((1, 1)), hashes(1), num_flips=0)


def test_wins_losses_and_ties():
    assert wins(np.array([0.1, -0.1, 1e-12, 0.0, np.nan, 0.3])) == (2, 1, 2)


@pytest.mark.parametrize("seed", range(10))
def test_adjusted_p_is_that_of_scipy_and_nan_is_no_test(seed):
    rng = np.random.default_rng(seed)
    p_S = rng.choice([0.001, 0.01, 0.04, 0.3, 1.0, rng.random()], int(rng.integers(1, 12)))
    with_nan = np.insert(p_S, len(p_S) // 2, np.nan)
    adjusted = false_discovery(with_nan)
    assert np.isnan(adjusted[len(p_S) // 2])
    assert np.delete(adjusted, len(p_S) // 2) == pytest.approx(false_discovery_control(p_S))
    assert np.isnan(false_discovery(np.array([np.nan]))).all()
