"""Fits to grades and to several scores beside `scipy.optimize`: differences of the objectives reached.

Shapes: N rows, G grades, M models.
"""

import numpy as np
from scipy.special import expit, log_softmax, softmax

from benchmarks._parity import Parity
from benchmarks._parity_fit import TIGHT, run_to_the_end
from recsys.calibrator import fit_dirichlet, fit_ordinal, fit_stack

TOLERANCE = 1e-8


def _weights(rng: np.random.Generator, num: int) -> np.ndarray:
    weight_N = np.ones(num) if rng.random() < 0.5 else rng.choice([0.0, 0.5, 1.0, 3.0], num)
    weight_N[0] = 1.0
    return weight_N


def ordinal(seed: int) -> float:
    """Cuts by their first and the logarithms of their distances, so that they stay in order."""
    rng = np.random.default_rng(seed)
    num = int(rng.choice([3, 8, 60]))
    score_N = np.round(rng.normal(0, 2, num) * 4) / 4
    at_least = expit(rng.choice([-0.3, 0.5, 2.0]) * score_N[:, None] - np.array([-1.0, 0.3, 1.5]))
    label_N = (rng.random(num)[:, None] < at_least).sum(axis=1).astype(float)
    label_N += 0.5 * ((rng.random(num) < 0.2) & (label_N < 3))
    label_N[0] = 0.5  # at least two grades
    weight_N = _weights(rng, num)
    used = weight_N > 0
    score_N, label_N, weight_N = score_N[used], label_N[used], weight_N[used]
    fitted = fit_ordinal(score_N, label_N, weight_N)
    grade_G = np.array(fitted.grade_G)
    hit_NG = np.maximum(1 - np.abs(label_N[:, None] - grade_G), 0)
    total = weight_N.sum()
    target_NG = weight_N[:, None] * (hit_NG + 1 / total / len(grade_G)) / (total + 1)

    def loss(slope: float, cut_J: np.ndarray) -> tuple[float, float, np.ndarray]:
        """Value, and its gradient by slope and by cuts."""
        logit_NJ = slope * score_N[:, None] - cut_J
        upper = np.hstack([np.full((len(score_N), 1), np.inf), logit_NJ])
        lower = np.hstack([logit_NJ, np.full((len(score_N), 1), -np.inf)])
        said = np.where(upper + lower > 0, expit(-lower) - expit(-upper), expit(upper) - expit(lower))
        said = np.clip(said, 1e-300, None)
        pull = target_NG / said
        by_logit = expit(logit_NJ) * expit(-logit_NJ) * (pull[:, :-1] - pull[:, 1:])
        value = -(target_NG * np.log(said)).sum()
        return float(value), float((by_logit * score_N[:, None]).sum()), -by_logit.sum(axis=0)

    def of(flat: np.ndarray) -> tuple[float, np.ndarray]:
        gap = np.exp(flat[2:])
        value, by_slope, by_cut = loss(flat[0], flat[1] + np.r_[0, np.cumsum(gap)])
        after = np.cumsum(by_cut[::-1])[::-1]
        return value, np.r_[by_slope, after[0], after[1:] * gap]

    start = np.r_[0.1, -1.0, np.zeros(len(fitted.cut_J) - 1)]
    best = run_to_the_end(of, start, [(0, None), *[(None, None)] * len(fitted.cut_J)])
    return abs(loss(fitted.slope, np.array(fitted.cut_J))[0] - best)


def dirichlet(seed: int) -> float:
    """The whole matrix, or its diagonal."""
    rng = np.random.default_rng(seed)
    num, kind = int(rng.choice([1, 5, 60])), str(rng.choice(["vector", "full"]))
    given_NG = log_softmax(rng.normal(0, 2, (num, 3)), axis=1)
    grade_N, weight_N = rng.integers(0, int(rng.integers(1, 4)), num), _weights(rng, num)
    share_N = weight_N / weight_N.sum()
    mask = np.eye(3, dtype=bool) if kind == "vector" else np.ones((3, 3), bool)

    def of(flat: np.ndarray) -> tuple[float, np.ndarray]:
        matrix, bias = np.zeros((3, 3)), flat[-3:]
        matrix[mask] = flat[:-3]
        logit_NG = given_NG @ matrix.T + bias
        residual_NG = share_N[:, None] * (softmax(logit_NG, axis=1) - np.eye(3)[grade_N])
        value = -(share_N * log_softmax(logit_NG, axis=1)[np.arange(num), grade_N]).sum()
        value += 0.01 * (((matrix - np.eye(3))[mask] ** 2).sum() + (bias**2).sum())
        by_matrix = residual_NG.T @ given_NG + 0.02 * (matrix - np.eye(3))
        return float(value), np.r_[by_matrix[mask], residual_NG.sum(axis=0) + 0.02 * bias]

    fitted = fit_dirichlet(given_NG, grade_N, weight_N, kind=kind, ridge=0.01)
    ours = np.r_[np.array(fitted.weight_GG)[mask], np.array(fitted.bias_G)]
    return abs(of(ours)[0] - run_to_the_end(of, np.zeros(len(ours)), [(None, None)] * len(ours)))


def stack(seed: int) -> float:
    """Three models' scores, standardised by the reference for itself; weights of at least 0."""
    rng = np.random.default_rng(seed)
    num = int(rng.choice([2, 10, 80]))
    score_NM = rng.normal(rng.normal(0, 2, 3), rng.choice([0.3, 1.0, 5.0], 3), (num, 3))
    positive_N = rng.random(num) < expit(score_NM @ rng.normal(0, 1, 3))
    weight_N = _weights(rng, num)
    fitted = fit_stack(score_NM, positive_N, weight_N)
    positive, total = weight_N[positive_N].sum(), weight_N.sum()
    target_N = np.where(positive_N, (positive + 1) / (positive + 2), 1 / (total - positive + 2))
    share_N = weight_N / total
    centred_NM = score_NM - share_N @ score_NM
    deviation_M = np.sqrt(share_N @ centred_NM**2)
    feature_DN = np.vstack([(centred_NM / np.where(deviation_M > 1e-9, deviation_M, 1)).T, np.ones(num)])

    def of(logit_N: np.ndarray) -> float:
        return float((share_N * (np.logaddexp(0, logit_N) - target_N * logit_N)).sum())

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        logit_N = flat @ feature_DN
        return of(logit_N), feature_DN @ (share_N * (expit(logit_N) - target_N))

    best = run_to_the_end(loss, np.zeros(4), [*[(0, None)] * 3, (None, None)])
    return abs(of(fitted.score(score_NM)) - best)


CASES: tuple[Parity, ...] = (
    Parity(name="ordinal", reference=TIGHT, tolerance=TOLERANCE, difference=ordinal),
    Parity(name="dirichlet", reference=TIGHT, tolerance=TOLERANCE, difference=dirichlet),
    Parity(name="stack", reference=TIGHT, tolerance=TOLERANCE, difference=stack),
)
