"""The interface every model answers through: texts are encoded once, pairs interact cheaply.

Shapes: Q queries, I items, P pairs, T outputs. Scores are unbounded float32 logits, never probabilities.
"""

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

import numpy as np
import pyarrow as pa


class Encoded(Protocol):
    """What a scorer remembers of a table of texts: one entry per row, in row order. Opaque to everyone else."""

    def __len__(self) -> int: ...


class Scorer(ABC):
    """Scores pairs of queries and items.

    Results depend on the arguments alone (never on earlier calls), so a tile's bytes do not depend on who scores it.
    Rows with the same text share one encoding.
    """

    by_text: ClassVar[bool] = True  # whether rows with the same text have the same scores
    outputs: tuple[str, ...]  # T names; an output named like a target predicts it, 'match' serves every target

    @abstractmethod
    def encode_queries(self, table: pa.Table) -> Encoded:
        """Encodes rows of the `queries` table."""

    @abstractmethod
    def encode_items(self, table: pa.Table) -> Encoded:
        """Encodes rows of the `items` table."""

    @abstractmethod
    def score(self, queries: Encoded, items: Encoded) -> np.ndarray:
        """score_TQI: every query with every item, float32; the caller's own, to change as it likes."""

    @abstractmethod
    def score_pairs(self, queries: Encoded, items: Encoded, pair_P2: np.ndarray) -> np.ndarray:
        """score_TP of the given pairs; pair_P2 holds (query row, item row), int64."""


def num_bytes(value: object) -> int:
    """Bytes of all arrays and tensors in it, as far as data classes, lists and sparse matrices go."""
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if isinstance(value, list | tuple):
        return sum(map(num_bytes, value))
    if hasattr(value, "indptr"):
        return sum(num_bytes(getattr(value, name)) for name in ("data", "indices", "indptr"))
    if dataclasses.is_dataclass(value):
        return sum(num_bytes(getattr(value, f.name)) for f in dataclasses.fields(value))
    return 0


def output_for(target: str, outputs: tuple[str, ...]) -> str:
    """The output that predicts `target`: the one of its name, else the single shared one."""
    return target if target in outputs else outputs[0]
