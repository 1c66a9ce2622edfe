import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recsys.metric.exact_auc import ExactAuc, exact_auc
from tests.metric.samples import each


def rows(seed: int):
    rng = np.random.default_rng(seed)
    num = int(rng.integers(2, 400))
    score_N = rng.normal(size=num).astype(np.float32)
    if seed % 2:
        score_N = np.round(score_N, 1)
    positive_N = rng.random(num) < rng.choice([0.02, 0.4, 0.9])
    positive_N[:2] = True, False
    return score_N, positive_N


@each(range(50))
def test_it_is_that_of_scikit_learn_and_the_same_bits_for_any_chunks(seed):
    score_N, positive_N = rows(seed)
    value = exact_auc(score_N, positive_N)
    assert value == pytest.approx(roc_auc_score(positive_N, score_N), abs=1e-12)
    negative_M = np.random.default_rng(seed).permutation(score_N[~positive_N])
    for num_chunks in (1, 7, 64):
        counted = ExactAuc(score_N[positive_N])
        for chunk in np.array_split(negative_M, num_chunks):
            counted.add(chunk)
        assert counted.value() == value


def test_ties_count_a_half():
    assert exact_auc(np.array([1, 1, 1, 0], np.float32), np.array([True, False, False, False])) == 2 / 3


def test_one_class_has_none_and_what_is_not_finite_is_named():
    assert np.isnan(exact_auc(np.ones(2, np.float32), np.array([True, True])))
    assert np.isnan(exact_auc(np.ones(2, np.float32), np.array([False, False])))
    with pytest.raises(ValueError, match="score nan at row 1"):
        exact_auc(np.array([1, 1, np.nan], np.float32), np.array([True, False, False]))
