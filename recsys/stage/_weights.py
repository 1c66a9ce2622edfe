"""How many observations a labelled row stands for."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

COLUMN = "inclusion_probability"


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
