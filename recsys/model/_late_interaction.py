"""The network and scorer of late interaction: a two-tower that keeps one vector per token.

Shapes: U distinct texts, G items of one length, B pairs, W tokens, X query tokens of a block, D dimensions, T outputs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch.nn.functional import normalize

from recsys.model import _two_tower
from recsys.model._backbone import choose_budget, choose_dtype
from recsys.model._distinct import distinct, spread
from recsys.model._folder import read_settings, write_settings
from recsys.model._int8 import use_dtype
from recsys.model._network import Network
from recsys.model._texts import batches, tokenize
from recsys.model._transformer import Transformer
from recsys.model._two_tower import TwoTowerNetwork
from recsys.scorer import Scorer

_LOGITS_CPU, _LOGITS_GPU = 1 << 20, 1 << 27  # token similarities of a block


def build(
    option: Transformer, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int
) -> "LateNetwork":
    """See `Supervised.build`."""
    return LateNetwork(_two_tower.build(option, queries, items, outputs, seed))


def load(option: Transformer, folder: Path, device: str) -> Scorer:
    """See `Model.load`."""
    towers = _two_tower.open_network(folder, read_settings(folder, model="late_interaction"))
    dtype = choose_dtype(option.dtype, device)
    budget = choose_budget(option, device)
    return LateScorer(LateNetwork(towers), device=device, dtype=dtype, budget=budget)


class LateNetwork(Network):
    """The towers of a two-tower, read token by token. Their turn of the query is not used."""

    def __init__(self, towers: TwoTowerNetwork) -> None:
        super().__init__()
        self.towers = towers
        self.outputs = towers.outputs
        towers.heads.turn_TDD.requires_grad_(False)

    def collate(self, query_texts: list[str], item_texts: list[str]) -> dict[str, torch.Tensor]:
        return self.towers.collate(query_texts, item_texts)

    def vectors(self, ids_BW: torch.Tensor, mask_BW: torch.Tensor | None) -> torch.Tensor:
        """One vector of length 1 per token; BWD, float32."""
        hidden_BWD = self.towers.model(input_ids=ids_BW, attention_mask=mask_BW).last_hidden_state
        return normalize(hidden_BWD.float(), dim=-1)

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        query_mask, item_mask = batch["query_mask"].bool(), batch["item_mask"].bool()
        query_BWD = self.vectors(batch["query_ids"], batch["query_mask"])
        item_BWD = self.vectors(batch["item_ids"], batch["item_mask"])
        cosine_BWW = (query_BWD @ item_BWD.transpose(1, 2)).masked_fill(~item_mask[:, None, :], -2.0)
        best_BW = cosine_BWW.amax(2).masked_fill(~query_mask, 0.0)
        return self.scaled(best_BW.sum(1) / query_mask.sum(1)).T

    def scaled(self, match: torch.Tensor) -> torch.Tensor:
        """The T scores of each mean cosine, along a new first axis."""
        shape = (-1, *(1 for _ in match.shape))
        heads = self.towers.heads
        return heads.scale().view(shape) * match + heads.bias().view(shape)

    def save(self, folder: Path) -> None:
        self.towers.save(folder)
        limits = {"max_query_tokens": self.towers.max_query_tokens, "max_item_tokens": self.towers.max_item_tokens}
        write_settings(folder, model="late_interaction", outputs=self.outputs, settings=limits)


@dataclass(frozen=True)
class TokenVectors:
    """Vectors of the tokens of distinct texts, shortest text first, and which text each row has."""

    code_U: np.ndarray  # the texts in the order in which they are kept
    length_U: np.ndarray  # their tokens, special ones included; ascending
    vector_XD: torch.Tensor  # back to back
    code_N: np.ndarray

    def __len__(self) -> int:
        return len(self.code_N)

    def groups(self) -> list[tuple[slice, int, torch.Tensor]]:
        """(texts, their length, vectors GWD) of each length."""
        found, start, token = [], 0, 0
        for length, num in zip(*np.unique(self.length_U, return_counts=True), strict=True):
            stop = token + int(length * num)
            vector_GWD = self.vector_XD[token:stop].view(int(num), int(length), -1)
            found.append((slice(start, start + int(num)), int(length), vector_GWD))
            start, token = start + int(num), stop
        return found


class LateScorer(Scorer):
    """Embeds each distinct text once; a block of a tile is one matrix product over all tokens, in float32."""

    def __init__(self, network: LateNetwork, *, device: str, dtype: torch.dtype, budget: int) -> None:
        self.outputs = network.outputs
        self._network = network.eval().to(device)
        use_dtype(network.towers.model, dtype)
        self._device, self._budget = device, budget
        self._logits = _LOGITS_GPU if device.startswith("cuda") else _LOGITS_CPU

    def encode_queries(self, table: pa.Table) -> TokenVectors:
        return self._encode(table, self._network.towers.max_query_tokens)

    def encode_items(self, table: pa.Table) -> TokenVectors:
        return self._encode(table, self._network.towers.max_item_tokens)

    @torch.inference_mode()
    def score(self, queries: TokenVectors, items: TokenVectors) -> np.ndarray:
        match_UU = torch.empty(len(queries.code_U), len(items.code_U), device=self._device)
        for rows, length, query_GWD in queries.groups():
            query_XD = query_GWD.flatten(0, 1)
            for columns, width, item_GWD in items.groups():
                size = max(1, self._logits // (len(query_XD) * width))
                for start in range(0, len(item_GWD), size):
                    block = item_GWD[start : start + size]
                    best_XG = (query_XD @ block.flatten(0, 1).T).unflatten(1, (len(block), width)).amax(2)
                    at = slice(columns.start + start, columns.start + start + len(block))
                    match_UU[rows, at] = best_XG.unflatten(0, (-1, length)).mean(1)
        order_UU = torch.empty_like(match_UU)
        query_U1, item_U = (torch.from_numpy(e.code_U).to(self._device) for e in (queries, items))
        order_UU[query_U1[:, None], item_U] = match_UU
        return spread(self._network.scaled(order_UU).cpu().numpy(), queries.code_N, items.code_N)

    @torch.inference_mode()
    def score_pairs(self, queries: TokenVectors, items: TokenVectors, pair_P2: np.ndarray) -> np.ndarray:
        match_P = torch.empty(len(pair_P2), device=self._device)
        spans = [self._spans(e) for e in (queries, items)]
        codes = queries.code_N[pair_P2[:, 0]], items.code_N[pair_P2[:, 1]]
        for row, (query, item) in enumerate(zip(*(c.tolist() for c in codes), strict=True)):
            query_WD, item_WD = queries.vector_XD[spans[0][query]], items.vector_XD[spans[1][item]]
            match_P[row] = (query_WD @ item_WD.T).amax(1).mean()
        return self._network.scaled(match_P).cpu().numpy()

    @staticmethod
    def _spans(texts: TokenVectors) -> dict[int, slice]:
        stop_U = np.cumsum(texts.length_U)
        starts, stops = (stop_U - texts.length_U).tolist(), stop_U.tolist()
        return {c: slice(a, b) for c, a, b in zip(texts.code_U.tolist(), starts, stops, strict=True)}

    @torch.inference_mode()
    def _encode(self, table: pa.Table, limit: int) -> TokenVectors:
        texts, code_N = distinct(table["text"])
        towers = self._network.towers
        tokens = tokenize(towers.tokenizer, texts, limit).to(self._device)
        order_U, pieces = [], []
        for length in np.unique(tokens.length_U):
            code_G = np.flatnonzero(tokens.length_U == length)
            for row_B in batches(tokens.length_U[code_G], self._budget):
                device_B = torch.from_numpy(code_G[row_B]).to(self._device)
                batch = towers.template.assemble([(tokens, device_B, code_G[row_B])])
                pieces.append(self._network.vectors(batch.ids_BW, None).flatten(0, 1))
                order_U.append(code_G[row_B])
        code_U = np.concatenate(order_U)
        return TokenVectors(code_U, tokens.length_U[code_U] + towers.template.num_special, torch.cat(pieces), code_N)
