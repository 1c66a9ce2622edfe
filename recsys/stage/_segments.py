"""The segments that calibrators ask for, from the columns of queries, items and labels."""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.calibrator import Segments
from recsys.stage._corpus import Corpus

KEYS = ("query_id", "item_id", "text", "title", "split", "target", "label", "weight", "score")


class SegmentColumns:
    """The columns named, each from the one table that has it; `query_<column>` or `item_<column>` where two have it."""

    def __init__(self, corpus: Corpus, names: Iterable[str]) -> None:
        self._values: dict[str, tuple[str, pa.Table] | None] = {}  # name -> (key, table of key and value); None: labels
        for name in dict.fromkeys(names):
            self._values[name] = _find(corpus, name)

    def of(self, rows: pa.Table) -> dict[str, Segments]:
        """The segments of rows with query_id and item_id; a row whose query, item or value is missing has none.

        A column of the labels gives segments to labels alone: pairs that nobody judged have none.
        """
        found = {}
        for name, home in self._values.items():
            if home is None:
                text = rows[name] if name in rows.column_names else pa.chunked_array([pa.nulls(rows.num_rows)])
            else:
                key, table = home
                place = pc.index_in(rows[key], value_set=table[key].combine_chunks())
                text = pc.take(table["value"], place)
            found[name] = _segments(text)
        return found


def unseen(segment: Mapping[str, Segments], fitted_values: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, int]]:
    """Column -> value (or '(none)') -> rows that no fitted segment covers, so that they get the map for all."""
    told: dict[str, dict[str, int]] = {}
    for name, known in fitted_values.items():
        column = segment[name]
        count_K = np.bincount(column.code_N + 1, minlength=len(column.value_K) + 1)
        rows = {v: int(n) for v, n in zip(("(none)", *column.value_K), count_K, strict=True) if n and v not in known}
        if rows:
            told[name] = rows
    return told


def _find(corpus: Corpus, name: str) -> tuple[str, pa.Table] | None:
    homes = {axis: corpus.columns(table) for axis, table in (("query", "queries"), ("item", "items"))}
    homes["label"] = corpus.columns("labels")
    axis, column = name.partition("_")[::2]
    if axis not in ("query", "item") or column not in homes[axis] or any(name in names for names in homes.values()):
        having = [axis for axis, names in homes.items() if name in names and name not in KEYS]
        if len(having) > 1:
            raise ValueError(
                f"calibrator: column '{name}' is one of {' and '.join(having)}; say {having[0]}_{name} or "
                f"{having[1]}_{name}"
            )
        if not having:
            known = sorted({n for names in homes.values() for n in names} - set(KEYS))
            raise ValueError(f"calibrator: no table has a column '{name}' to cut segments by; there are {known}")
        axis, column = having[0], name
    if axis == "label":
        return None
    table, key = ("queries", "query_id") if axis == "query" else ("items", "item_id")
    values = corpus.table(table, [key, column])
    if pa.types.is_floating(values[column].type):
        raise ValueError(
            f"calibrator: column '{name}' holds numbers ({values[column].type}); segments are texts: add a column of "
            "texts, such as price bands"
        )
    return key, pa.table({key: values[key], "value": values[column].cast(pa.string())})


def _segments(text: pa.ChunkedArray) -> Segments:
    if pa.types.is_floating(text.type):
        raise ValueError("calibrator: a column of labels that holds numbers cannot cut segments; give texts")
    encoded = text.cast(pa.string()).combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    place = np.empty(len(values) + 1, np.int64)
    place[order], place[-1] = np.arange(len(values)), -1
    code_N = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return Segments(value_K=tuple(values[k] for k in order), code_N=place[code_N])
