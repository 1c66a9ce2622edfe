"""What happens at each position of a page: click-through and conversion rates from a log of impressions.

They are what was seen there, with the items that were put there: a rate that falls with the position is the attention
of people and the quality of the order together. Shapes: N impressions, P positions in ascending order, Q queries,
R weightings of the queries.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Rates:
    """A rate at each position, NaN where nothing was exposed."""

    position_P: np.ndarray
    value_PR: np.ndarray
    num_exposed_P: np.ndarray  # int64
    num_queries_P: np.ndarray  # int64: with at least one exposure there


def rates(
    *,
    query_N: np.ndarray,
    position_N: np.ndarray,
    exposed_N: np.ndarray,
    happened_N: np.ndarray,
    weight_QR: np.ndarray,
    deepest: int,
) -> Rates:
    """Share of the exposed rows at which it happened, by position; positions from `deepest` on fall together.

    CTR: every impression is exposed, a click happens. CVR: clicked impressions are exposed, a purchase happens. Raises
    ValueError for a position below 1.
    """
    if len(position_N) and position_N.min() < 1:
        raise ValueError(f"position {position_N.min()} must be at least 1, the top")
    position_N = np.minimum(position_N, deepest)
    position_P, place_N = np.unique(position_N, return_inverse=True)
    num_queries, num_places = len(weight_QR), len(position_P)
    cell_N = query_N * max(num_places, 1) + place_N
    shape, size = (num_queries, num_places), num_queries * num_places
    exposed_QP = np.bincount(cell_N[exposed_N], minlength=size).reshape(shape)
    happened_QP = np.bincount(cell_N[exposed_N & happened_N], minlength=size).reshape(shape)
    value_PR = np.full((num_places, weight_QR.shape[1]), np.nan)
    for replicate, weight_Q in enumerate(weight_QR.T):
        sum_P = (weight_Q[:, None] * exposed_QP).sum(axis=0)
        np.divide((weight_Q[:, None] * happened_QP).sum(axis=0), sum_P, out=value_PR[:, replicate], where=sum_P > 0)
    return Rates(
        position_P=position_P,
        value_PR=value_PR,
        num_exposed_P=exposed_QP.sum(axis=0),
        num_queries_P=(exposed_QP > 0).sum(axis=0),
    )
