"""How labelled rows are cut into groups: by what the query, the item or the label is.

Shapes: N labelled rows, Q queries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.metric.group import head_torso_tail
from recsys.report._evaluation import Evaluation
from recsys.report._rows import TargetRows

NOT_SLICES = {"query_id", "item_id", "impression_id", "text", "title", "frequency", "popularity", "target", "label"}
NOT_SLICES |= {"weight", "split", "score", "uncalibrated", "probability"}
ALWAYS = ("category", "brand", "price", "kind", "locale")
NONE, OTHER = "(none)", "other"
PARTS = ("head", "torso", "tail", NONE)
TRAFFIC_OF = {"frequency": "queries", "popularity": "items"}
OF_COLUMN = "Popularity is the column `popularity`."
OF_LABELS = (
    "No column says how popular items are: how often they were labelled stands for it, so that what was judged more "
    "often counts as more popular."
)


@dataclass(frozen=True, kw_only=True)
class Slicing:
    """One way to cut the rows. A slicing of queries keeps each query whole."""

    column: str  # what the slices are named after: slice = "<column>=<value>"
    axis: str  # query, item or label
    values: tuple[str, ...]
    value_N: np.ndarray  # int64: index into values
    note: str = ""  # to the definition of every figure


@dataclass(frozen=True, kw_only=True)
class Slicings:
    """The cuts that are possible, and why others are not."""

    cuts: tuple[Slicing, ...]
    skipped: dict[str, str]  # column -> reason


def slicings(
    evaluation: Evaluation,
    rows: TargetRows,
    *,
    named: list[str],
    max_values: int,
    asked: str = "report.balanced.slices",
) -> Slicings:
    """Frequency of queries, popularity of items, category, brand, price, kind, locale, label, the `named` columns, and
    every other text column with at most `max_values` values.

    Where there are more values, the rare ones become 'other'; numbers are cut into thirds.
    Raises ValueError for a named column that no table has; `asked` is the key of the configuration that names it.
    """
    tables = {"query": evaluation.queries, "item": evaluation.items, "label": rows.labels}
    index_N = {"query": rows.query_Q[rows.sample.query_N], "item": rows.item_N, "label": np.arange(len(rows.sample))}
    homes = {axis: [n for n in t.column_names if n not in NOT_SLICES] for axis, t in tables.items()}
    for column in named:
        if column not in {n for names in homes.values() for n in names}:
            known = sorted({n for names in homes.values() for n in names})
            raise ValueError(f"{asked} names '{column}', which no table has; there are {known}")
    cuts, skipped = [], {}

    def add(column: str, axis: str, cut: Callable[[], tuple[list[str], np.ndarray] | str]) -> None:
        made = cut()
        if isinstance(made, str):
            skipped[column] = made
        else:
            note = popularity_source(evaluation) if (column, axis) == ("popularity", "item") else ""
            cuts.append(Slicing(column=column, axis=axis, values=tuple(made[0]), value_N=made[1], note=note))

    add("frequency", "query", lambda: _frequency(evaluation, rows))
    add("popularity", "item", lambda: _popularity(evaluation, rows))
    for axis, names in homes.items():
        for name in sorted(names, key=lambda n: (ALWAYS.index(n) if n in ALWAYS else len(ALWAYS), n)):
            column = f"{axis}_{name}" if sum(name in names for names in homes.values()) > 1 else name
            array, wanted = tables[axis][name], name in ALWAYS or name in named
            if wanted or _few_texts(array, max_values):
                add(column, axis, lambda a=array, i=index_N[axis]: _by_value(a, i, rows.sample.query_N, max_values))
    add("label", "label", lambda: _label(rows))
    return Slicings(cuts=tuple(cuts), skipped=skipped)


def _frequency(evaluation: Evaluation, rows: TargetRows) -> tuple[list[str], np.ndarray] | str:
    """Head, torso, tail of all queries of the corpus, by how often they were asked."""
    array = evaluation.queries["frequency"] if "frequency" in evaluation.queries.column_names else None
    if array is None or array.null_count == len(array):
        return "no query says how often it was asked"
    part_X = thirds_of_traffic(array.to_numpy().astype(np.float64), "frequency", evaluation.queries["query_id"])
    if isinstance(part_X, str):
        return part_X
    return _present(PARTS, _take(part_X, rows.query_Q[rows.sample.query_N], len(PARTS) - 1))


def popularity(evaluation: Evaluation) -> tuple[tuple[str, ...], np.ndarray] | str:
    """Names of the parts, and part_I: head, torso, tail of the catalogue by the column `popularity` where it holds
    numbers, else by observations in the labels. A reason where there are no parts."""
    part_I = thirds_of_traffic(item_popularity(evaluation), "popularity", evaluation.items["item_id"])
    return part_I if isinstance(part_I, str) else (PARTS, part_I)


def popularity_source(evaluation: Evaluation) -> str:
    """What is taken for the popularity of items, as a sentence."""
    items = evaluation.items
    given = items.schema.field("popularity").type if "popularity" in items.column_names else pa.null()
    return OF_COLUMN if pa.types.is_floating(given) or pa.types.is_integer(given) else OF_LABELS


def item_popularity(evaluation: Evaluation) -> np.ndarray:
    """popularity_I, float64: see `popularity`; NaN where the column has no number."""
    if popularity_source(evaluation) == OF_COLUMN:
        return evaluation.items["popularity"].to_numpy().astype(np.float64)
    seen = evaluation.calibrated.group_by("item_id", use_threads=False).aggregate([("weight", "sum")])
    place = pc.index_in(evaluation.items["item_id"], value_set=seen["item_id"].combine_chunks())
    return pc.fill_null(pc.take(seen["weight_sum"], place), 0.0).to_numpy().astype(np.float64)


def _popularity(evaluation: Evaluation, rows: TargetRows) -> tuple[list[str], np.ndarray] | str:
    parts = popularity(evaluation)
    return parts if isinstance(parts, str) else _present(PARTS, _take(parts[1], rows.item_N, len(PARTS) - 1))


def thirds_of_traffic(traffic_X: np.ndarray, column: str, ids: pa.ChunkedArray) -> np.ndarray | str:
    """part_X: index into PARTS; what is not finite is unknown. Raises ValueError for a number below 0, and names whose
    it is."""
    if len(wrong := np.flatnonzero(traffic_X < 0)):
        named = ", ".join(repr(ids[int(x)].as_py()) for x in wrong[:3])
        raise ValueError(
            f"{column} {traffic_X[wrong[0]]:g} is below 0, as that of {len(wrong)} of {len(traffic_X)} "
            f"{TRAFFIC_OF[column]} is (first: {named}); leave it empty where it is unknown"
        )
    known_X = np.isfinite(traffic_X)
    if len(np.unique(traffic_X[known_X])) < 2:
        return "all are equally frequent"
    part_X = np.full(len(traffic_X), len(PARTS) - 1)
    part_X[known_X] = np.select([head_torso_tail(traffic_X[known_X]) == p for p in PARTS[:-1]], range(3))
    return part_X


def _take(value_X: np.ndarray, index_N: np.ndarray, missing: float) -> np.ndarray:
    """value_X[index_N], or `missing` where the index is -1."""
    return np.append(value_X, missing)[index_N]


def _label(rows: TargetRows) -> tuple[list[str], np.ndarray] | str:
    """The label, rounded to a whole grade."""
    grade_G, value_N = np.unique(np.rint(rows.labels["label"].to_numpy()), return_inverse=True)
    return ([f"{g:g}" for g in grade_G], value_N) if len(grade_G) > 1 else "all labels are equal"


def _few_texts(array: pa.ChunkedArray, max_values: int) -> bool:
    texts = pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_boolean(array.type)
    return texts and len(pc.unique(array)) <= max_values


def _by_value(array, index_N, query_N, max_values: int) -> tuple[list[str], np.ndarray] | str:
    numeric = pa.types.is_floating(array.type) or pa.types.is_integer(array.type)
    if numeric:
        return _thirds(array.to_numpy().astype(np.float64), index_N)
    value_V, code_X = texts(array)
    code_N = np.append(code_X, value_V.index(NONE) if NONE in value_V else len(value_V))[index_N]
    present, value_N = np.unique(code_N, return_inverse=True)
    value_V = np.array([*value_V, NONE], object)[present]
    if len(value_V) < 2:
        return "all rows have the same value"
    if len(value_V) > max_values:
        pairs_2 = np.unique(np.stack([value_N, query_N]), axis=1)
        num_queries_V = np.bincount(pairs_2[0], minlength=len(value_V))
        kept = np.sort(np.lexsort((np.arange(len(value_V)), -num_queries_V))[: max_values - 1])
        new_V = np.full(len(value_V), max_values - 1)
        new_V[kept] = np.arange(max_values - 1)
        value_V, value_N = np.append(value_V[kept], _unused(OTHER, value_V[kept])), new_V[value_N]
    return _present(value_V.tolist(), value_N)


def texts(array: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """(values, ascending, and code_X): each text is held once, however long it is."""
    coded = pc.fill_null(array.cast(pa.string()), NONE).combine_chunks().dictionary_encode()
    values = coded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    place_V = np.empty(len(values), np.int64)
    place_V[order] = np.arange(len(values))
    return [values[v] for v in order], place_V[coded.indices.to_numpy()]


def _unused(name: str, taken: np.ndarray) -> str:
    """The name, or one like it that no real value has."""
    while name in taken:
        name = f"any {name}"
    return name


def _thirds(number_X: np.ndarray, index_N: np.ndarray) -> tuple[list[str], np.ndarray] | str:
    """Three equal parts of the table's rows, by value."""
    finite = number_X[np.isfinite(number_X)]
    low, high = np.quantile(finite, [1 / 3, 2 / 3], method="lower") if len(finite) else (0.0, 0.0)
    if low == high:
        return "numbers do not fall into thirds"
    names = (f"up to {low:g}", f"{low:g} to {high:g}", f"above {high:g}", NONE)
    number_N = _take(number_X, index_N, np.nan)
    part_N = np.where(np.isnan(number_N), 3, (number_N > low).astype(np.int64) + (number_N > high))
    return _present(names, part_N)


def _present(names: Sequence[str], value_N: np.ndarray) -> tuple[list[str], np.ndarray] | str:
    """Only the values that occur, in their order."""
    present, renumbered_N = np.unique(value_N, return_inverse=True)
    if len(present) < 2:
        return f"all rows are '{names[present[0]]}'" if len(present) else "there are no rows"
    return [str(names[v]) for v in present], renumbered_N.astype(np.int64)
