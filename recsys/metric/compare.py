"""Whether two rankers differ on the same queries: a randomisation test, counts of wins, and many tests at once.

Shapes: Q queries, S statistics (metrics or slices), F sign patterns.
"""

import numpy as np

from recsys.seed import mix

EXACT_QUERIES = 14  # up to here all 2^Q sign patterns are counted
TIE = 1e-9  # differences up to here are rounding
SIGNS = 64  # sign patterns in one hash of a query
CHUNK = 2**15  # queries at a time


def sign_flip(difference_QS: np.ndarray, hash_Q: np.ndarray, *, num_flips: int) -> np.ndarray:
    """p_S of Fisher's randomisation test, two-sided: how often chance makes a sum at least as far from 0.

    If the two rankers were alike, each query's difference would have had either sign with equal chance. With at most
    14 queries that differ, every pattern of signs is counted once: exact. Else `num_flips` patterns, rounded up to a
    multiple of 64, are drawn from a hash of the query, the same for all statistics, and p = (1 + hits) / (1 + draws),
    which never calls a true null too often (Phipson & Smyth, 2010). NaN counts as no difference; p = 1 where no query
    differs. Values are rounded to multiples of 2^-30 of the largest, so that sums are exact in any order.
    """
    if num_flips < 1:
        raise ValueError(f"num_flips={num_flips} must be at least 1")
    whole_QS, slack = _whole(difference_QS)
    num_differ_S = (whole_QS != 0).sum(axis=0)
    p_S = np.ones(whole_QS.shape[1])
    for s in np.flatnonzero((num_differ_S > 0) & (num_differ_S <= EXACT_QUERIES)):
        differ_D = whole_QS[whole_QS[:, s] != 0, s]
        sum_F = _patterns(len(differ_D)) @ differ_D
        p_S[s] = np.mean(np.abs(sum_F) >= abs(differ_D.sum()) - slack)
    drawn = np.flatnonzero(num_differ_S > EXACT_QUERIES)
    if len(drawn):
        needed_S = np.abs(whole_QS[:, drawn].sum(axis=0)) - slack
        num_blocks = -(-num_flips // SIGNS)
        hits_S = np.zeros(len(drawn))
        for block in range(num_blocks):
            hits_S += (np.abs(_drawn_sums(whole_QS[:, drawn], hash_Q, block)) >= needed_S).sum(axis=0)
        p_S[drawn] = (1 + hits_S) / (1 + num_blocks * SIGNS)
    return p_S


def _whole(difference_QS: np.ndarray) -> tuple[np.ndarray, float]:
    """Differences as whole numbers, and how much rounding may move a sum of them."""
    defined_QS = np.nan_to_num(np.asarray(difference_QS, np.float64), nan=0.0)
    largest_S = np.abs(defined_QS).max(axis=0, initial=0.0)
    scale_S = np.divide(2.0**30, largest_S, out=np.zeros_like(largest_S), where=largest_S > 0)
    return np.rint(defined_QS * scale_S), float(len(defined_QS))


def _patterns(num: int) -> np.ndarray:
    """sign_FQ: all 2^num of them."""
    return 1.0 - 2.0 * ((np.arange(2**num)[:, None] >> np.arange(num)) & 1)


def _drawn_sums(whole_QS: np.ndarray, hash_Q: np.ndarray, block: int) -> np.ndarray:
    """sum_FS under the 64 sign patterns of a block."""
    bit_F = np.arange(SIGNS, dtype=np.uint64)[:, None]
    sum_FS = np.zeros((SIGNS, whole_QS.shape[1]))
    for start in range(0, len(hash_Q), CHUNK):
        part = slice(start, start + CHUNK)
        sign_FQ = 1.0 - 2.0 * ((mix(hash_Q[part], block) >> bit_F) & np.uint64(1))
        sum_FS += sign_FQ @ whole_QS[part]
    return sum_FS


def wins(difference_Q: np.ndarray) -> tuple[int, int, int]:
    """(wins, losses, ties): queries where the difference is above 0, below 0, or no more than rounding; NaN is none."""
    defined_D = difference_Q[np.isfinite(difference_Q)]
    num_wins, num_losses = int((defined_D > TIE).sum()), int((defined_D < -TIE).sum())
    return num_wins, num_losses, len(defined_D) - num_wins - num_losses


def false_discovery(p_S: np.ndarray) -> np.ndarray:
    """adjusted_S of Benjamini & Hochberg (1995): calling all with adjusted <= q different, at most a share q of the
    calls is expected to be wrong, for tests that are independent or depend positively. NaN stays, and is no test."""
    adjusted_S = np.full(len(p_S), np.nan)
    tested = np.flatnonzero(np.isfinite(p_S))
    order = tested[np.argsort(-p_S[tested], kind="stable")]
    rank_S = len(order) - np.arange(len(order))
    adjusted_S[order] = np.minimum(np.minimum.accumulate(p_S[order] * len(order) / rank_S), 1.0)
    return adjusted_S
