"""What training minimises. Shapes: B pairs of a batch, T outputs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded where something is trained, not where a job is configured
    import torch


@dataclass
class Objective(ABC):
    """An option of conf/objective."""

    @abstractmethod
    def loss(self, logit_BT: "torch.Tensor", label_BT: "torch.Tensor", weight_BT: "torch.Tensor") -> "torch.Tensor":
        """A scalar to minimise. Labels lie in [0, 1], NaN where a pair was not observed for an output; weights are
        at least 0."""
