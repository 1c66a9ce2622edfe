"""Training without padding: the tokens of a batch stand back to back, and only attention sees the texts apart.

Linear layers, whose products are nearly all of the work, then run over N real tokens in one piece instead of over
B x W places (as in MosaicBERT; Portes et al., 2023). The numbers are those of the padded layers.

Shapes: B texts, W tokens of the longest, N tokens of all, D dimensions, H heads, d dimensions of a head.
"""

from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from recsys.model._layer import LAYERS, finish, heads


@dataclass(frozen=True)
class Packing:
    """Which places of a padded batch hold tokens."""

    shape: tuple[int, int]  # B, W
    at_N: torch.Tensor | None  # indices into B x W; None where nothing is padded
    mask_B11W: torch.Tensor | None

    @classmethod
    def of(cls, shape: tuple[int, int], mask_BW: torch.Tensor | None) -> "Packing":
        if mask_BW is None:
            return cls(shape, None, None)
        mask_BW = mask_BW.bool()
        return cls(shape, mask_BW.flatten().nonzero()[:, 0], mask_BW[:, None, None, :])

    def pack(self, rows_BWD: torch.Tensor) -> torch.Tensor:
        """ND."""
        rows_LD = rows_BWD.flatten(0, 1)
        return rows_LD if self.at_N is None else rows_LD.index_select(0, self.at_N)

    def pad(self, rows_ND: torch.Tensor) -> torch.Tensor:
        """BWD, with zeros where there is no token."""
        if self.at_N is None:
            return rows_ND.unflatten(0, self.shape)
        empty_LD = rows_ND.new_zeros(self.shape[0] * self.shape[1], rows_ND.shape[1])
        return empty_LD.index_copy(0, self.at_N, rows_ND).unflatten(0, self.shape)


def encode(layers: Any, hidden_ND: torch.Tensor, packing: Packing) -> list[torch.Tensor]:
    """What enters each layer, and what leaves the last; ND each."""
    states = [hidden_ND]
    for layer in layers:
        states.append(_layer(layer, states[-1], packing))
    return states


def _layer(layer: Any, hidden_ND: torch.Tensor, packing: Packing) -> torch.Tensor:
    parts = layer.attention.self
    query, key, value = (
        heads(layer, packing.pad(project(hidden_ND))) for project in (parts.query, parts.key, parts.value)
    )
    dropout = parts.dropout.p if layer.training else 0.0
    context_BHWd = scaled_dot_product_attention(query, key, value, attn_mask=packing.mask_B11W, dropout_p=dropout)
    return finish(layer, packing.pack(context_BHWd.transpose(1, 2).flatten(2)), hidden_ND)


def pack_encoders(network: torch.nn.Module) -> None:
    """Lets the BERT-like encoders in a network compute without padding; other architectures stay as they are."""
    for module in list(network.modules()):
        layers = getattr(module, "layer", None)
        if isinstance(layers, torch.nn.ModuleList) and len(layers) and all(isinstance(x, LAYERS) for x in layers):
            module.forward = MethodType(_encoder, module)


def _encoder(
    self: Any, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: object
) -> BaseModelOutputWithPastAndCrossAttentions:
    """`forward` of a Hugging Face encoder; its mask, B1WW, is true or adds 0 where a token may look."""
    mask_BW = None if attention_mask is None else attention_mask[:, 0, 0]
    if mask_BW is not None and mask_BW.dtype != torch.bool:
        mask_BW = mask_BW == 0
    packing = Packing.of((hidden_states.shape[0], hidden_states.shape[1]), mask_BW)
    last_ND = encode(self.layer, packing.pack(hidden_states), packing)[-1]
    return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=packing.pad(last_ND))
