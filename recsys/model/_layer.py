"""The parts of a BERT-like layer of Hugging Face, for those who put them together differently.

Shapes: D dimensions, H heads, d dimensions of a head, W rows.
"""

from typing import Any

import torch
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.roberta.modeling_roberta import RobertaLayer
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaLayer

LAYERS = (BertLayer, RobertaLayer, XLMRobertaLayer)


def heads(layer: Any, rows_BWD: torch.Tensor) -> torch.Tensor:
    """BHWd."""
    return rows_BWD.unflatten(-1, (-1, layer.attention.self.attention_head_size)).transpose(1, 2)


def finish(layer: Any, context: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """What follows attention: projection, residual, feed-forward; both `...D`."""
    return layer.feed_forward_chunk(layer.attention.output(context, hidden))
