"""What groups of people, brands or sellers get: each is a metric of one group's rows, to be compared between groups.

With `threshold.at("recall", ...)` (equal opportunity), `ranking.auc` and `reliability.calibration_ratio` these are the
usual criteria (Barocas, Hardt & Narayanan, 2023). They exclude each other where groups differ in how often the outcome
happens (Kleinberg et al., 2017): none of them is fairness by itself. Shapes: N rows, T places, I items, Q queries,
G groups, R weightings of the queries.
"""

import numpy as np

from recsys.metric._query_mean import QueryMean, by_observations, mean_by_query
from recsys.metric._sample import Metric, Sample


def selection_rate(threshold: float) -> Metric:
    """Share of observations whose probability is at least the threshold: demographic parity wants it equal."""
    return QueryMean(
        value=lambda sample: mean_by_query(sample, sample.probability_N >= threshold), mass=by_observations
    )


def _calibration_difference(sample: Sample) -> np.ndarray:
    return mean_by_query(sample, sample.probability_N - sample.positive_N)


calibration_difference = QueryMean(value=_calibration_difference, mass=by_observations)
"""Mean probability less share of positives: calibration within groups wants it 0 in each."""


def least_error(sample: Sample) -> float:
    """Standard error that `calibration_difference` has where the probabilities are true: sqrt(sum w^2 p (1 - p)) / sum
    of w (Spiegelhalter, 1986). A group without a single positive shows less. NaN without a row."""
    total = sample.weight_N.sum()
    if total <= 0:
        return float("nan")
    variance_N = sample.weight_N**2 * sample.probability_N * (1 - sample.probability_N)
    return float(np.sqrt(np.sort(variance_N).sum()) / total)


def exposure_ratio(query_T: np.ndarray, group_T: np.ndarray, size_G: np.ndarray, weight_QR: np.ndarray) -> np.ndarray:
    """value_GR: share of the places that show a group over its share of the catalogue (`size_G` items): exposure parity
    (Singh & Joachims, 2018) wants 1. NaN for a group without items, or where nothing is shown."""
    num_groups = len(size_G)
    cell_T = query_T * num_groups + group_T
    shown_QG = np.bincount(cell_T, minlength=len(weight_QR) * num_groups).reshape(len(weight_QR), num_groups)
    value_GR = np.full((num_groups, weight_QR.shape[1]), np.nan)
    for replicate, weight_Q in enumerate(weight_QR.T):
        shown_G = (weight_Q[:, None] * shown_QG).sum(axis=0)
        if (total := shown_G.sum()) > 0:
            fair_G = size_G * (total / size_G.sum())
            np.divide(shown_G, fair_G, out=value_GR[:, replicate], where=size_G > 0)
    return value_GR
