"""Cross-encoder: query and item read together by one transformer (Nogueira & Cho, 2019)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys.model._transformer import Transformer
from recsys.scorer import Scorer

if TYPE_CHECKING:
    from recsys.model._cross_encoder import CrossNetwork


@dataclass
class CrossEncoder(Transformer):
    """A sequence classifier with one logit per output.

    With `residual` that logit corrects the two-tower similarity of the same transformer and starts at 0, so an
    untrained model ranks as the two-tower: what few labels can teach is not wasted on learning it again.

    A transformer from scratch has no idea yet that equal words mean the same; it is told by the token type
    (0 query, 1 item; 2 and 3 for tokens that occur on both sides).
    """

    residual: bool

    def build(self, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int) -> "CrossNetwork":
        from recsys.model._cross_encoder import build

        return build(self, queries, items, outputs, seed)

    def load(self, folder: Path, device: str) -> Scorer:
        from recsys.model._cross_encoder import load

        return load(self, folder, device)
