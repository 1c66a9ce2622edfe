"""The network and scorer of a two-tower: texts read apart, compared by a dot product (Reimers & Gurevych, 2019).

Shapes: Q queries, I items, P pairs, B texts of a batch, W tokens, D dimensions, T outputs, U distinct texts.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from recsys.model._backbone import (
    all_texts,
    check_length,
    choose_budget,
    choose_dtype,
    open_pretrained,
    scratch_config,
    scratch_tokenizer,
)
from recsys.model._distinct import Coded, distinct, spread
from recsys.model._folder import read_settings, write_settings
from recsys.model._int8 import use_dtype
from recsys.model._network import Network
from recsys.model._texts import Template, Tokens, batches, tokenize
from recsys.model._transformer import Transformer
from recsys.model._word_vectors import start_from_word_vectors
from recsys.scorer import Scorer

HEADS = "heads.safetensors"
_SCALE, _BIAS = 10.0, -5.0  # an untrained head calls a cosine of 0.5 a coin toss
_SPREAD = 0.02  # of initial weights: so little that a transformer from scratch begins as its mean token vector
_PAIRS = 8192  # compared at a time where pairs are listed: their vectors are gathered
_HEAD_STEP = 100.0  # heads are stored divided by this: at a transformer's learning rate they would hardly move


def build(
    option: Transformer, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int
) -> "TwoTowerNetwork":
    """See `Supervised.build`."""
    if option.pretrained is None:
        texts = all_texts(queries, items)
        tokenizer = scratch_tokenizer(option, texts)
        num_positions = _num_tokens(option, tokenizer)
        config = scratch_config(option, tokenizer, num_positions=num_positions, num_types=1, spread=_SPREAD)
    else:
        config, tokenizer = open_pretrained(option.pretrained)
        remedy = "lower model.max_query_tokens and model.max_item_tokens"
        check_length(config, num_tokens=_num_tokens(option, tokenizer), remedy=remedy)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if option.pretrained is None:
            model = AutoModel.from_config(config)
            start_from_word_vectors(model.get_input_embeddings(), tokenizer, texts)
        else:
            folder = Path(option.pretrained).expanduser()
            model = AutoModel.from_pretrained(str(folder) if folder.is_dir() else option.pretrained)
    if getattr(model, "pooler", None) is not None:
        model.pooler.requires_grad_(False)  # its output is not used; distributed training waits for its gradient
    return TwoTowerNetwork(
        model, tokenizer, outputs, max_query_tokens=option.max_query_tokens, max_item_tokens=option.max_item_tokens
    )


def load(option: Transformer, folder: Path, device: str) -> Scorer:
    """See `Model.load`."""
    network = open_network(folder, read_settings(folder, model="two_tower"))
    dtype = choose_dtype(option.dtype, device)
    return TwoTowerScorer(network, device=device, dtype=dtype, budget=choose_budget(option, device))


def open_network(folder: Path, settings: dict[str, Any]) -> "TwoTowerNetwork":
    """The network that `TwoTowerNetwork.save` wrote, with the settings beside it."""
    try:
        model = AutoModel.from_pretrained(str(folder))
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        network = TwoTowerNetwork(
            model,
            tokenizer,
            tuple(settings["outputs"]),
            max_query_tokens=settings["max_query_tokens"],
            max_item_tokens=settings["max_item_tokens"],
        )
        network.load_heads(folder)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} is not a complete {settings['model']}: {str(error).splitlines()[0]}") from error
    return network


def _num_tokens(option: Transformer, tokenizer: PreTrainedTokenizerBase) -> int:
    return max(option.max_query_tokens, option.max_item_tokens) + Template.of(tokenizer, num_texts=1).num_special


class Heads(torch.nn.Module):
    """Per output: a turn of the query vector, a scale and a bias."""

    def __init__(self, num_outputs: int, size: int) -> None:
        super().__init__()
        self.turn_TDD = torch.nn.Parameter(torch.zeros(num_outputs, size, size))  # departure from the identity
        self.log_scale_T = torch.nn.Parameter(torch.zeros(num_outputs))
        self.bias_T = torch.nn.Parameter(torch.zeros(num_outputs))

    def turned(self, query_BD: torch.Tensor) -> torch.Tensor:
        """query_TBD, multiplied by the scale."""
        turned_TBD = query_BD + torch.einsum("tde,be->tbd", self.turn_TDD, query_BD)
        return turned_TBD * self.scale()[:, None, None]

    def scale(self) -> torch.Tensor:
        return _SCALE * torch.exp(self.log_scale_T * _HEAD_STEP)

    def bias(self) -> torch.Tensor:
        return _BIAS + self.bias_T * _HEAD_STEP


class TwoTowerNetwork(Network):
    """A Hugging Face encoder with its tokenizer and one head per output."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        outputs: tuple[str, ...],
        *,
        max_query_tokens: int,
        max_item_tokens: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.outputs = outputs
        self.max_query_tokens = max_query_tokens
        self.max_item_tokens = max_item_tokens
        self.template = Template.of(tokenizer, num_texts=1)
        self.heads = Heads(len(outputs), model.config.hidden_size)

    def collate(self, query_texts: list[str], item_texts: list[str]) -> dict[str, torch.Tensor]:
        batch = {}
        for side, texts, limit in (
            ("query", query_texts, self.max_query_tokens),
            ("item", item_texts, self.max_item_tokens),
        ):
            row_B = np.arange(len(texts))
            tokens = tokenize(self.tokenizer, texts, limit)
            assembled = self.template.assemble([(tokens, torch.from_numpy(row_B), row_B)])
            batch[f"{side}_ids"] = assembled.ids_BW
            batch[f"{side}_mask"] = (
                torch.ones_like(assembled.ids_BW) if assembled.mask_BW is None else assembled.mask_BW
            )
        return batch

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        query_BD = self.embed(batch["query_ids"], batch["query_mask"])
        item_BD = self.embed(batch["item_ids"], batch["item_mask"])
        return self.compare(query_BD, item_BD)

    def compare(self, query_BD: torch.Tensor, item_BD: torch.Tensor) -> torch.Tensor:
        """logit_BT of texts that stand side by side."""
        return (self.heads.turned(query_BD) * item_BD).sum(-1).T + self.heads.bias()

    def compare_pairs(self, query_UD: torch.Tensor, item_UD: torch.Tensor, code_P2: np.ndarray) -> torch.Tensor:
        """logit_TP of pairs of texts, on the device that the vectors are on; a slice of the pairs at a time."""
        turned_TUD, bias_T1 = self.heads.turned(query_UD), self.heads.bias()[:, None]
        logit_TP = torch.empty(len(turned_TUD), len(code_P2), device=item_UD.device)
        for start in range(0, len(code_P2), _PAIRS):
            span = slice(start, start + _PAIRS)
            query_B, item_B = torch.from_numpy(code_P2[span].T.copy()).to(item_UD.device)
            logit_TP[:, span] = (turned_TUD[:, query_B] * item_UD[item_B]).sum(-1) + bias_T1
        return logit_TP

    def embed(self, ids_BW: torch.Tensor, mask_BW: torch.Tensor | None) -> torch.Tensor:
        """The vectors of a batch of texts; BD, float32."""
        return pooled(self.model(input_ids=ids_BW, attention_mask=mask_BW).last_hidden_state, mask_BW)

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        self.save_heads(folder)
        settings = {"max_query_tokens": self.max_query_tokens, "max_item_tokens": self.max_item_tokens}
        write_settings(folder, model="two_tower", outputs=self.outputs, settings=settings)

    def save_heads(self, folder: Path) -> None:
        save_file({n: p.detach().cpu().contiguous() for n, p in self.heads.state_dict().items()}, folder / HEADS)

    def load_heads(self, folder: Path) -> None:
        self.heads.load_state_dict(load_file(folder / HEADS))

    def vectors(self, tokens: Tokens, budget: int) -> torch.Tensor:
        """vector_UD of texts, in batches of at most `budget` tokens; on the device the tokens are on."""
        device = self.heads.bias_T.device
        vector_UD = torch.empty(len(tokens), self.model.config.hidden_size, device=device)
        for row_B in batches(tokens.length_U, budget):
            device_B = torch.from_numpy(row_B).to(device)
            batch = self.template.assemble([(tokens, device_B, row_B)])
            vector_UD[device_B] = self.embed(batch.ids_BW, batch.mask_BW)
        return vector_UD


