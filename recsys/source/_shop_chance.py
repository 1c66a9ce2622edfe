"""Chance as a pure function of names and numbers: what makes every row of the shop reproducible by itself."""

import numpy as np
from scipy.special import ndtri

from recsys.seed import mix, seed, uniform


def hashed(shop_seed: int, what: str, *number: np.ndarray | int) -> np.ndarray:
    """uint64 hash of (seed, what, numbers); the numbers broadcast."""
    hash_N = np.asarray(seed(shop_seed, "shop", what), np.uint64)
    for n in number:
        hash_N = mix(hash_N, np.asarray(n).astype(np.uint64))
    return hash_N


def draw(shop_seed: int, what: str, *number: np.ndarray | int) -> np.ndarray:
    """float64 in [0, 1), independent for each (seed, what, numbers)."""
    return uniform(hashed(shop_seed, what, *number))


def draw_normal(shop_seed: int, what: str, *number: np.ndarray | int) -> np.ndarray:
    """Standard normal, independent for each (seed, what, numbers)."""
    return ndtri(draw(shop_seed, what, *number) + 2.0**-54)


def zipf_weights(num: int, exponent: float) -> np.ndarray:
    """Probabilities proportional to 1 / rank^exponent."""
    weight_N = np.arange(1, num + 1, dtype=np.float64) ** -exponent
    return weight_N / weight_N.sum()


def pick(weights: np.ndarray, uniform_N: np.ndarray) -> np.ndarray:
    """Index drawn with probability `weights` (which sum to 1), by inversion."""
    index_N = np.searchsorted(np.cumsum(weights), uniform_N, side="right")
    return np.minimum(index_N, len(weights) - 1)
