"""Texts as token arrays: each distinct text is tokenised once, and inputs are assembled from the arrays.

Shapes: N rows, U distinct texts, B inputs of a batch, W tokens of the longest of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Tokens:
    """Token ids of U texts back to back, without special tokens, on a device; lengths stay on the host."""

    ids: torch.Tensor  # int64, one further element at the end, so that an index is always possible
    start_U: torch.Tensor  # int64
    length_U: np.ndarray  # int64

    def __len__(self) -> int:
        return len(self.length_U)

    def to(self, device: str) -> "Tokens":
        return Tokens(self.ids.to(device), self.start_U.to(device), self.length_U)


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: list[str], max_tokens: int) -> Tokens:
    """At most the first `max_tokens` tokens of each text."""
    ids_U = tokenizer(
        texts,
        add_special_tokens=False,
        truncation=True,
        max_length=max_tokens,
        return_attention_mask=False,
        return_token_type_ids=False,
    )["input_ids"]
    length_U = np.fromiter((len(i) for i in ids_U), np.int64, len(texts))
    flat = np.concatenate([*(np.asarray(i, np.int64) for i in ids_U), np.zeros(1, np.int64)])
    start_U = np.cumsum(length_U) - length_U
    return Tokens(torch.from_numpy(flat), torch.from_numpy(start_U), length_U)


def batches(length_P: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Indices of P inputs, shortest first, cut so that each batch, padded, has at most `budget` tokens."""
    order_P = np.argsort(length_P, kind="stable")
    sorted_P = np.maximum(length_P[order_P], 1)
    start = 0
    while start < len(order_P):
        window = sorted_P[start : start + max(1, budget // sorted_P[start])]
        num = max(1, int(np.count_nonzero(np.arange(1, len(window) + 1) * window <= budget)))
        yield order_P[start : start + num]
        start += num


@dataclass(frozen=True)
class Template:
    """Where a tokenizer puts special tokens around one text or a pair: special, text, special[, text, special]."""

    specials: tuple[tuple[int, ...], ...]  # one more than there are texts
    types: tuple[int, ...]  # token type of each of these pieces: special, text, special, ...
    pad_id: int
    unknown_id: int  # -1 if there is none
    typed: bool  # whether the tokenizer hands out token types at all

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, *, num_texts: int) -> "Template":
        """Read off the tokenizer's own encoding of `num_texts` (1 or 2) short texts."""
        example = tokenizer(["a"], ["a"] if num_texts == 2 else None, return_token_type_ids=True)
        assert example.encodings is not None
        encoding = example.encodings[0]
        sequence_W, ids_W, types_W = encoding.sequence_ids, encoding.ids, encoding.type_ids
        specials: list[list[int]] = [[]]
        types = [0] * (2 * num_texts + 1)
        for sequence, token, kind in zip(sequence_W, ids_W, types_W, strict=True):
            if sequence is None:
                specials[-1].append(token)
                types[2 * len(specials) - 2] = kind
            else:
                if len(specials) == sequence + 1:
                    specials.append([])
                types[2 * sequence + 1] = kind
        return cls(
            specials=tuple(tuple(s) for s in specials),
            types=tuple(types),
            pad_id=max(0, special_id(tokenizer.pad_token_id)),
            unknown_id=special_id(tokenizer.unk_token_id),
            typed="token_type_ids" in tokenizer.model_input_names,
        )

    @property
    def num_special(self) -> int:
        return sum(len(s) for s in self.specials)

    def assemble(self, parts: list[tuple[Tokens, torch.Tensor, np.ndarray]]) -> "Batch":
        """The batch of B inputs; each part gives the texts and which of them (device and host) stand at its place."""
        device = parts[0][0].ids.device
        length_B = np.full(len(parts[0][2]), self.num_special)
        for tokens, _, host_B in parts:
            length_B += tokens.length_U[host_B]
        width = int(length_B.max())
        place_W = torch.arange(width, device=device)
        cursor_B1 = torch.zeros(len(length_B), 1, dtype=torch.int64, device=device)
        ids_BW = torch.full((len(length_B), width), self.pad_id, dtype=torch.int64, device=device)
        types_BW = torch.zeros_like(ids_BW)
        inside = []
        for piece, kind in enumerate(self.types):
            if piece % 2 == 0:
                for token in self.specials[piece // 2]:
                    here_BW = place_W == cursor_B1
                    ids_BW.masked_fill_(here_BW, token)
                    types_BW.masked_fill_(here_BW, kind)
                    cursor_B1 = cursor_B1 + 1
                continue
            tokens, row_B, host_B = parts[piece // 2]
            if uniform(tokens.length_U[host_B]):
                end_B1 = cursor_B1 + int(tokens.length_U[host_B[0]])
            else:
                end_B1 = cursor_B1 + torch.from_numpy(tokens.length_U[host_B]).to(device)[:, None]
            here_BW = (place_W >= cursor_B1) & (place_W < end_B1)
            source_BW = (tokens.start_U[row_B][:, None] + place_W - cursor_B1).clamp_(0, len(tokens.ids) - 1)
            ids_BW = torch.where(here_BW, tokens.ids[source_BW], ids_BW)
            types_BW.masked_fill_(here_BW, kind)
            inside.append(here_BW)
            cursor_B1 = end_B1
        mask_BW = None if uniform(length_B) else (place_W < cursor_B1).to(torch.int64)
        return Batch(ids_BW, types_BW, mask_BW, [i & (ids_BW != self.unknown_id) for i in inside])


@dataclass
class Batch:
    """Assembled inputs. `mask_BW` is None where nothing is padded; `known` marks each text's own tokens that
    are not the unknown token."""

    ids_BW: torch.Tensor
    types_BW: torch.Tensor
    mask_BW: torch.Tensor | None
    known: list[torch.Tensor]

    def matched_BW(self) -> torch.Tensor:
        """bool: the tokens of either text that also occur in the other one of the pair."""
        first_BW = torch.where(self.known[0], self.ids_BW, -1)
        second_BW = torch.where(self.known[1], self.ids_BW, -2)
        same_BWW = first_BW[:, :, None] == second_BW[:, None, :]
        return same_BWW.any(2) | same_BWW.any(1)


def special_id(token: object) -> int:
    """The id of a special token; -1 if the tokenizer has none."""
    return token if isinstance(token, int) else -1


def uniform(length_B: np.ndarray) -> bool:
    return bool((length_B == length_B[0]).all())
