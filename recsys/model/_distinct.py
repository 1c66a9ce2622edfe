"""Rows with the same text share one encoding. Shapes: N rows, U distinct texts."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, kw_only=True)
class Coded:
    """Rows by which distinct text each of them has."""

    code_N: np.ndarray

    def __len__(self) -> int:
        return len(self.code_N)


def spread(score_TUU: np.ndarray, query_code_Q: np.ndarray, item_code_I: np.ndarray) -> np.ndarray:
    """score_TQI of rows from the scores of their distinct texts; no copy where all texts differ."""
    for axis, code_N in ((1, query_code_Q), (2, item_code_I)):
        if len(code_N) != score_TUU.shape[axis]:
            score_TUU = score_TUU.take(code_N, axis=axis)
    return score_TUU


def distinct(text_N: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The U distinct texts in order of first appearance, and code_N: which of them each row has. Null is ''."""
    encoded = pc.dictionary_encode(pc.fill_null(text_N, "")).combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
