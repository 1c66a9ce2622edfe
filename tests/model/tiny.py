"""Small texts and small models for the tests of models."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    DebertaV2Config,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

WORDS = ["red", "blue", "green", "shoe", "boot", "lamp", "desk", "chair", "case", "usb", "pan", "with", "for", "gb"]
SIZES = {
    "max_query_tokens": 12,
    "max_item_tokens": 20,
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "vocabulary_size": 300,
    "dropout": 0.0,
    "dtype": "float32",
    "batch_tokens": 200,
}


def texts(num: int, *, longest: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, longest + 1))) for _ in range(num)]


def queries(num: int = 7) -> pa.Table:
    text = texts(num - 2, longest=5, seed=1)
    return pa.table({"query_id": [f"q{i}" for i in range(num)], "text": [*text, "スピーカー café", text[0]]})


def items(num: int = 23) -> pa.Table:
    text = texts(num - 3, longest=18, seed=2)
    return pa.table({"item_id": [f"i{i}" for i in range(num)], "text": [*text, "", "スピーカー 赤い", text[0]]})


def every_pair(num_queries: int, num_items: int) -> np.ndarray:
    return np.stack([np.repeat(np.arange(num_queries), num_items), np.tile(np.arange(num_items), num_queries)], axis=1)


def save_pretrained(folder: Path, kind: str = "roberta") -> None:
    """A RoBERTa-like model: <s> query </s></s> item </s>, no token types, positions counted from the padding id; or
    one of another architecture that reads the same."""
    names = ["<s>", "<pad>", "</s>", "<unk>", "a", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({n: i for i, n in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))  # type: ignore[assignment]
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )
    wrapped.save_pretrained(folder)
    kinds = {"roberta": RobertaConfig, "albert": AlbertConfig, "deberta": DebertaV2Config}
    config = kinds[kind](
        vocab_size=len(names),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
        type_vocab_size=1,
        pad_token_id=1,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
