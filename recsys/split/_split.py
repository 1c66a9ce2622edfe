"""How queries are divided into train, validation and test."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import pyarrow as pa


@dataclass
class Split(ABC):
    """An option of conf/split."""

    @abstractmethod
    def assign(self, queries: pa.Table) -> pa.Array:
        """The split ('train', 'validation' or 'test') of each row of the `queries` table."""
