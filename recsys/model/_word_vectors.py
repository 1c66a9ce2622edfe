"""Token vectors from the texts alone: what a transformer from scratch may know before it sees a label.

Latent semantic analysis (Deerwester et al., 1990): the singular vectors of the tf-idf matrix of texts and tokens.
Shapes: U distinct texts, V tokens of the vocabulary, D dimensions.
"""

import math

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import svds
from transformers import PreTrainedTokenizerBase

from recsys.model._texts import tokenize

_MAX_TEXTS = 50_000  # enough for the vocabulary; every k-th text of larger corpora
_MAX_TOKENS = 512


def start_from_word_vectors(embedding: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, texts: set[str]) -> None:
    """Sets the rows of tokens that occur to vectors of length 1; dimensions beyond the rank of the texts are 0."""
    weight_VD = embedding.get_parameter("weight")
    ordered = sorted(texts)
    kept = ordered[:: max(1, math.ceil(len(ordered) / _MAX_TEXTS))]
    vector_VD = word_vectors(tokenizer, kept, size=weight_VD.shape[1])
    with torch.no_grad():
        found_V = torch.from_numpy(np.abs(vector_VD).sum(1) > 0)
        weight_VD[found_V] = torch.from_numpy(vector_VD).to(weight_VD.dtype)[found_V]


def word_vectors(tokenizer: PreTrainedTokenizerBase, texts: list[str], *, size: int) -> np.ndarray:
    """vector_VD, float64: rows of length 1, or all 0 for tokens that do not occur."""
    tokens = tokenize(tokenizer, texts, _MAX_TOKENS)
    row = np.repeat(np.arange(len(texts)), tokens.length_U)
    shape = (len(texts), len(tokenizer))
    count_UV = sparse.csr_array((np.ones(len(row)), (row, tokens.ids[:-1].numpy())), shape=shape)
    count_UV.sum_duplicates()
    frequency_V = np.bincount(count_UV.indices, minlength=shape[1])
    idf_V = np.log1p((shape[0] - frequency_V + 0.5) / (frequency_V + 0.5))
    weight_UV = count_UV.copy()
    weight_UV.data = (1 + np.log(count_UV.data)) * idf_V[count_UV.indices]
    length_U = np.sqrt(weight_UV.power(2).sum(1))
    weight_UV = sparse.diags_array(1 / np.maximum(length_U, 1e-12)) @ weight_UV
    rank = min(size, min(shape) - 1)
    vector_VD = np.zeros((shape[1], size))
    if rank > 0 and weight_UV.nnz:
        _, singular_D, right_DV = svds(weight_UV.tocsr(), k=rank, v0=np.ones(min(shape)))
        vector_VD[:, :rank] = np.asarray(right_DV).T * np.sqrt(np.maximum(singular_D, 0))
    vector_VD[frequency_V == 0] = 0
    length_V = np.linalg.norm(vector_VD, axis=1, keepdims=True)
    return np.where(length_V > 1e-9, vector_VD / np.maximum(length_V, 1e-9), 0)
