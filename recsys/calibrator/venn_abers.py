"""Inductive Venn–Abers prediction (Vovk & Petej, 2014): isotonic regression with the new row among its data, once as
a negative and once as a positive. Shapes: N rows, V distinct scores, L and H steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recsys.calibrator._calibrator import Calibrator, Fitted, Rows, tally
from recsys.calibrator._segments import NOWHERE, Segments


@dataclass(frozen=True, kw_only=True)
class Bracket(Fitted):
    """An interval [p0, p1], and p1 / (1 - p0 + p1) as point. One of its ends is calibrated whatever the distribution of
    the rows, if they and the new one are exchangeable: drawn alike, so that their order tells nothing.

    p0 is low_probability at the last low_score <= score, 0 below all of them; p1 is high_probability at the first
    high_score >= score, 1 above all of them.
    """

    map: ClassVar[str] = "venn_abers"
    gives_interval: ClassVar[bool] = True

    low_score_L: tuple[float, ...]  # ascending, as are the others
    low_probability_L: tuple[float, ...]
    high_score_H: tuple[float, ...]
    high_probability_H: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            score, probability = (
                np.array(v) for n, v in vars(self).items() if n.startswith((f"{name}_score", f"{name}_probability"))
            )
            if not (
                len(score) == len(probability) > 0
                and (np.diff(score) > 0).all()
                and (np.diff(probability) >= 0).all()
                and 0 <= probability[0] <= probability[-1] <= 1
            ):
                raise ValueError(
                    f"{len(score)} {name}_score and {len(probability)} {name}_probability are no calibration: scores "
                    "must ascend and probabilities must not descend, within [0, 1]"
                )

    def interval(self, score_N: np.ndarray, segment: Mapping[str, Segments] = NOWHERE) -> tuple[np.ndarray, np.ndarray]:
        score_N = np.asarray(score_N, np.float64)
        low_N = np.r_[0.0, self.low_probability_L][np.searchsorted(self.low_score_L, score_N, "right")]
        high_N = np.r_[self.high_probability_H, 1.0][np.searchsorted(self.high_score_H, score_N, "left")]
        return low_N, high_N

    def predict(self, score_N: np.ndarray, segment: Mapping[str, Segments] = NOWHERE) -> np.ndarray:
        low_N, high_N = self.interval(score_N)
        return high_N / (1 - low_N + high_N)


@dataclass
class VennAbers(Calibrator):
    """Exact, in time linear in the distinct scores. Scores of a step become ties; never 0 or 1."""

    def fit(self, rows: Rows) -> Bracket:
        counts = tally(rows)
        weight_V = counts.weight_V
        high_V = np.maximum.accumulate(with_a_positive(weight_V, counts.positive_V))
        low_V = 1 - np.maximum.accumulate(with_a_positive(weight_V[::-1], counts.negative_V[::-1]))[::-1]
        first_L = np.flatnonzero(np.r_[True, np.diff(low_V) > 0])
        last_H = np.flatnonzero(np.r_[np.diff(high_V) > 0, True])
        return Bracket(
            low_score_L=tuple(counts.score_V[first_L].tolist()),
            low_probability_L=tuple(np.clip(low_V[first_L], 0, 1).tolist()),
            high_score_H=tuple(counts.score_V[last_H].tolist()),
            high_probability_H=tuple(np.clip(high_V[last_H], 0, 1).tolist()),
        )


def with_a_positive(weight_V: np.ndarray, positive_V: np.ndarray) -> np.ndarray:
    """value_V of isotonic regression at each distinct score, after one positive observation was added there.

    The slope of the greatest convex minorant of the cumulative sums at the added observation, which moves from the
    first score to the last (Vovk, Petej & Fedorova, 2015, algorithms 1 and 2).
    """
    x = [-1.0, 0.0, *np.cumsum(weight_V).tolist()]
    y = [-1.0, 0.0, *np.cumsum(positive_V).tolist()]
    hull: list[tuple[float, float]] = []
    for point in zip(x, y, strict=True):
        while len(hull) > 1 and not _turns_left(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    hull.reverse()  # its leftmost vertex is now the last: the left end of the line on which the observation lies
    value_V = np.empty(len(weight_V))
    corner = (-1.0, -1.0)
    for v in range(len(weight_V)):
        (x0, y0), (x1, y1) = hull[-1], hull[-2]
        value_V[v] = (y1 - y0) / (x1 - x0)
        corner = (corner[0] + x[v + 2] - x[v + 1], corner[1] + y[v + 2] - y[v + 1])
        if (corner[1] - y0) * (x1 - x0) >= (y1 - y0) * (corner[0] - x0):
            continue
        hull.pop()
        while len(hull) > 1 and not _turns_left(corner, hull[-1], hull[-2]):
            hull.pop()
        hull.append(corner)
    return value_V


def _turns_left(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - b[1]) > (b[1] - a[1]) * (c[0] - b[0])
