"""A sequence classifier reads one row of the last layer, the first: the other rows need not be computed. Exact.

Shapes: B inputs, W tokens, D dimensions, H heads.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel

from recsys.model._layer import LAYERS, finish, heads


def keep_first_row(model: PreTrainedModel) -> None:
    """Replaces the last layer by one that gives only its first row, where the architecture is known to allow it.

    For inference alone, and for an attention that gets a mask per input or none (attn_implementation="sdpa").
    """
    layers = getattr(getattr(model.base_model, "encoder", None), "layer", None)
    if layers is not None and isinstance(layers[-1], LAYERS) and model.config._attn_implementation == "sdpa":
        layers[-1] = FirstRow(layers[-1])


class FirstRow(torch.nn.Module):
    """The first row of a layer's output, B1D."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer: Any = layer

    def forward(
        self, hidden_BWD: torch.Tensor, mask_B1WW: torch.Tensor | None = None, *_: object, **__: object
    ) -> torch.Tensor:
        parts = self.layer.attention.self
        first_B1D = hidden_BWD[:, :1]
        query, key, value = (
            heads(self.layer, project(rows))
            for project, rows in ((parts.query, first_B1D), (parts.key, hidden_BWD), (parts.value, hidden_BWD))
        )
        mask_B11W = None if mask_B1WW is None else mask_B1WW[:, :, :1]
        context_BH1D = scaled_dot_product_attention(query, key, value, attn_mask=mask_B11W)
        return finish(self.layer, context_BH1D.transpose(1, 2).flatten(2), first_B1D)
