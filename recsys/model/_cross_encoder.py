"""The network and scorer of a cross-encoder: query and item read together by one transformer (Nogueira & Cho, 2019).

Shapes: Q queries, I items, P pairs, B pairs of a batch, W tokens of the longest, T outputs, U distinct texts.
"""

import math
from dataclasses import dataclass
from pathlib import Path

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
from recsys.model._distinct import distinct, spread
from recsys.model._first_row import keep_first_row
from recsys.model._folder import read_settings, write_settings
from recsys.model._int8 import use_dtype
from recsys.model._network import Network
from recsys.model._texts import Batch, Template, Tokens, batches, tokenize
from recsys.model._transformer import Transformer
from recsys.scorer import Scorer

_MATCH_TYPES = 4  # query token, item token, and each again where the token occurs in both texts


def build(
    option: Transformer, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int
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
    return CrossNetwork(
        model, tokenizer, outputs, max_query_tokens=option.max_query_tokens, max_item_tokens=option.max_item_tokens
    )


def load(option: Transformer, folder: Path, device: str) -> Scorer:
    """See `Model.load`."""
    settings = read_settings(folder, model="cross_encoder")
    try:
        model = AutoModelForSequenceClassification.from_pretrained(str(folder), attn_implementation="sdpa")
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} is not a complete cross_encoder: {str(error).splitlines()[0]}") from error
    network = CrossNetwork(
        model,
        tokenizer,
        tuple(settings["outputs"]),
        max_query_tokens=settings["max_query_tokens"],
        max_item_tokens=settings["max_item_tokens"],
    )
    dtype = choose_dtype(option.dtype, device)
    return CrossScorer(network, device=device, dtype=dtype, budget=choose_budget(option.batch_tokens, device, dtype))


def _num_tokens(option: Transformer, tokenizer: PreTrainedTokenizerBase) -> int:
    return option.max_query_tokens + option.max_item_tokens + Template.of(tokenizer, num_texts=2).num_special


class CrossNetwork(Network):
    """A Hugging Face sequence classifier with its tokenizer."""

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
        self.template = Template.of(tokenizer, num_texts=2)
        self.matches = (
            model.config.type_vocab_size == _MATCH_TYPES if hasattr(model.config, "type_vocab_size") else False
        )

    def collate(self, query_texts: list[str], item_texts: list[str]) -> dict[str, torch.Tensor]:
        parts = []
        for texts, limit in ((query_texts, self.max_query_tokens), (item_texts, self.max_item_tokens)):
            row_B = np.arange(len(texts))
            parts.append((tokenize(self.tokenizer, texts, limit), torch.from_numpy(row_B), row_B))
        return self.inputs(self.template.assemble(parts))

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
        return self.model(**batch).logits.float()

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        settings = {
            "max_query_tokens": self.max_query_tokens,
            "max_item_tokens": self.max_item_tokens,
            "token_types": "query, item, query token also in item, item token also in query"
            if self.matches
            else "usual",
        }
        write_settings(folder, model="cross_encoder", outputs=self.outputs, settings=settings)


@dataclass(frozen=True)
class Texts:
    """Tokens of the distinct texts, and which of them each row has."""

    tokens: Tokens
    code_N: np.ndarray

    def __len__(self) -> int:
        return len(self.code_N)


class CrossScorer(Scorer):
    """Tokenises each distinct text once; pairs are assembled on the device and batched by length."""

    def __init__(self, network: CrossNetwork, *, device: str, dtype: torch.dtype, budget: int) -> None:
        self.outputs = network.outputs
        self._network = network.eval().to(device)
        self._device = device
        self._budget = budget
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
        score_TUU = self._pairs(queries.tokens, items.tokens, query_P, item_P).reshape(-1, num_queries, num_items)
        return spread(score_TUU, queries.code_N, items.code_N)

    def score_pairs(self, queries: Texts, items: Texts, pair_P2: np.ndarray) -> np.ndarray:
        code_P = queries.code_N[pair_P2[:, 0]] * len(items.tokens) + items.code_N[pair_P2[:, 1]]
        unique_P, inverse_P = np.unique(code_P, return_inverse=True)
        query_P, item_P = np.divmod(unique_P, max(1, len(items.tokens)))
        return self._pairs(queries.tokens, items.tokens, query_P, item_P)[:, inverse_P]

    def _encode(self, table: pa.Table, limit: int) -> Texts:
        texts, code_N = distinct(table["text"])
        return Texts(tokenize(self._network.tokenizer, texts, limit).to(self._device), code_N)

    @torch.inference_mode()
    def _pairs(self, queries: Tokens, items: Tokens, query_P: np.ndarray, item_P: np.ndarray) -> np.ndarray:
        """score_TP of pairs of distinct texts."""
        score_PT = torch.empty(len(query_P), len(self.outputs), device=self._device)
        for row_B in batches(queries.length_U[query_P] + items.length_U[item_P], self._budget):
            parts = []
            for tokens, code_P in ((queries, query_P), (items, item_P)):
                parts.append((tokens, torch.from_numpy(code_P[row_B]).to(self._device), code_P[row_B]))
            batch = self._network.template.assemble(parts)
            score_PT[torch.from_numpy(row_B).to(self._device)] = self._network(**self._network.inputs(batch))
        return score_PT.cpu().numpy().T
