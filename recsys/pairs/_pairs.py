"""Which query-item pairs are scored."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys.shortlist import Shortlist


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The pairs to score, and what becomes of the others."""

    pair_P2: np.ndarray | None  # sorted unique (query row, item row), or None for all
    left_out: dict[str, int]  # reason -> candidates that cannot be scored
    shortlist: Shortlist | None = None  # how an earlier model ranks the others; without it they are tied below


@dataclass
class Pairs(ABC):
    """An option of conf/pairs."""

    @abstractmethod
    def identity(self, *, corpus: str, top_k: int) -> dict[str, str]:
        """What it reads, for the fingerprint; raises ValueError early for what is missing, or does not go with the
        fingerprint of the run's corpus or with the items it keeps per query."""

    @abstractmethod
    def candidates(self, query_ids: pa.ChunkedArray, item_ids: pa.ChunkedArray, outputs: tuple[str, ...]) -> Asked:
        """The pairs among the corpus rows with these ids; `outputs` are those of the model that will score them."""
