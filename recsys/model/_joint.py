"""A transformer layer in which a query's tokens attend to their own and to an item's keys and values, and what is seen
without attention: which tokens stand in both texts.

Shapes: B pairs, N items, Q queries put to each, W tokens of a query, V of an item, R query rows, D dimensions, H heads,
d dimensions of a head.
"""

import copy
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel

from recsys.model._layer import LAYERS, finish, heads


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


def matches(query_ids: torch.Tensor, item_NV: torch.Tensor) -> torch.Tensor:
    """match_NQW, float32: 1 for a query's token that stands in the item too; in place of [CLS], which comes first, the
    share of its tokens that do. `query_ids` is (1 or N) QW; ids below 0 are no tokens, and match none."""
    same_NQW = (query_ids[..., None] == item_NV[:, None, None, :]).any(-1) & (query_ids >= 0)
    match_NQW = same_NQW.float()
    match_NQW[..., 0] = match_NQW[..., 1:].sum(-1) / (query_ids >= 0).sum(-1).clamp(min=1)
    return match_NQW


class JointLayer(torch.nn.Module):
    """The parts of a BERT layer, to be put together differently."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer: Any = layer

    def queries(self, hidden_BRD: torch.Tensor) -> torch.Tensor:
        """BHRd, not yet divided by the square root of d."""
        return heads(self.layer, self.layer.attention.self.query(hidden_BRD))

    def keys_values(self, hidden_BWD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """BHWd, twice."""
        parts = self.layer.attention.self
        return heads(self.layer, parts.key(hidden_BWD)), heads(self.layer, parts.value(hidden_BWD))

    def finish(self, context_BHRd: torch.Tensor, hidden_BRD: torch.Tensor) -> torch.Tensor:
        """What follows attention: projection, residual, feed-forward; BRD."""
        return finish(self.layer, context_BHRd.transpose(1, 2).flatten(2), hidden_BRD)

    def forward(
        self,
        hidden_BRD: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        mask_B11W: torch.Tensor,
        marked_BRD: torch.Tensor,
    ) -> torch.Tensor:
        """The layer for given keys and values, BHWd; `mask` is true where there is a token, `marked` stands beside what
        attention gives."""
        context = scaled_dot_product_attention(self.queries(hidden_BRD), keys, values, attn_mask=mask_B11W)
        return self.finish(context, marked_BRD)
