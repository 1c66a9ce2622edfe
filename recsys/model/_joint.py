"""A transformer layer in which a query's tokens attend to their own and to an item's keys and values.

Shapes: B pairs, W tokens, R query rows, D dimensions, H heads, d dimensions of a head.
"""

import copy
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel

from recsys.model._first_row import LAYERS


def joint_layers(model: PreTrainedModel, num: int) -> list["JointLayer"]:
    """Copies of the last `num` layers. Raises ValueError for an architecture whose layers are not known."""
    layers = getattr(getattr(model, "encoder", None), "layer", [])
    if not layers or not all(isinstance(layer, LAYERS) for layer in layers):
        raise ValueError(
            f"model.pretrained is a {model.config.model_type}, whose layers a split encoder cannot join; "
            "use one of the BERT, RoBERTa or XLM-RoBERTa family"
        )
    if num > len(layers):
        raise ValueError(f"model.joint_layers={num}, but the transformer has {len(layers)} layers")
    return [JointLayer(copy.deepcopy(layer)) for layer in layers[-num:]]


class JointLayer(torch.nn.Module):
    """The parts of a BERT layer, to be put together differently."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer: Any = layer

    def queries(self, hidden_BRD: torch.Tensor) -> torch.Tensor:
        """BHRd, not yet divided by the square root of d."""
        return self._heads(self.layer.attention.self.query(hidden_BRD))

    def keys_values(self, hidden_BWD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """BHWd, twice."""
        parts = self.layer.attention.self
        return self._heads(parts.key(hidden_BWD)), self._heads(parts.value(hidden_BWD))

    def finish(self, context_BHRd: torch.Tensor, hidden_BRD: torch.Tensor) -> torch.Tensor:
        """What follows attention: projection, residual, feed-forward; BRD."""
        attended = self.layer.attention.output(context_BHRd.transpose(1, 2).flatten(2), hidden_BRD)
        return self.layer.feed_forward_chunk(attended)

    def forward(
        self, hidden_BRD: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask_B11W: torch.Tensor
    ) -> torch.Tensor:
        """The layer for given keys and values, BHWd; `mask` is true where there is a token."""
        context = scaled_dot_product_attention(self.queries(hidden_BRD), keys, values, attn_mask=mask_B11W)
        return self.finish(context, hidden_BRD)

    def _heads(self, rows_BWD: torch.Tensor) -> torch.Tensor:
        return rows_BWD.unflatten(-1, (-1, self.layer.attention.self.attention_head_size)).transpose(1, 2)