def pooled(hidden_BWD: torch.Tensor, mask_BW: torch.Tensor | None) -> torch.Tensor:
    """Mean over the tokens, length 1; BD, float32."""
    hidden_BWD = hidden_BWD.float()
    mean_BD = hidden_BWD.mean(1) if mask_BW is None else (hidden_BWD * mask_BW[:, :, None]).sum(1)
    return torch.nn.functional.normalize(mean_BD, dim=-1)


@dataclass(frozen=True, kw_only=True)
class Vectors(Coded):
    """Vectors of the distinct texts."""

    vector_UD: torch.Tensor


class TwoTowerScorer(Scorer):
    """Embeds each distinct text once; a tile is one matrix product per output, in float32."""

    def __init__(self, network: TwoTowerNetwork, *, device: str, dtype: torch.dtype, budget: int) -> None:
        self.outputs = network.outputs
        self._network = network.eval().to(device)
        use_dtype(self._network.model, dtype)
        self._device = device
        self._budget = budget

    def encode_queries(self, table: pa.Table) -> Vectors:
        return self._encode(table, self._network.max_query_tokens)

    def encode_items(self, table: pa.Table) -> Vectors:
        return self._encode(table, self._network.max_item_tokens)

    @torch.inference_mode()
    def score(self, queries: Vectors, items: Vectors) -> np.ndarray:
        turned_TUD = self._network.heads.turned(queries.vector_UD)
        score_TUU = torch.empty(*turned_TUD.shape[:2], len(items.vector_UD), device=self._device)
        for bias, turned_UD, score_UU in zip(self._network.heads.bias(), turned_TUD, score_TUU, strict=True):
            torch.addmm(bias, turned_UD, items.vector_UD.T, out=score_UU)
        return spread(score_TUU.cpu().numpy(), queries.code_N, items.code_N)

    @torch.inference_mode()
    def score_pairs(self, queries: Vectors, items: Vectors, pair_P2: np.ndarray) -> np.ndarray:
        code_P2 = np.stack([queries.code_N[pair_P2[:, 0]], items.code_N[pair_P2[:, 1]]], axis=1)
        return self._network.compare_pairs(queries.vector_UD, items.vector_UD, code_P2).cpu().numpy()

    @torch.inference_mode()
    def _encode(self, table: pa.Table, limit: int) -> Vectors:
        texts, code_N = distinct(table["text"])
        tokens = tokenize(self._network.tokenizer, texts, limit).to(self._device)
        return Vectors(vector_UD=self._network.vectors(tokens, self._budget), code_N=code_N)
