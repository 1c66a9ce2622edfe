"""Which query-item pairs are scored."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass
class Pairs(ABC):
    """An option of conf/pairs."""

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """What it reads, for the fingerprint; raises ValueError early for what is missing."""

    @abstractmethod
    def candidates(
        self, query_ids: pa.ChunkedArray, item_ids: pa.ChunkedArray
    ) -> tuple[np.ndarray | None, dict[str, int]]:
        """candidate_P2, sorted unique (query row, item row), or None for all; and what was left out, by reason."""
