"""A model as a configured noun: fitted once on a corpus, saved as a folder, opened as a `Scorer`.

Shapes: B pairs of a batch, T outputs.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa

from recsys.scorer import Scorer

if TYPE_CHECKING:  # torch is loaded where a network is built, not where a job is configured
    from recsys.model._network import Network


@dataclass
class Model(ABC):
    """An option of conf/model. `learns` tells whether it sees labels: if so, its training queries are not evaluated."""

    learns: ClassVar[bool] = False
    accelerated: ClassVar[bool] = False  # whether a GPU makes it faster
    of_inference: ClassVar[tuple[str, ...]] = ()  # fields that fitting does not look at

    def check(self) -> None:
        """Raises ValueError for a wrong configuration (a folder that is no model), early and cheaply."""

    def identity(self) -> dict[str, str]:
        """Fingerprints of the files it starts from."""
        return {}

    def settle(self, device: str) -> "Model":
        """The same model with everything decided that was left to this processor: so that others, on another
        processor, compute the same."""
        return self

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
    accelerated: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def reopen(cls, fitted: dict[str, Any]) -> Self:
        """The option of a fitted model as its manifest describes it; what fitting does not look at is left to the
        processor."""

    @abstractmethod
    def build(self, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int) -> "Network":
        """A network ready to be trained, one output per target; from scratch, its tokenizer is trained on the texts.

        The same arguments give the same initial weights on every worker.
        """
