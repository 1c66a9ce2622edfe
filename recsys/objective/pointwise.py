"""Each pair on its own: binary cross-entropy. Shapes: B pairs of a batch, T outputs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys.objective._objective import Objective

if TYPE_CHECKING:
    import torch


@dataclass
class Pointwise(Objective):
    """Weighted mean over the observed pairs of an output, then the mean over outputs observed in the batch.

    A label strictly between 0 and 1 is a soft one: the loss is least where sigmoid(logit) equals it. Without any
    observation the loss is 0, with zero gradients.
    """

    label_smoothing: float

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"objective.label_smoothing={self.label_smoothing} must lie in [0, 1)")

    def loss(self, logit_BT: "torch.Tensor", label_BT: "torch.Tensor", weight_BT: "torch.Tensor") -> "torch.Tensor":
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        observed_BT = ~torch.isnan(label_BT)
        soft_BT = torch.where(observed_BT, label_BT, 0.5) * (1 - self.label_smoothing) + self.label_smoothing / 2
        used_BT = torch.where(observed_BT, weight_BT, 0.0)
        loss_BT = binary_cross_entropy_with_logits(logit_BT, soft_BT.to(logit_BT.dtype), reduction="none")
        total_T = used_BT.sum(0)
        mean_T = (used_BT * loss_BT).sum(0) / total_T.clamp(min=torch.finfo(total_T.dtype).tiny)
        return mean_T.sum() / (total_T > 0).sum().clamp(min=1)
