"""How far probabilities can be believed: proper losses, calibration errors, and the bins of a reliability diagram.

Rows count as often as they were observed. Shapes: N rows, B bins, F bins that are
not empty, Q queries, R weightings. The bins are fixed by the sample, the same for every weighting.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from recsys.metric._cells import Cells, cells, over_bins
from recsys.metric._effective import Unit
from recsys.metric._query_mean import QueryMean, by_observations, mean_by_query, sum_by_query
from recsys.metric._sample import Metric, Sample
from recsys.metric.bootstrap import interval

FEW_QUERIES = 20  # below it, a bin that shows no spread is taken to have as many observations as queries
CLIP = 1e-15  # keeps the loss of a certain and wrong probability finite: at most 34.5


def _log_loss(sample: Sample) -> np.ndarray:
    probability_N = np.clip(sample.probability_N, CLIP, 1 - CLIP)
    return mean_by_query(sample, -np.log(np.where(sample.positive_N, probability_N, 1 - probability_N)))


def _brier(sample: Sample) -> np.ndarray:
    return mean_by_query(sample, (sample.probability_N - sample.positive_N) ** 2)


log_loss = QueryMean(value=_log_loss, mass=by_observations)
"""Mean of -ln P(what happened), probabilities clipped to [1e-15, 1 - 1e-15]."""

brier = QueryMean(value=_brier, mass=by_observations)
"""Mean squared difference of probability and outcome, in [0, 1] (Brier, 1950)."""


def normalised_entropy(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    """Log-loss over that of always stating the share of positives (He et al., 2014): below 1 the probabilities know
    more than the average does. NaN with one class alone, where the average knows everything."""
    loss_Q = np.nan_to_num(_log_loss(sample)) * by_observations(sample)
    positive_Q = sum_by_query(sample, sample.weight_N * sample.positive_N)
    total_Q = by_observations(sample)
    value_R = np.full(weight_QR.shape[1], np.nan)
    for replicate in range(len(value_R)):
        weight_Q = weight_QR[:, replicate]
        total, positive = (weight_Q * total_Q).sum(), (weight_Q * positive_Q).sum()
        if 0 < positive < total:
            share = positive / total
            entropy = -(share * np.log(share) + (1 - share) * np.log1p(-share))
            value_R[replicate] = (weight_Q * loss_Q).sum() / total / entropy
    return value_R


def calibration_ratio(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
    """Sum of probabilities / number of positives: 1 is right, 2 promises twice what happens. NaN without positives."""
    predicted_Q = sum_by_query(sample, sample.weight_N * sample.probability_N)
    observed_Q = sum_by_query(sample, sample.weight_N * sample.positive_N)
    value_R = np.full(weight_QR.shape[1], np.nan)
    for replicate in range(len(value_R)):
        if (observed := (weight_QR[:, replicate] * observed_Q).sum()) > 0:
            value_R[replicate] = (weight_QR[:, replicate] * predicted_Q).sum() / observed
    return value_R


def ece(num_bins: int = 15) -> Metric:
    """Expected calibration error (Naeini et al., 2015): mean |predicted - observed| over bins of equal width.

    Bin i holds i / B <= p < (i + 1) / B; p = 1 belongs to the last. Biased upward: a perfect model shows about
    0.8 sqrt(B p (1 - p) / N). Read it beside `debiased_l2`.
    """
    return lambda sample, weight_QR: _error(cells(sample, equal_width(sample, num_bins)), weight_QR)


def ece_equal_mass(num_bins: int = 15) -> Metric:
    """Expected calibration error over bins of equally many observations; equal probabilities share a bin."""
    return lambda sample, weight_QR: _error(cells(sample, equal_mass(sample, num_bins)), weight_QR)


def mce(num_bins: int = 15) -> Metric:
    """Maximum calibration error (Naeini et al., 2015): the largest |predicted - observed| of a bin of equal width.

    Biased upward more than `ece`: one row alone in its bin decides it.
    """
    return lambda sample, weight_QR: _largest(cells(sample, equal_width(sample, num_bins)), weight_QR)


def mce_equal_mass(num_bins: int = 15) -> Metric:
    """Maximum calibration error over bins of equally many observations: with many more rows than bins, no row
    decides it alone."""
    return lambda sample, weight_QR: _largest(cells(sample, equal_mass(sample, num_bins)), weight_QR)


def debiased_l2(num_bins: int = 15) -> Metric:
    """Root mean square calibration error over equal-mass bins, less its expected noise (Kumar et al., 2019).

    sqrt(max(0, sum of share_B * ((predicted - observed)^2 - observed (1 - observed) / (n - 1)))), n observations in the
    bin (see `Unit.per`), which are taken to be independent. Close to 0 for a perfect model of any size, where `ece` is
    not.
    """
    return lambda sample, weight_QR: _debiased_l2(cells(sample, equal_mass(sample, num_bins)), weight_QR, sample.unit)


@dataclass(frozen=True, kw_only=True)
class Bins:
    """A reliability diagram: B non-empty bins of equal width in ascending order. All arrays have length B."""

    start_B: np.ndarray  # the bin holds start <= p < end, the last one p = 1 too
    end_B: np.ndarray
    predicted_B: np.ndarray  # mean probability
    observed_B: np.ndarray  # share of positives
    low_B: np.ndarray  # interval of the share of positives
    high_B: np.ndarray
    weight_B: np.ndarray  # observations
    num_rows_B: np.ndarray  # int64
    num_queries_B: np.ndarray  # int64
    num_queries: int  # distinct, in all bins together


def bins(sample: Sample, weight_QR: np.ndarray, num_bins: int = 15, *, level: float = 0.95) -> Bins:
    """The bins of a reliability diagram. An interval covers both resampled queries, by Student's t of the bin's own,
    and Wilson's (1927) for independent rows: resampling alone would call a bin certain in which nothing, or everything,
    was positive. Where resampling knows nothing (of one query, of queries without spread) and the bin has fewer than
    20 queries, Wilson's counts queries instead of rows: those of one query may all be alike."""
    bin_N = equal_width(sample, num_bins)
    summed = cells(sample, bin_N)
    weight_RB, predicted_RB, observed_RB = (
        np.stack(sums) for sums in zip(*(summed.sums(weight_Q) for weight_Q in weight_QR.T), strict=True)
    )
    kept = np.flatnonzero(weight_RB[0] > 0)
    rate_RB = np.full(weight_RB.shape, np.nan)
    np.divide(observed_RB, weight_RB, out=rate_RB, where=weight_RB > 0)
    size_B = weight_RB[0, kept] / sample.unit.per(rate_RB[0, kept])
    num_queries_B = np.bincount(summed.bin_C, minlength=num_bins)[kept]
    found = [interval(rate_RB[:, b], level, num_queries=int(n))[1:] for b, n in zip(kept, num_queries_B, strict=True)]
    ends = np.array(found).reshape(-1, 2)
    blind_B = np.isnan(ends[:, 0]) & (num_queries_B < FEW_QUERIES)
    count_B = np.where(blind_B, np.minimum(num_queries_B, size_B), size_B)
    wilson_low_B, wilson_high_B = _wilson(rate_RB[0, kept], count_B, level)
    return Bins(
        start_B=kept / num_bins,
        end_B=(kept + 1) / num_bins,
        predicted_B=predicted_RB[0, kept] / weight_RB[0, kept],
        observed_B=rate_RB[0, kept],
        low_B=np.clip(np.fmin(ends[:, 0], wilson_low_B), 0, 1),
        high_B=np.clip(np.fmax(ends[:, 1], wilson_high_B), 0, 1),
        weight_B=weight_RB[0, kept],
        num_rows_B=np.bincount(bin_N[sample.weight_N > 0], minlength=num_bins)[kept],
        num_queries_B=num_queries_B,
        num_queries=len(np.unique(sample.query_N[sample.weight_N > 0])),
    )


