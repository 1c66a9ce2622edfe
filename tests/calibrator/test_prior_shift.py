import numpy as np
import pytest
from scipy.special import expit

from recsys.calibrator import Identity, PriorShift
from tests.calibrator import scenes


def expectation_maximisation(score_N: np.ndarray, weight_N: np.ndarray, trained: float) -> float:
    """Saerens et al. (2002), equations 2.4, until it moves by less than 1e-14."""
    rate, p_N = trained, expit(score_N)
    for _ in range(1_000_000):
        yes_N, no_N = p_N * rate / trained, (1 - p_N) * (1 - rate) / (1 - trained)
        before, rate = rate, float(np.average(yes_N / (yes_N + no_N), weights=weight_N))
        if abs(rate - before) < 1e-14:
            return rate
    raise AssertionError


def test_the_estimate_is_where_the_em_algorithm_ends():
    for number in range(20):
        rng = np.random.default_rng(number)
        score_N = rng.normal(rng.normal(), 1.5, 200).astype(np.float32)
        weight_N = rng.choice([0.5, 1.0, 3.0], 200)
        trained = float(rng.uniform(0.2, 0.8))
        fitted = PriorShift(trained_rate=trained, rate=None).fit(scenes.rows(score_N, score_N > 0, weight_N))
        rate = expit(fitted.intercept + np.log(trained / (1 - trained)))
        expected = expectation_maximisation(score_N.astype(float), weight_N, trained)
        least = 0.5 / (weight_N.sum() + 1)
        assert rate == pytest.approx(np.clip(expected, least, 1 - least), abs=1e-9)


def test_it_finds_a_prior_without_a_label():
    """Trained where half are positive, used where a tenth are: scores are likelihood ratios, so the truth is known."""
    rng = np.random.default_rng(3)
    positive_N = rng.random(40_000) < 0.1
    value_N = rng.normal(np.where(positive_N, 1.0, -1.0), 1.0)
    score_N = (2 * value_N).astype(np.float32)  # ln of the ratio of the two densities, the priors being equal
    fitted = PriorShift(trained_rate=0.5, rate=None).fit(scenes.rows(score_N, rng.random(40_000) < 0.5))
    assert fitted.predict(score_N).mean() == pytest.approx(0.1, abs=0.005)
    assert Identity().fit(scenes.rows(score_N, positive_N)).predict(score_N).mean() > 0.2
    known = PriorShift(trained_rate=0.5, rate=0.1).fit(scenes.rows(score_N, positive_N))
    assert known.intercept == pytest.approx(np.log(1 / 9))


def test_scores_of_one_sign_leave_half_an_observation_of_the_other_class():
    fitted = PriorShift(trained_rate=0.5, rate=None).fit(scenes.rows([5.0] * 9, [True] * 9))
    assert expit(fitted.intercept) == pytest.approx(1 - 0.5 / 10)


@pytest.mark.parametrize("knobs", [{"trained_rate": 0.0, "rate": None}, {"trained_rate": 0.5, "rate": 1.0}])
def test_a_prior_lies_strictly_between_0_and_1(knobs):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        PriorShift(**knobs)
