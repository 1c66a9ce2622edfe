"""Every query with every item of its market."""

from dataclasses import dataclass

import pyarrow as pa

from recsys.pairs._pairs import Asked, Pairs


@dataclass
class Every(Pairs):
    """The whole grid; only within the same locale where both tables have one."""

    def identity(self, *, corpus: str, top_k: int) -> dict[str, str]:
        return {}

    def candidates(self, query_ids: pa.ChunkedArray, item_ids: pa.ChunkedArray, outputs: tuple[str, ...]) -> Asked:
        return Asked(pair_P2=None, left_out={})
