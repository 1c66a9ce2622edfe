"""How raw data enters: a source yields the four raw tables of `recsys.tables.RAW`, shard by shard."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa


@dataclass
class Source(ABC):
    """Raw tables by name. It maps names and types and does not clean: `prepare` does, and counts what it drops."""

    gives_scores: ClassVar[bool] = False  # judgments carry a column `score`: no model is needed

    @abstractmethod
    def tables(self) -> tuple[str, ...]:
        """Which of items, queries, judgments, impressions it has; items and queries always."""

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """What the raw data is, for the fingerprint: file names with content hashes, or {} where the configuration says
        all. Cheap errors (a missing file, a missing column) are raised here, before any long work."""

    @abstractmethod
    def read(self, table: str) -> Iterator[pa.Table]:
        """The shards of one raw table, each conforming to its contract (`RAW[table].conform`)."""

    def truth(self) -> dict[str, pa.Table]:
        """Tables of known truth to keep beside the corpus (a simulator has them, real data does not)."""
        return {}
