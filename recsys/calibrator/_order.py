"""What a map does to the ranking order. Shapes: N rows, V distinct scores."""

from collections.abc import Mapping

import numpy as np

from recsys.calibrator._calibrator import Fitted
from recsys.calibrator._segments import Segments


def order_kept(fitted: Fitted, score_N: np.ndarray, segment: Mapping[str, Segments]) -> str:
    """One phrase about these scores: kept, ties made, or changed. Ranks are taken from the scores, whatever it says."""
    if fitted.order == "segment":
        return "order kept within a segment, changed between segments"
    score_V, first_V = np.unique(score_N, return_index=True)
    probability_V = fitted.predict(score_V, {name: column.take(first_V) for name, column in segment.items()})
    step_V = np.diff(probability_V)
    if fitted.order == "free" and (step_V < 0).any():
        return f"order changed: {int((step_V < 0).sum())} of {len(step_V)} neighbouring scores change places"
    num_distinct = len(np.unique(np.maximum.accumulate(probability_V))) if len(score_V) else 0
    if num_distinct < len(score_V):
        return f"ties made: {len(score_V)} distinct scores -> {num_distinct}"
    return "order kept"
