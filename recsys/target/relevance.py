"""Graded relevance, as people judge it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.target._target import Target, mean_judgment

NAMED_GAINS = {  # of the grades 0, 1, 2, 3: irrelevant, complement, substitute, exact
    "esci_paper": (0.0, 0.01, 0.1, 1.0),  # Reddy et al., 2022
    "esci_script": (0.0, 0.1, 0.01, 1.0),  # the evaluation script published with the data says the opposite
}


@dataclass
class Relevance(Target):
    """A grade from 0 to `max_label`; several judgments of a pair are averaged."""

    name: str
    max_label: float  # highest grade; 0 is the lowest
    positive_label: float  # grades from here on count as relevant
    gain_map: str  # exponential: 2^grade - 1 (Burges et al., 2005); linear: the grade (Jarvelin & Kekalainen, 2002);
    # esci_paper, esci_script; or the gains of the grades 0, 1, 2, ... themselves: "0, 0.2, 0.5, 1"

    def __post_init__(self) -> None:
        if not 0 < self.positive_label <= self.max_label:
            raise ValueError(
                f"target.relevance.positive_label={self.positive_label} must lie above 0 and not above "
                f"max_label={self.max_label}"
            )
        if self.gain_map not in ("exponential", "linear"):
            gains, wanted = self._gains(), self.max_label + 1
            if len(gains) != wanted or not all(0 <= gain < np.inf for gain in gains) or not any(gains):
                raise ValueError(
                    f"target.relevance.gain_map={self.gain_map!r} must give {wanted:g} gains, of the grades 0 to "
                    f"{self.max_label:g}, none of them negative and not all 0"
                )

    def observe(self, judgments: pa.Table, impressions: pa.Table) -> pa.Table:
        return mean_judgment(judgments.filter(pc.equal(judgments["target"], self.name)), self.name)

    def positive(self, label_N: np.ndarray) -> np.ndarray:
        return label_N >= self.positive_label

    def gain(self, label_N: np.ndarray) -> np.ndarray:
        match self.gain_map:
            case "exponential":
                return np.exp2(label_N) - 1.0
            case "linear":
                return np.asarray(label_N, np.float64)
        gains = self._gains()  # a mean of grades lies between two of them
        return np.interp(label_N, np.arange(len(gains)), gains)

    def unit(self, label_N: np.ndarray) -> np.ndarray:
        return np.asarray(label_N, np.float64) / self.max_label

    def outside(self, label_N: np.ndarray) -> np.ndarray:
        return ~((label_N >= 0) & (label_N <= self.max_label))

    def num_grades(self) -> int:
        return round(self.max_label) + 1

    def describe(self) -> str:
        gain = {"exponential": "2^grade − 1", "linear": "the grade"}.get(self.gain_map)
        if gain is None:
            gain = f"{', '.join(f'{g:g}' for g in self._gains())} for the grades 0–{self.max_label:g}"
            gain += f" ({self.gain_map})" if self.gain_map in NAMED_GAINS else ""
        lowest, highest = self.positive_label, self.max_label
        relevant = f"{lowest:g} and above count" if lowest < highest else f"only {highest:g} counts"
        return f"judged grade 0–{highest:g}; {relevant} as relevant; gain = {gain}"

    def _gains(self) -> tuple[float, ...]:
        """Gains of the grades 0, 1, 2, ... by name or as written."""
        if self.gain_map in NAMED_GAINS:
            return NAMED_GAINS[self.gain_map]
        try:
            return tuple(float(gain) for gain in self.gain_map.split(","))
        except ValueError:
            known = ", ".join(("exponential", "linear", *NAMED_GAINS))
            raise ValueError(
                f"target.relevance.gain_map={self.gain_map!r} is unknown; use {known}, or the gains of the grades "
                "0, 1, 2, ... such as '0, 0.2, 0.5, 1'"
            ) from None
