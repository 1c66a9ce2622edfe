"""The scorer of a split encoder: per text once, per pair only the joint layers.

An item's keys and values serve all queries of a tile in one product. Texts of one length are kept together, so nothing
is padded. A query's attention to itself in the first joint layer does not depend on the item: it is computed once, and
joined with the attention to the item by their log-sum-exp, which is exact (Milakov & Gimelshein, 2018).

Shapes: U distinct texts, G texts of one group (all of one length), N pairs' items in a block, R query rows of a block,
W tokens, Q queries put to an item, D dimensions, H heads, d dimensions of a head, T outputs, J joint layers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from recsys.model._backbone import choose_budget, choose_dtype
from recsys.model._distinct import distinct, spread
from recsys.model._int8 import use_dtype
from recsys.model._joint import JointLayer, matches
from recsys.model._split_encoder import SplitNetwork, open_network
from recsys.model._texts import Tokens, batches, tokenize
from recsys.scorer import Scorer

if TYPE_CHECKING:
    from recsys.model.split_encoder import SplitEncoder

_ROWS_CPU, _ROWS_GPU = 1024, 65_536  # query rows of a block: its widest layer stays in a CPU's cache, or fills a GPU
_ITEMS = 8  # at least about so many items in a block: each brings keys and values of its own
_HIGHEST = 80.0  # exp of more overflows float32; attention logits of trained models are far below


def load(option: "SplitEncoder", folder: Path, device: str) -> Scorer:
    """See `Model.load`."""
    dtype = choose_dtype(option.dtype, device)
    budget = choose_budget(option, device)
    return SplitScorer(open_network(folder), device=device, dtype=dtype, budget=budget)


@dataclass(frozen=True)
class ItemGroup:
    """Items of one length, ready to be attended to."""

    code_G: np.ndarray  # which distinct texts
    word_GW: torch.Tensor  # token ids; see SplitNetwork.words
    keys: list[torch.Tensor]  # J of GHdW
    values: list[torch.Tensor]  # J of GHWd

    def __len__(self) -> int:
        return len(self.code_G)


@dataclass(frozen=True)
class QueryGroup:
    """Queries of one length, and what they do before they meet an item. R is 1 if there is one joint layer."""

    code_G: np.ndarray
    word_GW: torch.Tensor  # token ids; see SplitNetwork.words
    hidden_GRD: torch.Tensor  # enters the first joint layer
    query_GHRd: torch.Tensor  # divided by the square root of d
    log_sum_GHR1: torch.Tensor  # log of the summed exponentials of attention to the query's own tokens
    context_GHRd: torch.Tensor  # what that attention gives

    def __len__(self) -> int:
        return len(self.code_G)

    def cut(self, rows: int) -> Iterator["QueryGroup"]:
        """The group in pieces of about `rows` query rows at most."""
        size = max(1, rows // self.hidden_GRD.shape[1])
        parts = (self.word_GW, self.hidden_GRD, self.query_GHRd, self.log_sum_GHR1, self.context_GHRd)
        for start in range(0, len(self), size):
            some = slice(start, start + size)
            yield QueryGroup(self.code_G[some], *(p[some] for p in parts))

    def all(self) -> "Asking":
        """All queries of the group, to be put to each item of a block."""
        parts = (self.query_GHRd, self.log_sum_GHR1, self.context_GHRd)
        flat = [p.transpose(0, 1).flatten(1, 2)[None] for p in parts]
        return Asking(len(self), self.word_GW[None], self.hidden_GRD.flatten(0, 1)[None], *flat)

    def some(self, place_N: torch.Tensor) -> "Asking":
        """One query for each item of a block."""
        parts = (self.hidden_GRD, self.query_GHRd, self.log_sum_GHR1, self.context_GHRd)
        return Asking(1, self.word_GW[place_N, None], *(p[place_N] for p in parts))


@dataclass(frozen=True)
class Asking:
    """Query rows as they are put to N items: the same to all (first axis 1), or to each its own (N)."""

    num_queries: int  # per item, Q
    word: torch.Tensor  # (1 or N) QW, token ids
    hidden: torch.Tensor  # (1 or N) RD
    query: torch.Tensor  # (1 or N) HRd
    log_sum: torch.Tensor  # (1 or N) HR1
    context: torch.Tensor  # (1 or N) HRd


@dataclass(frozen=True)
class Encodings:
    """Two-tower vectors of the distinct texts, groups by length, and which text each row has."""

    vector_UD: torch.Tensor
    groups: list[Any]  # of ItemGroup or QueryGroup, shortest first
    code_N: np.ndarray

    def __len__(self) -> int:
        return len(self.code_N)

    def place(self) -> np.ndarray:
        """place_U2: group, and place in it, of each distinct text."""
        place_U2 = np.zeros((len(self.vector_UD), 2), np.int64)
        for number, group in enumerate(self.groups):
            place_U2[group.code_G, 0], place_U2[group.code_G, 1] = number, np.arange(len(group))
        return place_U2


class SplitScorer(Scorer):
    """Encodes each distinct text once; a tile costs the joint layers alone."""

    def __init__(self, network: SplitNetwork, *, device: str, dtype: torch.dtype, budget: int) -> None:
        self.outputs = network.outputs
        self._network = network.eval().to(device)
        self._towers = network.towers
        use_dtype(self._towers.model, dtype)
        if dtype != torch.int8:  # joint layers stay float32 then
            torch.nn.Module.to(network.correction, dtype=dtype)
        self._layers: list[JointLayer] = list(network.correction.layers)  # type: ignore[arg-type]
        self._dtype, self._device, self._budget = dtype, device, budget
        self._rows = _ROWS_GPU if device.startswith("cuda") else _ROWS_CPU

    @torch.inference_mode()
    def encode_queries(self, table: pa.Table) -> Encodings:
        return self._encode(table, self._towers.max_query_tokens, self._query_group)

    @torch.inference_mode()
    def encode_items(self, table: pa.Table) -> Encodings:
        return self._encode(table, self._towers.max_item_tokens, self._item_group)

    @torch.inference_mode()
    def score(self, queries: Encodings, items: Encodings) -> np.ndarray:
        turned_TUD = self._towers.heads.turned(queries.vector_UD)
        score_TUU = turned_TUD @ items.vector_UD.T + self._towers.heads.bias()[:, None, None]
        for group in (piece for whole in queries.groups for piece in whole.cut(self._rows // _ITEMS)):
            row_G1 = torch.from_numpy(group.code_G[:, None]).to(self._device)
            asking = group.all()
            for item_group, span in _blocks(items.groups, max(1, self._rows // asking.hidden.shape[1])):
                first_NGD = self._join(asking, item_group, span)
                added_TGN = self._network.correction.judge(first_NGD).permute(2, 1, 0)
                item_N = torch.from_numpy(item_group.code_G[span]).to(self._device)
                score_TUU[:, row_G1, item_N] += added_TGN
        return spread(score_TUU.cpu().numpy(), queries.code_N, items.code_N)

    @torch.inference_mode()
    def score_pairs(self, queries: Encodings, items: Encodings, pair_P2: np.ndarray) -> np.ndarray:
        code_P = queries.code_N[pair_P2[:, 0]] * len(items.vector_UD) + items.code_N[pair_P2[:, 1]]
        unique_P, inverse_P = np.unique(code_P, return_inverse=True)
        query_P, item_P = np.divmod(unique_P, max(1, len(items.vector_UD)))
        unique_P2 = np.stack([query_P, item_P], axis=1)
        score_TP = self._towers.compare_pairs(queries.vector_UD, items.vector_UD, unique_P2)
        query_P2, item_P2 = queries.place()[query_P], items.place()[item_P]
        kind_P = query_P2[:, 0] * len(items.groups) + item_P2[:, 0]
        for kind in np.unique(kind_P):
            group, item_group = queries.groups[kind // len(items.groups)], items.groups[kind % len(items.groups)]
            mine = np.flatnonzero(kind_P == kind)
            size = max(1, self._rows // group.hidden_GRD.shape[1])
            for at_N in (mine[i : i + size] for i in range(0, len(mine), size)):
                asking = group.some(torch.from_numpy(query_P2[at_N, 1]).to(self._device))
                first_N1D = self._join(asking, item_group, torch.from_numpy(item_P2[at_N, 1]).to(self._device))
                score_TP[:, torch.from_numpy(at_N).to(self._device)] += self._network.correction.judge(first_N1D)[
                    :, 0
                ].T
        return score_TP.cpu().numpy()[:, inverse_P]

    def _join(self, asking: Asking, items: ItemGroup, chosen: slice | torch.Tensor) -> torch.Tensor:
        """The [CLS] rows after the joint layers, for `chosen` items of the group: N, queries per item, D."""
        first, *others = self._layers
        weight_NHRW = (asking.query @ items.keys[0][chosen]).sub_(asking.log_sum).clamp_(max=_HIGHEST).exp_()
        context_NHRd = (weight_NHRW @ items.values[0][chosen]).add_(asking.context)
        context_NHRd.div_(weight_NHRW.sum(-1, keepdim=True).add_(1))
        match_NQW = matches(asking.word, items.word_GW[chosen])
        match_NR = match_NQW[..., : asking.hidden.shape[1] // asking.num_queries].flatten(1)
        hidden_NRD = first.finish(context_NHRd, self._network.correction.marked(asking.hidden, match_NR))
        shape = (hidden_NRD.shape[0], asking.num_queries, -1, hidden_NRD.shape[-1])
        for j, layer in enumerate(others, start=1):
            last = j == len(others)
            keys, values = items.keys[j][chosen], items.values[j][chosen]
            hidden_NRD = self._layer(layer, hidden_NRD.view(shape), keys, values, last=last)
        return hidden_NRD.view(shape)[:, :, 0]

    @staticmethod
    def _layer(
        layer: JointLayer, hidden_NQRD: torch.Tensor, key_NHdW: torch.Tensor, value_NHWd: torch.Tensor, *, last: bool
    ) -> torch.Tensor:
        """One further joint layer, where the query's rows depend on the item; its first row alone if it is the last."""
        num_items, num_queries = hidden_NQRD.shape[:2]
        hidden_BRD = hidden_NQRD.flatten(0, 1)  # B is every pair
        own_key_BHRd, own_value_BHRd = layer.keys_values(hidden_BRD)
        rows_BRD = hidden_BRD[:, :1] if last else hidden_BRD
        query_BHRd = layer.queries(rows_BRD) * own_key_BHRd.shape[-1] ** -0.5
        num_heads, num_rows, size = query_BHRd.shape[1:]

        def by_item(x_BHRd: torch.Tensor) -> torch.Tensor:
            return x_BHRd.unflatten(0, (num_items, num_queries)).transpose(1, 2).flatten(2, 3)

        def by_pair(x_NHRd: torch.Tensor) -> torch.Tensor:
            return x_NHRd.unflatten(2, (num_queries, num_rows)).transpose(1, 2).flatten(0, 1)

        own_BHRR = query_BHRd @ own_key_BHRd.transpose(2, 3)
        other_BHRW = by_pair(by_item(query_BHRd) @ key_NHdW)
        weight = torch.cat([own_BHRR, other_BHRW], dim=-1).softmax(-1)
        own_weight, other_weight = weight.split((own_BHRR.shape[-1], other_BHRW.shape[-1]), dim=-1)
        context_BHRd = own_weight @ own_value_BHRd + by_pair(by_item(other_weight) @ value_NHWd)
        assert context_BHRd.shape == (num_items * num_queries, num_heads, num_rows, size)
        return layer.finish(context_BHRd, rows_BRD).unflatten(0, (num_items, num_queries)).flatten(1, 2)

    def _query_group(self, code_G: np.ndarray, word_GW: torch.Tensor, state_J: list[torch.Tensor]) -> QueryGroup:
        layer, hidden_GWD = self._layers[0], state_J[0]
        key_GHWd, value_GHWd = layer.keys_values(hidden_GWD)
        rows_GRD = hidden_GWD[:, :1] if len(self._layers) == 1 else hidden_GWD
        query_GHRd = layer.queries(rows_GRD) * key_GHWd.shape[-1] ** -0.5
        logit_GHRW = query_GHRd @ key_GHWd.transpose(2, 3)
        return QueryGroup(
            code_G=code_G,
            word_GW=word_GW,
            hidden_GRD=rows_GRD.contiguous(),
            query_GHRd=query_GHRd.contiguous(),
            log_sum_GHR1=logit_GHRW.logsumexp(-1, keepdim=True),
            context_GHRd=logit_GHRW.softmax(-1) @ value_GHWd,
        )

    def _item_group(self, code_G: np.ndarray, word_GW: torch.Tensor, state_J: list[torch.Tensor]) -> ItemGroup:
        keys, values = [], []
        for layer, state_GWD, mark_D in zip(self._layers, state_J, self._network.correction.mark_JD, strict=True):
            key_GHWd, value_GHWd = layer.keys_values(state_GWD + mark_D)
            keys.append(key_GHWd.transpose(2, 3).contiguous())
            values.append(value_GHWd.contiguous())
        return ItemGroup(code_G, word_GW, keys, values)

    def _encode(
        self, table: pa.Table, limit: int, make: Callable[[np.ndarray, torch.Tensor, list[torch.Tensor]], Any]
    ) -> Encodings:
        texts, code_N = distinct(table["text"])
        tokens: Tokens = tokenize(self._towers.tokenizer, texts, limit).to(self._device)
        vector_UD = torch.empty(len(texts), self._towers.model.config.hidden_size, device=self._device)
        groups = []
        for length in np.unique(tokens.length_U):
            code_G = np.flatnonzero(tokens.length_U == length)
            pieces, words = [], []
            for row_B in batches(tokens.length_U[code_G], self._budget):
                device_B = torch.from_numpy(code_G[row_B]).to(self._device)
                batch = self._towers.template.assemble([(tokens, device_B, code_G[row_B])])
                vector_UD[device_B], state_J = self._network.states(batch.ids_BW, None)
                pieces.append(state_J)
                words.append(self._network.words(batch.ids_BW))
            state_J = [torch.cat(state) for state in zip(*pieces, strict=True)]
            groups.append(make(code_G, torch.cat(words), state_J))
        return Encodings(vector_UD, groups, code_N)


def _blocks(groups: list[ItemGroup], size: int) -> Iterator[tuple[ItemGroup, slice]]:
    """Runs of at most `size` items of one group."""
    for group in groups:
        for start in range(0, len(group), size):
            yield group, slice(start, min(start + size, len(group)))
