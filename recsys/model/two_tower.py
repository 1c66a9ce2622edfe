"""Two-tower: query and item read apart by one transformer, compared by a dot product (Reimers & Gurevych, 2019)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys.model._transformer import Transformer
from recsys.scorer import Scorer

if TYPE_CHECKING:
    from recsys.model._two_tower import TwoTowerNetwork


@dataclass
class TwoTower(Transformer):
    """score_t = scale_t * (W_t query) . item + bias_t on mean-pooled vectors of length 1; W_t starts as the identity,
    so that pretrained embeddings rank by their cosine before any training."""

    def build(self, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int) -> "TwoTowerNetwork":
        from recsys.model._two_tower import build

        return build(self, queries, items, outputs, seed)

    def load(self, folder: Path, device: str) -> Scorer:
        from recsys.model._two_tower import load

        return load(self, folder, device)
