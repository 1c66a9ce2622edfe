"""BM25: lexical matching with the statistics of the whole catalogue.

Robertson et al., Okapi at TREC-3 (1994), in Lucene's variant (Kamphuis et al., ECIR 2020):
    score(q, i) = sum over tokens t of q:  idf(t) * tf(t, i) / (tf(t, i) + k1 * (1 - b + b * length(i) / mean length))
    idf(t) = ln(1 + (N - df(t) + 0.5) / (df(t) + 0.5))
Shapes: Q queries, I items, P pairs, V tokens of the vocabulary, U distinct texts.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import bm25s
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from recsys.model._distinct import distinct, spread
from recsys.model._folder import read_settings, write_settings
from recsys.model._model import Unsupervised
from recsys.scorer import Scorer

STOPWORDS = ("de", "en", "es", "fr", "it", "nl", "pt", "ru", "sv")
_VOCABULARY = "vocabulary.parquet"
_CJK = re.compile(r"[\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\uac00-\ud7af々]+")


@dataclass
class Bm25(Unsupervised):
    """Scores are sums of non-negative token weights; an output 'match' for every target."""

    of_inference: ClassVar[tuple[str, ...]] = ("k1", "b")

    k1: float
    b: float
    stopwords: str | None

    def __post_init__(self) -> None:
        if not self.k1 >= 0:
            raise ValueError(f"model.k1={self.k1} must be at least 0")
        if not 0 <= self.b <= 1:
            raise ValueError(f"model.b={self.b} must lie in [0, 1]")
        if self.stopwords is not None and self.stopwords not in STOPWORDS:
            raise ValueError(f"model.stopwords={self.stopwords!r} is unknown; use null or one of {list(STOPWORDS)}")

    def fit(self, queries: pa.Table, items: pa.Table, seed: int, folder: Path) -> None:
        texts, code_I = distinct(items["text"])
        tokens_U = tokenize(texts, self.stopwords)
        count_U = np.bincount(code_I, minlength=len(texts))
        frequency: dict[str, int] = {}
        for tokens, count in zip(tokens_U, count_U.tolist(), strict=True):
            for token in set(tokens):
                frequency[token] = frequency.get(token, 0) + count
        names = sorted(frequency)
        table = pa.table({"token": pa.array(names, pa.string()), "num_items": [frequency[n] for n in names]})
        pq.write_table(table, folder / _VOCABULARY)
        num_tokens = int(sum(len(t) * c for t, c in zip(tokens_U, count_U.tolist(), strict=True)))
        statistics = {"num_items": items.num_rows, "num_tokens": num_tokens, "stopwords": self.stopwords}
        write_settings(folder, model="bm25", outputs=("match",), settings=statistics)

    def load(self, folder: Path, device: str) -> Scorer:
        settings = read_settings(folder, model="bm25")
        if not (folder / _VOCABULARY).is_file():
            raise ValueError(f"{folder} is not a complete bm25 model: it has no {_VOCABULARY}; train again")
        return Bm25Scorer(
            vocabulary=pq.read_table(folder / _VOCABULARY),
            num_items=settings["num_items"],
            num_tokens=settings["num_tokens"],
            stopwords=settings["stopwords"],
            k1=self.k1,
            b=self.b,
        )


class Bm25Scorer(Scorer):
    """Sparse products. A query's count times a float32 weight is exact in float64 and tokens are added in the order of
    the vocabulary, so a pair's score is the same in every tile."""

    outputs = ("match",)

    def __init__(
        self, *, vocabulary: pa.Table, num_items: int, num_tokens: int, stopwords: str | None, k1: float, b: float
    ) -> None:
        self._token_to_index = {t: i for i, t in enumerate(vocabulary["token"].to_pylist())}
        frequency_V = vocabulary["num_items"].to_numpy()
        self._idf_V: np.ndarray = np.log1p((num_items - frequency_V + 0.5) / (frequency_V + 0.5))
        self._mean_length = max(num_tokens, 1) / max(num_items, 1)
        self._stopwords = stopwords
        self._k1, self._b = k1, b

    def encode_queries(self, table: pa.Table) -> "Weights":
        count_UV, _, code_N = self._counts(table)
        return Weights(count_UV, code_N)

    def encode_items(self, table: pa.Table) -> "Weights":
        count_UV, length_U, code_N = self._counts(table)
        row = np.repeat(np.arange(len(length_U)), np.diff(count_UV.indptr))
        norm_U = self._k1 * (1 - self._b + self._b * length_U / self._mean_length)
        saturated = count_UV.data / (count_UV.data + norm_U[row])
        weight = (self._idf_V[count_UV.indices] * saturated).astype(np.float32).astype(np.float64)
        return Weights(sparse.csr_array((weight, count_UV.indices, count_UV.indptr), shape=count_UV.shape), code_N)

    def score(self, queries: "Weights", items: "Weights") -> np.ndarray:
        score_UU = (queries.weight_UV @ items.weight_UV.T.tocsr()).toarray().astype(np.float32)
        return spread(score_UU[None], queries.code_N, items.code_N)

    def score_pairs(self, queries: "Weights", items: "Weights", pair_P2: np.ndarray) -> np.ndarray:
        query_PV = queries.weight_UV[queries.code_N[pair_P2[:, 0]]]
        item_PV = items.weight_UV[items.code_N[pair_P2[:, 1]]]
        product_PV = query_PV.multiply(item_PV).tocsr()
        return (product_PV @ np.ones(product_PV.shape[1])).astype(np.float32)[None]

    def _counts(self, table: pa.Table) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
        """How often each distinct text has each known token, its length in all tokens, and code_N."""
        texts, code_N = distinct(table["text"])
        tokens_U = tokenize(texts, self._stopwords)
        length_U = np.fromiter((len(t) for t in tokens_U), np.int64, len(texts))
        column = np.fromiter((self._token_to_index.get(t, -1) for ts in tokens_U for t in ts), np.int64)
        row = np.repeat(np.arange(len(texts)), length_U)
        known = column >= 0
        shape = (len(texts), len(self._idf_V))
        counts = sparse.csr_array((np.ones(known.sum()), (row[known], column[known])), shape=shape)
        counts.sum_duplicates()
        return counts, length_U, code_N


@dataclass(frozen=True)
class Weights:
    """Token weights of the distinct texts, and which of them each row has."""

    weight_UV: sparse.csr_array  # float64, columns ascending
    code_N: np.ndarray

    def __len__(self) -> int:
        return len(self.code_N)


def tokenize(texts: list[str], stopwords: str | None) -> list[list[str]]:
    """Lower-case words of two or more characters; runs of Chinese, Japanese or Korean script become bigrams."""
    spaced = [_CJK.sub(_bigrams, t) for t in texts]
    tokens = bm25s.tokenize(spaced, stopwords=stopwords or [], return_ids=False, show_progress=False)
    return list(tokens)  # type: ignore[arg-type]


def _bigrams(run: re.Match[str]) -> str:
    text = run.group()
    return " " + " ".join(text[i : i + 2] for i in range(max(1, len(text) - 1))) + " "
