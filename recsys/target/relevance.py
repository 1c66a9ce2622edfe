"""Graded relevance, as people judge it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.target._target import Target, mean_judgment


@dataclass
class Relevance(Target):
    """A grade from 0 to `max_label`; several judgments of a pair are averaged."""

    name: str
    max_label: float  # highest grade; 0 is the lowest
    positive_label: float  # grades from here on count as relevant
    gain_map: str  # exponential: 2^grade - 1 (Burges et al., 2005); linear: the grade (Jarvelin & Kekalainen, 2002)

    def __post_init__(self) -> None:
        if self.gain_map not in ("exponential", "linear"):
            raise ValueError(f"target.relevance.gain_map={self.gain_map!r} is unknown; use exponential or linear")
        if not 0 < self.positive_label <= self.max_label:
            raise ValueError(
                f"target.relevance.positive_label={self.positive_label} must lie above 0 and not above "
                f"max_label={self.max_label}"
            )

    def observe(self, judgments: pa.Table, impressions: pa.Table) -> pa.Table:
        return mean_judgment(judgments.filter(pc.equal(judgments["target"], self.name)), self.name)

    def positive(self, label_N: np.ndarray) -> np.ndarray:
        return label_N >= self.positive_label

    def gain(self, label_N: np.ndarray) -> np.ndarray:
        return np.exp2(label_N) - 1.0 if self.gain_map == "exponential" else np.asarray(label_N, np.float64)

    def unit(self, label_N: np.ndarray) -> np.ndarray:
        return np.asarray(label_N, np.float64) / self.max_label

    def outside(self, label_N: np.ndarray) -> np.ndarray:
        return ~((label_N >= 0) & (label_N <= self.max_label))

    def describe(self) -> str:
        gain = "2^grade − 1" if self.gain_map == "exponential" else "the grade"
        return f"judged grade 0–{self.max_label:g}; {self.positive_label:g} and above count as relevant; gain = {gain}"
