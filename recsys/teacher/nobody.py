"""No teacher: labels alone."""

from dataclasses import dataclass

import pyarrow as pa

from recsys.teacher._teacher import Lessons, Teacher


@dataclass
class Nobody(Teacher):
    """Teaches nothing."""

    def identity(self, corpus: str) -> dict[str, str]:
        return {}

    def lessons(self, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int) -> Lessons | None:
        return None
