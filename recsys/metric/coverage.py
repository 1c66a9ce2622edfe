"""How much of the catalogue is shown at all, and how evenly.

The items that appear in the first K places of the queries are given by their codes, 0 ... number of items - 1.
"""

import numpy as np


def coverage(item_T: np.ndarray, num_items: int) -> float:
    """Share of the catalogue that appears at least once among the given top items; NaN for an empty catalogue."""
    _check(item_T, num_items)
    return len(np.unique(item_T)) / num_items if num_items else float("nan")


def gini(item_T: np.ndarray, num_items: int) -> float:
    """Gini coefficient of exposure over the whole catalogue, items never shown included.

    sum of (2 i - n - 1) x_i / (n sum of x), x ascending: 0 if all items are shown equally often, 1 - 1 / n if a single
    one is shown; NaN if nothing is.
    """
    _check(item_T, num_items)
    exposure_I = np.sort(np.bincount(item_T, minlength=num_items))
    total = exposure_I.sum()
    if not total:
        return float("nan")
    rank_I = np.arange(1, num_items + 1)
    return float(((2 * rank_I - num_items - 1) * exposure_I).sum() / (num_items * total))


def _check(item_T: np.ndarray, num_items: int) -> None:
    if len(item_T) and not (item_T.min() >= 0 and item_T.max() < num_items):
        raise ValueError(f"item codes {item_T.min()} ... {item_T.max()} do not fit a catalogue of {num_items} items")
