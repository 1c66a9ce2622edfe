"""The segments that rows lie in, by one column. Shapes: N rows, K values."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Segments:
    """One column: row n has the value value_K[code_N[n]]; a code of -1 means that it has none."""

    value_K: tuple[str, ...]
    code_N: np.ndarray  # int64

    @classmethod
    def of(cls, text_N: np.ndarray) -> "Segments":
        """The segments of a column of texts; None is no value."""
        known_N = np.array([t is not None for t in text_N], bool)
        value_K, code_M = np.unique(text_N[known_N].astype(str), return_inverse=True)
        code_N = np.full(len(text_N), -1, np.int64)
        code_N[known_N] = code_M
        return cls(value_K=tuple(value_K.tolist()), code_N=code_N)

    def take(self, chosen: np.ndarray) -> "Segments":
        """Those of a mask of rows, or of their positions."""
        return Segments(value_K=self.value_K, code_N=self.code_N[chosen])

    def codes(self, value_K: tuple[str, ...]) -> np.ndarray:
        """code_N in another list of values; -1 where a row has none of them."""
        place = {value: k for k, value in enumerate(value_K)}
        return np.array([place.get(value, -1) for value in self.value_K] + [-1], np.int64)[self.code_N]


NOWHERE: Mapping[str, Segments] = MappingProxyType({})  # rows of no known segment
