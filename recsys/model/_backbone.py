"""Where a transformer comes from: a Hugging Face folder, the hub, or nothing (a small BERT of the given sizes)."""

from pathlib import Path

import pyarrow as pa
import torch
from transformers import AutoConfig, AutoTokenizer, BertConfig, PretrainedConfig, PreTrainedTokenizerBase

from recsys.model._texts import special_id
from recsys.model._tokenizer import train_tokenizer
from recsys.model._transformer import Transformer, check_pretrained

_BFLOAT16_FLAGS = frozenset(("avx512_bf16", "amx_bf16", "bf16"))


def scratch_tokenizer(option: Transformer, texts: set[str]) -> PreTrainedTokenizerBase:
    """A tokenizer of the option's vocabulary size, trained on the texts."""
    return train_tokenizer(texts, vocabulary_size=option.vocabulary_size)


def scratch_config(
    option: Transformer, tokenizer: PreTrainedTokenizerBase, *, num_positions: int, num_types: int, spread: float
) -> BertConfig:
    """A BERT of the option's sizes; `spread` is the standard deviation of its initial weights."""
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=option.hidden_size,
        num_hidden_layers=option.num_layers,
        num_attention_heads=option.num_heads,
        intermediate_size=4 * option.hidden_size,
        max_position_embeddings=num_positions,
        type_vocab_size=num_types,
        hidden_dropout_prob=option.dropout,
        attention_probs_dropout_prob=option.dropout,
        initializer_range=spread,
        pad_token_id=special_id(tokenizer.pad_token_id),
    )


def all_texts(queries: pa.Table, items: pa.Table) -> set[str]:
    return {text or "" for table in (queries, items) for text in table["text"].to_pylist()}


def open_pretrained(pretrained: str) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
    """Configuration and tokenizer. Raises ValueError, naming the id and the remedy, where they cannot be had."""
    check_pretrained(pretrained)
    name = str(Path(pretrained).expanduser()) if Path(pretrained).expanduser().is_dir() else pretrained
    try:
        return AutoConfig.from_pretrained(name), AutoTokenizer.from_pretrained(name, use_fast=True)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"model.pretrained={pretrained!r} cannot be opened ({reason}); download it where the hub "
            "can be reached and set model.pretrained=<folder>"
        ) from error


def check_length(config: PretrainedConfig, *, num_tokens: int, remedy: str) -> None:
    """Raises ValueError if inputs of `num_tokens` are longer than the transformer has positions for."""
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None:
        return
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):  # positions start after the padding id
        limit -= (config.pad_token_id or 0) + 1
    if num_tokens > limit:
        raise ValueError(f"inputs of up to {num_tokens} tokens exceed the transformer's {limit} positions; {remedy}")


def choose_dtype(dtype: str, device: str) -> torch.dtype:
    """'auto' is bfloat16 where the processor has instructions for it, else float32."""
    if dtype != "auto":
        return getattr(torch, dtype)
    if device.startswith("cuda"):
        fast = torch.cuda.get_device_capability(device)[0] >= 8
    else:
        cpuinfo = Path("/proc/cpuinfo")
        flags = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.is_file() else set()
        fast = not flags.isdisjoint(_BFLOAT16_FLAGS)
    return torch.bfloat16 if fast else torch.float32


def choose_budget(option: Transformer, device: str) -> int:
    """Tokens of an inference batch: few enough to stay in a CPU's cache, many enough to fill a GPU, or to be worth a
    call where a transformer from scratch is narrow."""
    if option.batch_tokens is not None:
        return option.batch_tokens
    if device.startswith("cuda"):
        return 131_072
    return 1_024 if option.pretrained is not None else max(1_024, 524_288 // option.hidden_size)
