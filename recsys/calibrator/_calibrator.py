"""A calibrator as a configured noun, and what fitting it leaves behind: a map kept as JSON.

Shapes: N rows, V distinct scores ascending, K values of a column.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from recsys.calibrator._segments import NOWHERE, Segments


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What calibrators learn from: labelled rows, or the bins of a histogram, one row per bin and class."""

    score_N: np.ndarray  # logits
    positive_N: np.ndarray  # bool
    weight_N: np.ndarray  # number of observations
    fold_N: np.ndarray  # int64, of the row's query: what a calibrator may hold out from itself
    segment: Mapping[str, Segments]  # column -> the rows' values

    def __post_init__(self) -> None:
        check_finite("score", self.score_N)
        check_finite("weight", self.weight_N)
        if len(self.weight_N) and self.weight_N.min() < 0:
            raise ValueError(f"weight {self.weight_N.min()} is negative; a weight is a number of observations")

    def __len__(self) -> int:
        return len(self.score_N)

    def take(self, chosen: np.ndarray) -> "Rows":
        """The rows of a mask or of positions."""
        return Rows(
            score_N=self.score_N[chosen],
            positive_N=self.positive_N[chosen],
            weight_N=self.weight_N[chosen],
            fold_N=self.fold_N[chosen],
            segment={name: column.take(chosen) for name, column in self.segment.items()},
        )


class Fitted(ABC):
    """A map from score (and segment) to probability: a frozen dataclass of plain values."""

    map: ClassVar[str]  # its name in JSON
    order: ClassVar[str] = "kept"  # kept: non-decreasing; segment: so within a segment; free: it may fall
    gives_interval: ClassVar[bool] = False

    @property
    def segments(self) -> Mapping[str, tuple[str, ...]]:
        """Column -> values that it knows; other rows get the map for all."""
        return {}

    @abstractmethod
    def predict(self, score_N: np.ndarray, segment: Mapping[str, Segments] = NOWHERE) -> np.ndarray:
        """probability_N, float64 in [0, 1], of float32 logits. A row without a known segment gets the global map."""

    def interval(self, score_N: np.ndarray, segment: Mapping[str, Segments] = NOWHERE) -> tuple[np.ndarray, np.ndarray]:
        """low_N and high_N of the probability; the probability itself where only a point is known."""
        probability_N = self.predict(score_N, segment)
        return probability_N, probability_N

    def to_json(self) -> dict:
        """Plain values for `json.dumps`; `recsys.calibrator.from_json` reads them back without loss."""
        return {"map": self.map} | {_key(f.name): _plain(getattr(self, f.name)) for f in fields(self)}  # pyright: ignore[reportArgumentType]

    @classmethod
    def keys(cls) -> dict[str, str]:
        """Key in JSON -> name of the field."""
        return {_key(f.name): f.name for f in fields(cls)}  # pyright: ignore[reportArgumentType]


@dataclass
class Calibrator(ABC):
    """An option of conf/calibrator."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of queries, items or labels whose segments it asks for."""
        return ()

    @abstractmethod
    def fit(self, rows: Rows) -> Fitted:
        """Fits P(positive | score); the same bits for any order of the rows.

        One class, equal scores or separable classes are fine: the map stays finite and off 0 and 1. Raises ValueError
        without a row of positive weight.
        """


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Rows gathered: per distinct score, how many were positive and how many were not."""

    score_V: np.ndarray  # float64, strictly ascending
    positive_V: np.ndarray  # float64, sum of weights
    negative_V: np.ndarray

    @property
    def weight_V(self) -> np.ndarray:
        return self.positive_V + self.negative_V


def tally(rows: Rows) -> Tally:
    """Rows gathered by score. Raises ValueError without a row of positive weight."""
    (score_V,), positive_V, negative_V = gather(rows, rows.score_N)
    return Tally(score_V=score_V, positive_V=positive_V, negative_V=negative_V)


def gather(rows: Rows, *key_N: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Distinct keys in ascending order (the first counts most), with their sums of positive and negative weight.

    Small weights are added first, so that the sums are the same for any order of the rows.
    """
    if not rows.weight_N.sum() > 0:
        raise ValueError("a calibrator needs at least one labelled row with a positive weight; none was given")
    row = np.flatnonzero(rows.weight_N > 0)
    keys = [np.asarray(k)[row] for k in key_N]
    weight_M, positive_M = np.asarray(rows.weight_N, np.float64)[row], np.asarray(rows.positive_N, bool)[row]
    order = np.lexsort((weight_M, positive_M, *keys[::-1]))
    keys = [k[order] for k in keys]
    new_M = np.zeros(len(row), bool)
    new_M[0] = True
    for key in keys:
        new_M[1:] |= key[1:] != key[:-1]
    value_M = np.cumsum(new_M) - 1
    weight_M, positive_M = weight_M[order], positive_M[order]
    distinct = [k[new_M].astype(np.float64) if k.dtype.kind == "f" else k[new_M] for k in keys]
    return (
        distinct,
        np.bincount(value_M, weights=weight_M * positive_M),
        np.bincount(value_M, weights=weight_M * ~positive_M),
    )


def check_finite(name: str, value_N: np.ndarray) -> None:
    """Raises ValueError naming the first value that is NaN or infinite."""
    wrong = np.flatnonzero(~np.isfinite(value_N))
    if len(wrong):
        raise ValueError(
            f"{name} {value_N[wrong[0]]} at row {wrong[0]} is not a finite number "
            f"({len(wrong)} of {len(value_N)} rows); repair the scorer or drop the rows"
        )


def _key(name: str) -> str:
    return re.sub(r"_[A-Z]+$", "", name)


def _plain(value: Any) -> Any:
    if isinstance(value, Fitted):
        return value.to_json()
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
