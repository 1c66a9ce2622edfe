"""A model as a configured noun: fitted once on a corpus, saved as a folder, opened as a `Scorer`.

Shapes: B pairs of a batch, T outputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import torch

from recsys.scorer import Scorer


@dataclass
class Model(ABC):
    """An option of conf/model. `learns` tells whether it sees labels: if so, its training queries are not evaluated."""

    learns: ClassVar[bool] = False

    def check(self) -> None:
        """Raises ValueError for a wrong configuration (a folder that is no model), early and cheaply."""

    @abstractmethod
    def load(self, folder: Path, device: str) -> Scorer:
        """Opens a fitted model on 'cpu' or 'cuda'. Raises ValueError naming the folder if it is not such a model."""


class Unsupervised(Model):
    """Fitted from texts alone, in one go, without gradients."""

    @abstractmethod
    def fit(self, queries: pa.Table, items: pa.Table, seed: int, folder: Path) -> None:
        """Writes everything `load` needs into the (existing, empty) folder."""


class Supervised(Model):
    """Trained by gradient on labelled pairs."""

    learns: ClassVar[bool] = True

    @abstractmethod
    def build(self, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int) -> "Network":
        """A network ready to be trained, one output per target; from scratch, its tokenizer is trained on the texts.

        The same arguments give the same initial weights on every worker.
        """


class Network(torch.nn.Module, ABC):
    """What is trained. `forward(**batch)` gives logit_BT, float32."""

    outputs: tuple[str, ...]

    @abstractmethod
    def collate(self, query_texts: list[str], item_texts: list[str]) -> dict[str, torch.Tensor]:
        """The batch (on the CPU) for B pairs given as two lists of B texts."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """A Hugging Face folder that `transformers` opens, plus a small JSON with what `Model.load` needs besides."""


Progress = Callable[[int, int], None]  # (done, total)
