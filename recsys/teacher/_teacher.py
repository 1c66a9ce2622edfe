"""Who labels pairs that nobody has judged, so that a model has more to learn from than the labels there are.

Shapes: P pairs that are taught.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys import store
from recsys.model import Supervised


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fitted model of a run on the same corpus."""

    run: store.Run
    model: Supervised
    fingerprint: str  # of the run's model/


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """Which pairs are taught, and whose scores of them are believed: the mean of all models' logits."""

    models: list[Fitted]
    pair_P2: np.ndarray  # query row, item row; sorted, unique
    hard_P: np.ndarray  # bool: drawn from the best-scored items of its query, not from all
    weight: float  # of a soft label; a real one weighs as many as it was observed


@dataclass
class Teacher(ABC):
    """An option of conf/teacher."""

    @abstractmethod
    def identity(self, corpus: str) -> dict[str, str]:
        """Fingerprints of what it teaches from, for the fingerprint of a training on the corpus of this fingerprint;
        raises ValueError early for what is missing or was made from another corpus."""

    @abstractmethod
    def lessons(self, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int) -> Lessons | None:
        """What it teaches a model of these outputs, or None for nothing: a function of the arguments alone.

        Raises ValueError if it knows nothing of an output. Tables need ids and locales; queries also their split.
        """
