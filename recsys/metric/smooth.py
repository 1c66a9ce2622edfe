"""Calibration error without bins or knobs: the smooth ECE (Błasiok & Nakkiran, 2023, "Smooth ECE: principled
reliability diagrams via kernel smoothing").

Shapes: N rows, G nodes 0, 1/1000, ..., 1 of a grid, K = G cosines, R weightings of the queries.
"""

import numpy as np
from scipy.fft import dct

from recsys.metric._sample import Sample
from recsys.metric._sweep import sweep

NUM_NODES = 1001
HALVINGS = 40  # of [0, 1], in which the width lies: it is known to 1e-12


def smooth_ece(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    """The width s at which the calibration error, smoothed with a Gaussian kernel of that width, is s itself.

    The residuals (outcome - probability) are smoothed with the Gaussian that is reflected at 0 and 1; the error of a
    width is the integral of their absolute value. It falls as the width grows, so there is one such s. Residuals are
    split linearly between the nodes of a grid; the kernel with all its reflections is its cosine series, the integral
    the trapezoid rule. NaN without rows.
    """
    swept = sweep(sample, -sample.probability_N)
    probability_N = np.repeat(-swept.value_T, np.diff(swept.end_T, prepend=-1))
    weight_N = swept.positive_N + swept.negative_N
    residual_N = swept.positive_N - weight_N * probability_N
    place_N = probability_N * (NUM_NODES - 1)
    node_N = np.minimum(place_N.astype(np.int64), NUM_NODES - 2)
    upper_N = place_N - node_N
    value_R = np.full(weight_QR.shape[1], np.nan)
    for replicate in range(len(value_R)):
        drawn_N = weight_QR[swept.query_N, replicate]
        if (total := (drawn_N * weight_N).sum()) > 0:
            mass_N = drawn_N * residual_N / total
            residual_G = np.bincount(node_N, weights=mass_N * (1 - upper_N), minlength=NUM_NODES)
            residual_G += np.bincount(node_N + 1, weights=mass_N * upper_N, minlength=NUM_NODES)
            value_R[replicate] = _fixed_point(residual_G)
    return value_R


def _fixed_point(residual_G: np.ndarray) -> float:
    residual_G[[0, -1]] *= 2  # their cosine series, of nodes that lie on the edge
    series_K = np.asarray(dct(residual_G, type=1)) / 2
    square_K = (np.pi * np.arange(NUM_NODES)) ** 2 / 2
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        width = (low + high) / 2
        density_G = np.abs(np.asarray(dct(series_K * np.exp(-square_K * width**2), type=1)))
        error = (density_G.sum() - (density_G[0] + density_G[-1]) / 2) / (NUM_NODES - 1)
        low, high = (width, high) if error > width else (low, width)
    return high if low else 0.0
