"""Random rows for calibrators, with ties, weights, one class, equal scores and single rows.

Shapes: N rows, V distinct scores, X places at which maps are compared.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from recsys.calibrator import Rows, Segments

VALUES = np.array([None, "a", "b", "c"], object)


@dataclass(frozen=True)
class Case:
    """Random rows, their counts per distinct score, and places to compare at."""

    rows: Rows
    score_V: np.ndarray
    positive_V: np.ndarray
    weight_V: np.ndarray
    place_X: np.ndarray

    @property
    def spread(self) -> float:
        mean = np.average(self.score_V, weights=self.weight_V)
        return math.sqrt(np.average((self.score_V - mean) ** 2, weights=self.weight_V))


def draw(seed: int, *, largest: int = 120, weighted: bool = True) -> Case:
    """One case: about one in ten has a single class, one in ten equal scores, half are tied, half weighted."""
    rng = np.random.default_rng(seed)
    num = int(rng.choice([1, 2, 3, 8, min(30, largest), largest]))
    logit_N = rng.normal(rng.normal(), 1.5, num)
    positive_N = rng.random(num) < expit(logit_N)
    if rng.random() < 0.1:
        positive_N[:] = rng.random() < 0.5
    score_N = logit_N * rng.choice([0.3, 1.0, 4.0]) + rng.choice([0.0, -2.0, 2.0])
    if rng.random() < 0.5:
        score_N = np.round(score_N * 2) / 2
    if rng.random() < 0.1:
        score_N[:] = score_N[0]
    score_N = score_N.astype(np.float32)
    weight_N = np.ones(num)
    if weighted and rng.random() < 0.5:
        weight_N = rng.choice([0.0, 0.5, 1.0, 3.0], num, p=[0.1, 0.3, 0.3, 0.3])
        weight_N[0] = 1.0
    counts: dict[float, list[float]] = {}
    for score, positive, weight in zip(score_N.tolist(), positive_N.tolist(), weight_N.tolist(), strict=True):
        if weight > 0:
            entry = counts.setdefault(score, [0.0, 0.0])
            entry[0] += weight * positive
            entry[1] += weight
    score_V = np.array(sorted(counts))
    middle = (score_V[:-1] + score_V[1:]) / 2
    return Case(
        rows=Rows(
            score_N=score_N,
            positive_N=positive_N,
            weight_N=weight_N,
            fold_N=np.zeros(num, np.int64),
            segment={n: Segments.of(rng.choice(VALUES, num, p=[0.1, 0.4, 0.3, 0.2])) for n in ("kind", "shop")},
        ),
        score_V=score_V,
        positive_V=np.array([counts[s][0] for s in score_V.tolist()]),
        weight_V=np.array([counts[s][1] for s in score_V.tolist()]),
        place_X=np.r_[score_V, score_V[0] - 1, score_V[-1] + 1, middle],
    )
