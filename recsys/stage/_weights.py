"""How many observations a labelled row stands for, and how many it tells as much as."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.metric import Unit
from recsys.tables import INCLUSION as COLUMN


def observations(labels: pa.Table) -> np.ndarray:
    """weight_N: the row's own weight, divided by its inclusion probability where the labels have that column (Horvitz &
    Thompson, 1952).

    Raises ValueError for an inclusion probability that is null or outside (0, 1].
    """
    weight_N = labels["weight"].to_numpy()
    if COLUMN not in labels.column_names:
        return weight_N
    column = labels[COLUMN]
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise ValueError(f"labels: column '{COLUMN}' is {column.type}; it must hold numbers in (0, 1]")
    right = pc.and_(pc.greater(column, 0), pc.less_equal(column, 1))
    wrong = np.flatnonzero(~pc.fill_null(right, False).to_numpy())
    if len(wrong):
        first = labels.slice(int(wrong[0]), 1).to_pylist()[0]
        raise ValueError(
            f"labels: {COLUMN} {first[COLUMN]} of query {first['query_id']!r} and item {first['item_id']!r} is not in "
            f"(0, 1], as are {len(wrong)} of {labels.num_rows} in all; it is the chance with which the row was kept"
        )
    return weight_N / column.to_numpy().astype(np.float64)


def evidence(labels: pa.Table, weight_N: np.ndarray, positive_N: np.ndarray) -> np.ndarray:
    """weight_N in units of one observation: what calibrators take for the number of observations.

    `weight_N` itself where weights are counts. Rows that stand for others, by their inclusion probability, keep their
    proportions, and add up to the effective number of observations behind the share of positives.
    """
    if COLUMN not in labels.column_names or not weight_N.sum() > 0:
        return weight_N
    unit = Unit.of(weight_N, labels[COLUMN].to_numpy().astype(np.float64), positive_N)
    return weight_N / unit.per(float(weight_N[positive_N].sum() / weight_N.sum()))
