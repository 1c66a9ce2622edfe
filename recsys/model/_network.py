"""What is trained by gradient. Shapes: B pairs of a batch, T outputs."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch


class Network(torch.nn.Module, ABC):
    """What is trained. `forward(**batch)` gives logit_BT, float32."""

    outputs: tuple[str, ...]

    @abstractmethod
    def collate(self, query_texts: list[str], item_texts: list[str]) -> dict[str, torch.Tensor]:
        """The batch (on the CPU) for B pairs given as two lists of B texts."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """A Hugging Face folder that `transformers` opens, plus a small JSON with what `Model.load` needs besides."""
