"""Grade probabilities calibrated together."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from recsys.calibrator import fit_dirichlet


def classes(seed: int, num: int = 3000):
    """ln of given probabilities, grades drawn from a known map of them, and the true probabilities."""
    rng = np.random.default_rng(seed)
    given_NG = log_softmax(rng.normal(0, 2, (num, 3)), axis=1)
    truth_NG = softmax(given_NG @ np.diag([0.5, 0.7, 0.4]) + np.array([0.3, 0.0, -0.5]), axis=1)
    grade_N = (rng.random(num)[:, None] > np.cumsum(truth_NG, axis=1)).sum(axis=1)
    return given_NG, grade_N, truth_NG


@pytest.mark.parametrize("kind", ["vector", "full"])
def test_it_repairs_what_was_distorted(kind):
    given_NG, grade_N, truth_NG = classes(1, 20_000)
    fitted = fit_dirichlet(given_NG, grade_N, np.ones(20_000), kind=kind, ridge=1e-6)
    assert np.abs(fitted.predict(given_NG) - truth_NG).mean() < 0.01
    assert np.abs(softmax(given_NG, axis=1) - truth_NG).mean() > 0.1


@pytest.mark.parametrize("kind", ["vector", "full"])
def test_the_loss_is_that_of_a_tight_search(kind):
    for seed in range(4):
        given_NG, grade_N, _ = classes(seed, 80)
        weight_N = np.random.default_rng(seed).choice([0.5, 1.0, 3.0], 80)

        def loss(weight_GG, bias_G, given_NG=given_NG, grade_N=grade_N, weight_N=weight_N):
            log_NG = log_softmax(given_NG @ weight_GG.T + bias_G, axis=1)
            fit = -np.average(log_NG[np.arange(80), grade_N], weights=weight_N)
            return fit + 0.01 * (((weight_GG - np.eye(3)) ** 2).sum() + (bias_G**2).sum())

        def unpacked(flat):
            return (np.diag(flat[:3]), flat[3:]) if kind == "vector" else (flat[:9].reshape(3, 3), flat[9:])

        fitted = fit_dirichlet(given_NG, grade_N, weight_N, kind=kind, ridge=0.01)
        start = np.zeros(6 if kind == "vector" else 12)
        best = minimize(lambda f: loss(*unpacked(f)), start, method="BFGS", options={"gtol": 1e-9}).fun
        assert loss(np.array(fitted.weight_GG), np.array(fitted.bias_G)) <= best + 1e-8


def test_vector_scaling_is_diagonal():
    given_NG, grade_N, _ = classes(2, 200)
    weight_GG = np.array(fit_dirichlet(given_NG, grade_N, np.ones(200), kind="vector", ridge=0.01).weight_GG)
    assert (weight_GG == np.diag(np.diag(weight_GG))).all()


def test_one_grade_alone_stays_finite():
    given_NG, _, _ = classes(3, 50)
    said_NG = fit_dirichlet(given_NG, np.zeros(50, int), np.ones(50), kind="full", ridge=0.01).predict(given_NG)
    assert np.isfinite(np.log(said_NG)).all()
    assert said_NG[:, 0].mean() > 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "matrix"}, "kind='matrix' is unknown"),
        ({"ridge": 0.0}, r"ridge=0\.0 must be above 0"),
        ({"grade_N": np.array([0, 3])}, "grade 3 at row 1"),
        ({"log_probability_NG": np.array([[0.0, 0.0, np.inf], [0.0] * 3])}, "score inf"),
    ],
)
def test_wrong_values_are_an_error(change, message):
    given = {"log_probability_NG": np.zeros((2, 3)), "grade_N": np.array([0, 1]), "weight_N": np.ones(2)}
    with pytest.raises(ValueError, match=message):
        fit_dirichlet(**(given | {"kind": "full", "ridge": 0.01} | change))
