"""Counts how often a tile's process died over it, so that a tile that kills whoever scores it is given up.

Ray starts a killed actor again and gives it the same work, without end: one tile too large for memory would stall all.
"""

from collections import Counter
from typing import Any

import ray

from recsys.stage._cluster import on_node

MAX_KILLS = 5  # of one tile's processes, with nothing committed in between; a lost node takes one
KILLED = (
    f"ProcessKilled: {MAX_KILLS} processes were killed over it, most likely for lack of memory; lower resources.actors,"
    " or tiles.cache_mib, tiles.items and tiles.queries under another name"
)


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Attempts:
    """What is begun and has not ended, by tile."""

    def __init__(self) -> None:
        self.begun = Counter[int]()

    def begin(self, tile: int) -> bool:
        """Whether the tile may be tried; False once that was deadly too often."""
        self.begun[tile] += 1
        return self.begun[tile] <= MAX_KILLS

    def end(self, tile: int) -> None:
        """The process survived."""
        del self.begun[tile]


def count_attempts() -> Any:
    """The counter of one pool of actors, on this node: it lives as long as its driver."""
    return Attempts.options(scheduling_strategy=on_node(ray.get_runtime_context().get_node_id())).remote()
