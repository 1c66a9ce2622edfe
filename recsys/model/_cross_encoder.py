"""The network and scorer of a cross-encoder: query and item read together by one transformer (Nogueira & Cho, 2019).

Shapes: Q queries, I items, P pairs, B pairs of a batch, W tokens of the longest, D dimensions, T outputs, U distinct
texts.
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

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
from recsys.model._first_row import keep_first_row
from recsys.model._folder import read_settings, write_settings
from recsys.model._int8 import use_dtype
from recsys.model._network import Network
from recsys.model._texts import Batch, Template, Tokens, batches, tokenize
from recsys.model._transformer import Transformer
from recsys.model._two_tower import TwoTowerNetwork
from recsys.scorer import Scorer

if TYPE_CHECKING:
    from recsys.model.cross_encoder import CrossEncoder

_STEP = 10.0  # of a correction that starts at 0: at a transformer's learning rate its head would hardly move
_MATCH_TYPES = 4  # query token, item token, and each again where the token occurs in both texts


def build(
    option: "CrossEncoder", queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int
) -> "CrossNetwork":
    """See `Supervised.build`."""
    if option.pretrained is None:
        tokenizer = scratch_tokenizer(option, all_texts(queries, items))
        config = scratch_config(
            option,
            tokenizer,
            num_positions=_num_tokens(option, tokenizer),
            num_types=_MATCH_TYPES,
            spread=1 / math.sqrt(option.hidden_size),
        )
    else:
        config, tokenizer = open_pretrained(option.pretrained)
        remedy = "lower model.max_query_tokens or model.max_item_tokens"
        check_length(config, num_tokens=_num_tokens(option, tokenizer), remedy=remedy)
        if Template.of(tokenizer, num_texts=2).typed and getattr(config, "type_vocab_size", 0) == 1:
            raise ValueError(
                f"model.pretrained={option.pretrained!r} knows one type of token, and a cross-encoder tells query from "
                "item by two; use a transformer that has read pairs, or model=two_tower"
            )
    config.num_labels = len(outputs)
    config.problem_type = "multi_label_classification"
    config.id2label = dict(enumerate(outputs))
    config.label2id = {o: i for i, o in enumerate(outputs)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if option.pretrained is None:
            model = AutoModelForSequenceClassification.from_config(config)
        else:
            folder = Path(option.pretrained).expanduser()
            model = AutoModelForSequenceClassification.from_pretrained(
                str(folder) if folder.is_dir() else option.pretrained, config=config, ignore_mismatched_sizes=True
            )
    limits = {"max_query_tokens": option.max_query_tokens, "max_item_tokens": option.max_item_tokens}
    towers = TwoTowerNetwork(model.base_model, tokenizer, outputs, **limits) if option.residual else None
    if towers is not None:
        for parameter in _head(model).parameters():
            torch.nn.init.zeros_(parameter)
    return CrossNetwork(model, tokenizer, outputs, towers, **limits)


def _head(model: PreTrainedModel) -> torch.nn.Linear:
    """The last layer of a sequence classifier. ValueError for an architecture in which it cannot be told."""
    head = getattr(model, "classifier", None)
    head = getattr(head, "out_proj", head)
    if not isinstance(head, torch.nn.Linear):
        raise ValueError(
            f"model.residual=true needs a sequence classifier that ends in a linear layer; {type(model).__name__} does "
            "not: use model.residual=false"
        )
    return head


def load(option: Transformer, folder: Path, device: str) -> Scorer:
    """See `Model.load`."""
    settings = read_settings(folder, model="cross_encoder")
    limits: Any = {name: settings.get(name) for name in ("max_query_tokens", "max_item_tokens")}
    outputs, towers = tuple(settings["outputs"]), None
    try:
        model = AutoModelForSequenceClassification.from_pretrained(str(folder))
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        if settings["residual"]:
            towers = TwoTowerNetwork(model.base_model, tokenizer, outputs, **limits)
            towers.load_heads(folder)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} is not a complete cross_encoder: {str(error).splitlines()[0]}") from error
    network = CrossNetwork(model, tokenizer, outputs, towers, **limits)
    dtype = choose_dtype(option.dtype, device)
    return CrossScorer(network, device=device, dtype=dtype, budget=choose_budget(option, device))


def _num_tokens(option: Transformer, tokenizer: PreTrainedTokenizerBase) -> int:
    return option.max_query_tokens + option.max_item_tokens + Template.of(tokenizer, num_texts=2).num_special


class CrossNetwork(Network):
    """A Hugging Face sequence classifier with its tokenizer; where `towers` share its transformer, it corrects them."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        outputs: tuple[str, ...],
        towers: TwoTowerNetwork | None,
        *,
        max_query_tokens: int,
        max_item_tokens: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.towers = towers
        self.tokenizer = tokenizer
        self.outputs = outputs
        self.max_query_tokens = max_query_tokens
        self.max_item_tokens = max_item_tokens
        self.template = Template.of(tokenizer, num_texts=2)
        self.matches = (
            model.config.type_vocab_size == _MATCH_TYPES if hasattr(model.config, "type_vocab_size") else False
        )

    def collate(self, query_texts: list[str], item_texts: list[str]) -> dict[str, torch.Tensor]:
        parts = []
        for texts, limit in ((query_texts, self.max_query_tokens), (item_texts, self.max_item_tokens)):
            row_B = np.arange(len(texts))
            parts.append((tokenize(self.tokenizer, texts, limit), torch.from_numpy(row_B), row_B))
        pair = self.inputs(self.template.assemble(parts))
        return pair if self.towers is None else pair | self.towers.collate(query_texts, item_texts)

    def inputs(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The transformer's arguments for an assembled batch."""
        types_BW = batch.types_BW
        if self.matches:
            types_BW = types_BW + 2 * batch.matched_BW()
        inputs = {"input_ids": batch.ids_BW}
        if self.template.typed:
            inputs["token_type_ids"] = types_BW
        if batch.mask_BW is not None:
            inputs["attention_mask"] = batch.mask_BW
        return inputs

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        logit_BT = self.read({name: x for name, x in batch.items() if not name.startswith(("query_", "item_"))})
        if self.towers is None:
            return logit_BT
        query_BD = self.towers.embed(batch["query_ids"], batch["query_mask"])
        item_BD = self.towers.embed(batch["item_ids"], batch["item_mask"])
        return logit_BT + self.towers.compare(query_BD, item_BD)

    def read(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """logit_BT of the pairs read together: the score, or what it adds to the two-tower's."""
        logit_BT = self.model(**inputs).logits.float()
        return logit_BT if self.towers is None else logit_BT * _STEP

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.towers is not None:
            self.towers.save_heads(folder)
        settings = {
            "max_query_tokens": self.max_query_tokens,
            "max_item_tokens": self.max_item_tokens,
            "residual": self.towers is not None,
            "token_types": "query, item, query token also in item, item token also in query"
            if self.matches
            else "usual",
        }
        write_settings(folder, model="cross_encoder", outputs=self.outputs, settings=settings)


@dataclass(frozen=True, kw_only=True)
class Texts(Coded):
    """Tokens of the distinct texts."""

    tokens: Tokens
    vector_UD: torch.Tensor | None  # of the two-tower, where there is one


class CrossScorer(Scorer):
    """Tokenises each distinct text once; pairs are assembled on the device and batched by length."""

    def __init__(self, network: CrossNetwork, *, device: str, dtype: torch.dtype, budget: int) -> None:
        self.outputs = network.outputs
        self._network = network.eval().to(device)
        self._device = device
        self._budget = budget
        if network.towers is not None:  # texts alone need every row of the last layer: the same weights, another object
            shared: Any = {id(p): p for p in network.model.parameters()}
            network.towers.model = copy.deepcopy(network.model.base_model, shared)
            use_dtype(network.towers.model, dtype)
        keep_first_row(network.model)
        use_dtype(network.model, dtype)
        head = getattr(network.model, "classifier", None)
        if head is not None and dtype == torch.bfloat16:  # its logits would tie: the head stays float32
            head.float().register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))

    def encode_queries(self, table: pa.Table) -> Texts:
        return self._encode(table, self._network.max_query_tokens)

    def encode_items(self, table: pa.Table) -> Texts:
        return self._encode(table, self._network.max_item_tokens)

    def score(self, queries: Texts, items: Texts) -> np.ndarray:
        num_queries, num_items = len(queries.tokens), len(items.tokens)
        query_P = np.repeat(np.arange(num_queries), num_items)
        item_P = np.tile(np.arange(num_items), num_queries)
        score_TUU = self._pairs(queries, items, query_P, item_P).reshape(-1, num_queries, num_items)
        return spread(score_TUU, queries.code_N, items.code_N)

    def score_pairs(self, queries: Texts, items: Texts, pair_P2: np.ndarray) -> np.ndarray:
        code_P = queries.code_N[pair_P2[:, 0]] * len(items.tokens) + items.code_N[pair_P2[:, 1]]
        unique_P, inverse_P = np.unique(code_P, return_inverse=True)
        query_P, item_P = np.divmod(unique_P, max(1, len(items.tokens)))
        return self._pairs(queries, items, query_P, item_P)[:, inverse_P]

    @torch.inference_mode()
    def _encode(self, table: pa.Table, limit: int) -> Texts:
        texts, code_N = distinct(table["text"])
        tokens, towers = tokenize(self._network.tokenizer, texts, limit).to(self._device), self._network.towers
        vector_UD = None if towers is None else towers.vectors(tokens, self._budget)
        return Texts(tokens=tokens, vector_UD=vector_UD, code_N=code_N)

    @torch.inference_mode()
    def _pairs(self, queries: Texts, items: Texts, query_P: np.ndarray, item_P: np.ndarray) -> np.ndarray:
        """score_TP of pairs of distinct texts."""
        score_PT = torch.empty(len(query_P), len(self.outputs), device=self._device)
        network = self._network
        for row_B in batches(queries.tokens.length_U[query_P] + items.tokens.length_U[item_P], self._budget):
            parts = []
            for texts, code_P in ((queries, query_P), (items, item_P)):
                parts.append((texts.tokens, torch.from_numpy(code_P[row_B]).to(self._device), code_P[row_B]))
            logit_BT = network.read(network.inputs(network.template.assemble(parts)))
            if network.towers is not None:
                assert queries.vector_UD is not None
                assert items.vector_UD is not None
                logit_BT += network.towers.compare(queries.vector_UD[parts[0][1]], items.vector_UD[parts[1][1]])
            score_PT[torch.from_numpy(row_B).to(self._device)] = logit_BT
        return score_PT.cpu().numpy().T
