"""The baseline that knows nothing: a hash of the pair's ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from recsys.model._folder import read_settings, write_settings
from recsys.model._model import Unsupervised
from recsys.scorer import Scorer
from recsys.seed import hash_ids, mix


@dataclass
class Random(Unsupervised):
    """Every score is uniform in [-spread, spread), a function of (seed, query_id, item_id) alone."""

    of_inference: ClassVar[tuple[str, ...]] = ("spread",)

    spread: float

    def __post_init__(self) -> None:
        if not 0 < self.spread <= 1e30:
            raise ValueError(f"model.spread={self.spread} must be above 0 and at most 1e30")

    def fit(self, queries: pa.Table, items: pa.Table, seed: int, folder: Path) -> None:
        write_settings(folder, model="random", outputs=("match",), settings={"seed": seed})

    def load(self, folder: Path, device: str) -> Scorer:
        return RandomScorer(seed=read_settings(folder, model="random")["seed"], spread=self.spread)


class RandomScorer(Scorer):
    """Encodes a row as the hash of its id. Exact in float32, so a pair's score is the same wherever it is computed."""

    by_text = False
    outputs = ("match",)

    def __init__(self, *, seed: int, spread: float) -> None:
        self._seed = seed
        self._spread = np.float32(spread)

    def encode_queries(self, table: pa.Table) -> np.ndarray:
        return hash_ids(table["query_id"].to_pylist(), self._seed)

    def encode_items(self, table: pa.Table) -> np.ndarray:
        return hash_ids(table["item_id"].to_pylist(), self._seed)

    def score(self, queries: np.ndarray, items: np.ndarray) -> np.ndarray:
        return self._logit(mix(queries[:, None], items[None, :]))[None]

    def score_pairs(self, queries: np.ndarray, items: np.ndarray, pair_P2: np.ndarray) -> np.ndarray:
        return self._logit(mix(queries[pair_P2[:, 0]], items[pair_P2[:, 1]]))[None]

    def _logit(self, hashes: np.ndarray) -> np.ndarray:
        unit = (hashes >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
        return unit * self._spread
