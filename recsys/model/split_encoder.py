"""Split encoder: a cross-encoder whose items never see the query, so that every pair can be afforded.

Lower layers read each text alone; in the last `joint_layers` the query's tokens attend to the item's cached keys and
values (PreTTR, MacAvaney et al., SIGIR 2020; DeFormer, Cao et al., ACL 2020). The two-tower score is the start.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from recsys.model._transformer import Transformer
from recsys.scorer import Scorer

if TYPE_CHECKING:
    from recsys.model._split_encoder import SplitNetwork

_MOST = 3


@dataclass
class SplitEncoder(Transformer):
    """score_t = two-tower score_t + w_t . [CLS] after the joint layers; w starts at 0, so an untrained split encoder
    ranks as the two-tower it is built on."""

    known_layers: ClassVar[bool] = True

    joint_layers: int

    def __post_init__(self) -> None:
        super().__post_init__()
        most = _MOST if self.pretrained is not None else min(_MOST, self.num_layers)
        if not 1 <= self.joint_layers <= most:
            raise ValueError(f"model.joint_layers={self.joint_layers} must lie between 1 and {most}")

    def build(self, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int) -> "SplitNetwork":
        from recsys.model._split_encoder import build

        return build(self, queries, items, outputs, seed)

    def load(self, folder: Path, device: str) -> Scorer:
        from recsys.model._split_scorer import load

        return load(self, folder, device)
