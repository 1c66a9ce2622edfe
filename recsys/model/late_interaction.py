"""Late interaction: each token of the query finds its best match among the item's tokens (ColBERT, Khattab & Zaharia,
SIGIR 2020)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys.model._transformer import Transformer
from recsys.scorer import Scorer

if TYPE_CHECKING:
    from recsys.model._late_interaction import LateNetwork


@dataclass
class LateInteraction(Transformer):
    """score_t = scale_t * (mean over query tokens of the largest cosine with an item token) + bias_t. Special tokens
    take part on both sides, so that an empty text can be scored."""

    def build(self, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int) -> "LateNetwork":
        from recsys.model._late_interaction import build

        return build(self, queries, items, outputs, seed)

    def load(self, folder: Path, device: str) -> Scorer:
        from recsys.model._late_interaction import load

        return load(self, folder, device)