def equal_width(sample: Sample, num_bins: int) -> np.ndarray:
    """bin_N of equal width: i / B <= p < (i + 1) / B, the last with p = 1."""
    return np.minimum((sample.probability_N * num_bins).astype(np.int64), num_bins - 1)


def equal_mass(sample: Sample, num_bins: int) -> np.ndarray:
    """bin_N of equal mass: a distinct probability goes where the middle of its observations falls."""
    _, value_N = np.unique(sample.probability_N, return_inverse=True)
    order = np.lexsort((sample.weight_N, value_N))
    weight_V = np.bincount(value_N[order], weights=sample.weight_N[order])
    middle_V = np.cumsum(weight_V) - weight_V / 2
    share_V = middle_V / weight_V.sum() if weight_V.sum() > 0 else middle_V
    return np.minimum((share_V * num_bins).astype(np.int64), num_bins - 1)[value_N]


def _error(cells: Cells, weight_QR: np.ndarray) -> np.ndarray:
    return over_bins(cells, weight_QR, lambda w_F, said_F, seen_F: (w_F * np.abs(said_F - seen_F)).sum() / w_F.sum())


def _largest(cells: Cells, weight_QR: np.ndarray) -> np.ndarray:
    return over_bins(cells, weight_QR, lambda w_F, said_F, seen_F: np.abs(said_F - seen_F).max())


def _debiased_l2(cells: Cells, weight_QR: np.ndarray, unit: Unit) -> np.ndarray:
    def square(weight_F: np.ndarray, predicted_F: np.ndarray, observed_F: np.ndarray) -> float:
        noise_F, size_F = np.zeros(len(weight_F)), weight_F / unit.per(observed_F)
        np.divide(observed_F * (1 - observed_F), size_F - 1, out=noise_F, where=size_F > 1)
        return (weight_F * ((predicted_F - observed_F) ** 2 - noise_F)).sum() / weight_F.sum()

    return np.sqrt(np.maximum(over_bins(cells, weight_QR, square), 0))


def _wilson(rate_B: np.ndarray, size_B: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    z = norm.ppf(0.5 + level / 2)
    scale_B = 1 + z**2 / size_B
    middle_B = (rate_B + z**2 / (2 * size_B)) / scale_B
    half_B = z / scale_B * np.sqrt(rate_B * (1 - rate_B) / size_B + z**2 / (4 * size_B**2))
    return middle_B - half_B, middle_B + half_B
