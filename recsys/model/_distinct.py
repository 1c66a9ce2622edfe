"""Rows with the same text share one encoding. Shapes: N rows, U distinct texts."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def distinct(text_N: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The U distinct texts in order of first appearance, and code_N: which of them each row has. Null is ''."""
    encoded = pc.dictionary_encode(pc.fill_null(text_N, "")).combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
