"""Probabilities of every grade from one score."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from recsys.calibrator import Ordinal, fit_ordinal


def graded(seed: int, num: int = 4000, slope: float = 0.8, cuts: tuple[float, ...] = (-1.0, 0.2, 1.5)):
    """Scores and grades of a known proportional-odds model."""
    rng = np.random.default_rng(seed)
    score_N = rng.normal(0.5, 2.0, num)
    at_least = expit(slope * score_N[:, None] - np.array(cuts))
    return score_N, (rng.random(num)[:, None] < at_least).sum(axis=1).astype(float)


def loss(grade_G, slope, cut_J, score_N, label_N, weight_N) -> float:
    """The objective by its words: one further observation, spread evenly over all rows and grades."""
    above = np.hstack(
        [np.ones((len(score_N), 1)), expit(slope * score_N[:, None] - cut_J), np.zeros((len(score_N), 1))]
    )
    log_NG = np.log(np.clip(above[:, :-1] - above[:, 1:], 1e-300, None))
    hit_NG = np.maximum(1 - np.abs(label_N[:, None] - np.array(grade_G)), 0)
    total = weight_N.sum()
    target_NG = weight_N[:, None] * (hit_NG + 1 / total / len(grade_G)) / (total + 1)
    return float(-(target_NG * log_NG).sum())


def test_it_finds_the_model():
    fitted = fit_ordinal(*graded(1, 40_000), np.ones(40_000))
    assert fitted.grade_G == (0, 1, 2, 3)
    assert (fitted.slope, *fitted.cut_J) == pytest.approx((0.8, -1.0, 0.2, 1.5), abs=0.06)
    probability_NG = fitted.predict(np.linspace(-300, 300, 61))
    np.testing.assert_allclose(probability_NG.sum(axis=1), 1, rtol=1e-12)
    assert (probability_NG >= 0).all()


def test_the_loss_is_that_of_a_tight_search():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        score_N, label_N = graded(seed, 60, slope=float(rng.choice([-0.3, 0.5, 3.0])))
        label_N = np.where(rng.random(60) < 0.2, np.minimum(label_N + 0.5, 3), label_N)  # a mean of two judges
        weight_N = rng.choice([0.0, 1.0, 2.5], 60)
        fitted = fit_ordinal(score_N, label_N, weight_N)
        used = weight_N > 0
        rows = fitted.grade_G, score_N[used], label_N[used], weight_N[used]

        def of(flat, rows=rows):  # log-gaps keep the cuts in order
            return loss(rows[0], flat[0], flat[1] + np.r_[0, np.cumsum(np.exp(flat[2:]))], *rows[1:])

        start = np.r_[0.1, 0.0, np.zeros(len(fitted.cut_J) - 1)]
        bounds = [(0, None), *[(None, None)] * len(fitted.cut_J)]
        best = min(
            minimize(of, start + k, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10}).fun
            for k in (0.0, 0.3)
        )
        assert loss(rows[0], fitted.slope, np.array(fitted.cut_J), *rows[1:]) <= best + 1e-8


def test_a_score_that_points_the_wrong_way_gives_the_shares():
    score_N, label_N = graded(2)
    fitted = fit_ordinal(-score_N, label_N, np.ones(4000))
    assert fitted.slope == 0
    share_G = np.bincount(label_N.astype(int)) / 4000
    np.testing.assert_allclose(fitted.predict(np.zeros(1))[0], share_G, atol=1e-3)


def test_separable_grades_and_equal_scores_stay_finite():
    score_N = np.arange(9.0)
    fitted = fit_ordinal(score_N, np.repeat([0.0, 1.0, 2.0], 3), np.ones(9))
    probability_NG = fitted.predict(score_N)
    assert (probability_NG > 0).all()
    assert (probability_NG.argmax(axis=1) == np.repeat([0, 1, 2], 3)).all()
    level = fit_ordinal(np.ones(4), np.array([0.0, 1.0, 1.0, 2.0]), np.ones(4))
    np.testing.assert_allclose(level.predict(np.zeros(1))[0], (np.array([1, 2, 1]) + 1 / 3) / 5, rtol=1e-9)


def test_the_order_of_the_rows_changes_no_bit_and_it_survives_json():
    score_N, label_N = graded(3, 500)
    weight_N = np.random.default_rng(0).random(500)
    order = np.random.default_rng(1).permutation(500)
    fitted = fit_ordinal(score_N, label_N, weight_N)
    assert fitted == fit_ordinal(score_N[order], label_N[order], weight_N[order])
    assert Ordinal.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    with pytest.raises(ValueError, match="no fitted ordinal"):
        Ordinal.from_json({"map": "logistic"})


@pytest.mark.parametrize(
    ("score", "label", "message"),
    [([0.0, np.nan], [0.0, 1.0], "score nan at row 1"), ([0.0, 1.0], [2.0, 2.0], r"only the grades \[2.0\] occur")],
)
def test_wrong_rows_are_an_error(score, label, message):
    with pytest.raises(ValueError, match=message):
        fit_ordinal(np.array(score), np.array(label), np.ones(2))
