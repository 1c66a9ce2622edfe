"""Whether groups of users, brands or sellers get the same, and which differ when many are compared at once.

Shapes: N labelled rows, G groups of a column, Q queries, R weightings of the queries (column 0: the estimate).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys import seed
from recsys.metric import bootstrap, fairness, group, ranking, threshold
from recsys.metric._sample import Metric
from recsys.metric.compare import false_discovery
from recsys.metric.contrast import Contrast, Parity
from recsys.report import _text
from recsys.report._chart import Chart, Figure, Row, Table
from recsys.report._evaluation import Evaluation, Record, Report
from recsys.report._exposure import grouped
from recsys.report._rows import Part, TargetRows, rows
from recsys.report._slices import merged
from recsys.report._slicing import OTHER, Slicing, slicings, texts

LEVEL = 0.95  # of every interval
NOT_GROUPS = ("frequency", "popularity", "price", "label")  # cut only if named
MERGED = "small groups together"
MOST_VALUES = 100  # groups of a column: 4,950 pairs, each with all its replicates
NAMES = {
    "selection_rate": "Said positive",
    "recall": "Found among positives",
    "calibration_difference": "Stated less observed",
    "auc": "AUC",
    "exposure_ratio": "Exposure over share",
}


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What is to be equal between groups."""

    name: str
    metric: Metric
    needs: str  # which queries count: see `Part.num_queries`
    scale: str
    definition: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """One criterion for all groups of one column, before many tests are judged together."""

    name: str
    definition: str
    column: str
    values: list[str]
    value_GR: np.ndarray
    apart_G: Sequence[Contrast | Parity]  # each beside all other groups, or beside what it should be
    num_queries_G: np.ndarray  # that count in the group
    num_pairs_G: np.ndarray
    least_G: np.ndarray  # standard error that is certainly reached
    size_G: np.ndarray  # what the variance of a group falls with
    scale: str


@dataclass
class Fairness(Report):
    """Demographic parity, equal opportunity, calibration within groups, AUC and exposure by group; which groups differ,
    under false-discovery control."""

    columns: list[str]
    threshold: float | None
    k: int
    num_replicates: int
    min_queries: int
    max_values: int
    level: float

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"report.fairness.threshold={self.threshold} is a probability: 0 to 1, or null")
        if self.k < 1:
            raise ValueError(f"report.fairness.k={self.k} must be at least 1")
        if self.num_replicates < 20:
            raise ValueError(f"report.fairness.num_replicates={self.num_replicates} is too few; use 100 or more")
        if self.min_queries < 2:
            raise ValueError(f"report.fairness.min_queries={self.min_queries} must be at least 2")
        if not 2 <= self.max_values <= MOST_VALUES:
            raise ValueError(
                f"report.fairness.max_values={self.max_values} must lie between 2 and {MOST_VALUES}, as all "
                "groups are set side by side"
            )
        if not 0 < self.level < 1:
            raise ValueError(f"report.fairness.level={self.level} must lie between 0 and 1")

    def records(self, evaluation: Evaluation) -> list[Record]:
        made: list[Record] = []
        for target in evaluation.targets:
            told = list(self._told(evaluation, target))
            p = [np.array([apart.p for apart in t.apart_G]) for t in told]
            adjusted = np.split(false_discovery(np.concatenate([*p, np.zeros(0)])), np.cumsum([len(x) for x in p]))
            for one, adjusted_G in zip(told, adjusted, strict=False):
                made += self._records(evaluation, target, one, adjusted_G)
        return made

    def tables(self, evaluation: Evaluation, records: list[Record]) -> list[Chart]:
        return [t for target in evaluation.targets for t in _tables(target, records, self.level)]

    def _told(self, evaluation: Evaluation, target: str) -> Iterator[Told]:
        part = rows(evaluation, target, evaluation.split)
        weight_QR = self._weights(evaluation, part.query_ids)
        at = self.threshold if self.threshold is not None else threshold.recommend("f1", part.sample)
        asked = "report.fairness.columns"
        cuts = slicings(evaluation, part, named=self.columns, max_values=self.max_values, asked=asked).cuts
        for cut in cuts:
            if not _wanted(cut.column, self.columns):
                continue
            if cut.axis == "item":
                yield from self._exposure(evaluation, target, cut)
            large = merged(cut, part.sample, self.min_queries, MERGED)
            if len(large.values) > 1:
                for criterion in _criteria(at, _text.NOUNS.get(target, ("positive", ""))[0]):
                    yield _compared(part, large, criterion, weight_QR)

    def _exposure(self, evaluation: Evaluation, target: str, cut: Slicing) -> Iterator[Told]:
        query_ids, query_T, item_T = grouped(evaluation, target, self.k)
        codes = _catalogue(evaluation, cut.column, self.max_values)
        if len(item_T) == 0 or codes is None:
            return
        values, group_I = codes
        size_G = np.bincount(group_I, minlength=len(values))
        ratio_GR = fairness.exposure_ratio(query_T, group_I[item_T], size_G, self._weights(evaluation, query_ids))
        share_G = size_G / size_G.sum()
        due_G = (1 - share_G) / (share_G * len(item_T))  # of places that each show the group by chance
        yield Told(
            name="exposure_ratio",
            definition=f"Share of the first {self.k} places over the share of the catalogue: exposure parity is 1 "
            "(Singh & Joachims, 2018).",
            column=cut.column,
            values=values,
            value_GR=ratio_GR,
            apart_G=[
                Parity(own_R=own_R, number=1.0, smaller=len(query_ids), due=float(due))
                for own_R, due in zip(ratio_GR, due_G, strict=True)
            ],
            num_queries_G=np.full(len(values), len(query_ids)),
            num_pairs_G=np.bincount(group_I[item_T], minlength=len(values)),
            least_G=np.zeros(len(values)),
            size_G=size_G,
            scale="log",
        )

    def _weights(self, evaluation: Evaluation, query_ids: list[str]) -> np.ndarray:
        run_seed = seed.seed(evaluation.seed, "report", "queries")
        return bootstrap.poisson_weights(query_ids, self.num_replicates, run_seed)

    def _records(self, evaluation: Evaluation, target: str, told: Told, adjusted_G: np.ndarray) -> list[Record]:
        made = []
        against = "1, which is parity" if told.name == "exposure_ratio" else "all other groups together"
        split = "all" if told.name == "exposure_ratio" else evaluation.split

        def record(metric: str, about: str, value: str, ends: tuple[float, float, float], queries, pairs) -> None:
            number, low, high = (float(v) if np.isfinite(v) else None for v in ends)
            made.append(
                Record(
                    report="fairness",
                    target=target,
                    split=split,
                    metric=metric,
                    definition=about,
                    slice=f"{told.column}={value}",
                    value=number,
                    low=low,
                    high=high,
                    num_queries=int(queries),
                    num_pairs=int(pairs),
                )
            )

        for g, value in enumerate(told.values):
            queries, pairs, apart = told.num_queries_G[g], told.num_pairs_G[g], told.apart_G[g]
            own = bootstrap.interval(
                told.value_GR[g],
                LEVEL,
                num_queries=int(queries),
                scale=told.scale,
                least_error=float(told.least_G[g]),
            )
            record(told.name, told.definition, value, own, queries, pairs)
            about = f"The group less {against}, both under the same resampling. {told.definition}"
            record(f"difference {told.name}", about, value, apart.interval(LEVEL), apart.smaller, pairs)
            tested = (
                "p of that difference, two-sided, Student's t over resampled queries (a side that varies less than "
                "half as much as it would without a difference is given that variance), adjusted for all groups, "
                "columns and criteria of the target (Benjamini & Hochberg, 1995): if all up to "
                f"{self.level:g} are called different, "
                f"at most that share of the calls is expected to be wrong. {told.definition}"
            )
            record(f"adjusted p {told.name}", tested, value, (adjusted_G[g], np.nan, np.nan), apart.smaller, pairs)
        found = group.extremes(
            told.value_GR,
            LEVEL,
            num_queries_S=told.num_queries_G.tolist(),
            size_S=told.size_G.tolist(),
            scale=told.scale,
            better="higher",
        )
        if found is not None:
            names = (
                f"Highest, '{told.values[found.best]}', less lowest, '{told.values[found.worst]}'; the interval "
                "allows for that they were picked (Bonferroni over all pairs of groups). "
            )
            gap = (found.gap, found.gap_low, found.gap_high)
            about = f"{names}{told.definition}"
            record(f"gap {told.name}", about, "*", gap, told.num_queries_G.min(), told.num_pairs_G.sum())
        return made


def _criteria(at: float, positive: str) -> list[Criterion]:
    """What is compared; those that need a threshold only where there is one."""
    where = f"probability of at least {at:.4g}"
    made = [
        Criterion(
            name="selection_rate",
            metric=fairness.selection_rate(at),
            needs="row",
            scale="logit",
            definition=f"Share of observations with a {where}: demographic parity wants it equal.",
        ),
        Criterion(
            name="recall",
            metric=threshold.at("recall", at),
            needs="positive",
            scale="logit",
            definition=f"Share of those {positive} with a {where}: equal opportunity (Hardt et al., 2016).",
        ),
    ]
    return [
        *(made if np.isfinite(at) else []),
        Criterion(
            name="calibration_difference",
            metric=fairness.calibration_difference,
            needs="row",
            scale="linear",
            definition="Mean probability less share of positives: calibration within groups wants it 0 in each.",
        ),
        Criterion(
            name="auc",
            metric=ranking.auc,
            needs="classes",
            scale="logit",
            definition="Probability that a positive row of the group scores above a negative one of the group.",
        ),
    ]


def _wanted(column: str, columns: list[str]) -> bool:
    bare = column.removeprefix("query_").removeprefix("item_").removeprefix("label_")
    return (column in columns or bare in columns) if columns else column not in NOT_GROUPS


def _catalogue(evaluation: Evaluation, column: str, max_values: int) -> tuple[list[str], np.ndarray] | None:
    """(groups, group_I) of a text column of the items, the largest groups first; None for other columns."""
    name = column if column in evaluation.items.column_names else column.removeprefix("item_")
    array = evaluation.items[name]
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_boolean(array.type)):
        return None
    value_V, value_I = texts(array)
    order = np.argsort(-np.bincount(value_I, minlength=len(value_V)), kind="stable")
    rank_V = np.empty(len(order), np.int64)
    rank_V[order] = np.arange(len(order))
    kept = len(value_V) if len(value_V) <= max_values else max_values - 1
    names = [value_V[v] for v in order[:kept]] + ([OTHER] if kept < len(value_V) else [])
    return (names, np.minimum(rank_V, kept)[value_I]) if len(names) > 1 else None


def _compared(part: TargetRows, cut: Slicing, criterion: Criterion, weight_QR: np.ndarray) -> Told:
    """Each group beside all other rows."""
    own = [Part(part.sample.select(cut.value_N == g)) for g in range(len(cut.values))]
    rest = [Part(part.sample.select(cut.value_N != g)) for g in range(len(cut.values))]
    value_GR, rest_GR = (
        np.stack([criterion.metric(side.sample, weight_QR) for side in sides]) for sides in (own, rest)
    )
    known = criterion.name == "calibration_difference"
    least_G = np.array([fairness.least_error(side.sample) if known else 0.0 for side in own])
    num_own_G, num_rest_G = (np.array([s.num_queries[criterion.needs] for s in sides]) for sides in (own, rest))
    sizes = zip(num_own_G.tolist(), num_rest_G.tolist(), strict=True)
    if criterion.needs == "row":  # a mean over observations
        sizes = ((_observed(a), _observed(b)) for a, b in zip(own, rest, strict=True))
    return Told(
        name=criterion.name,
        definition=criterion.definition,
        column=cut.column,
        values=list(cut.values),
        value_GR=value_GR,
        apart_G=[
            Contrast(own_R=own_R, rest_R=rest_R, num_queries=(int(a), int(b)), size=size, scale=criterion.scale)
            for own_R, rest_R, a, b, size in zip(value_GR, rest_GR, num_own_G, num_rest_G, sizes, strict=True)
        ],
        num_queries_G=num_own_G,
        num_pairs_G=np.array([side.num_pairs for side in own]),
        least_G=least_G,
        size_G=num_own_G,
        scale=criterion.scale,
    )


def _observed(part: Part) -> float:
    return float(part.sample.weight_N.sum())


def _tables(target: str, records: list[Record], level: float) -> Iterator[Table]:
    """One table per column: what differs comes first."""
    own = [r for r in records if r.target == target]
    tested = [r for r in own if r.metric.startswith("adjusted p ") and r.value is not None]
    called = {
        (r.slice, r.metric.removeprefix("adjusted p ")) for r in tested if r.value is not None and r.value <= level
    }
    about = (
        f"Of {len(tested)} comparisons of a group with all others, {len(called)} differ when at most {100 * level:g} % "
        "of those named may be named wrongly. Brackets are intervals of the group alone."
    )
    for column in dict.fromkeys(r.slice.partition("=")[0] for r in own):
        mine = {(r.slice, r.metric): r for r in own if r.slice.startswith(f"{column}=")}
        names = [n for n in NAMES if any(metric == n for _, metric in mine)]
        where = [w for w in dict.fromkeys(w for w, _ in mine) if w != f"{column}=*"]
        where.sort(key=lambda w: (-max((_apart(mine, w, n) for n in names if (w, n) in called), default=0.0), w))
        yield Table(
            target=target,
            section="Are groups treated alike?",
            title=f"By {column.replace('_', ' ')}",
            about=about,
            columns=("Group", *(NAMES[n] for n in names)),
            rows=tuple(
                Row(
                    name=w.partition("=")[2],
                    cells=tuple(_figure(mine.get((w, n))) for n in names),
                    tag=_differs([NAMES[n] for n in names if (w, n) in called]),
                )
                for w in where
            ),
            drawn=False,
            definitions=tuple(
                (NAMES[n], next(r.definition for (_, metric), r in mine.items() if metric == n)) for n in names
            ),
        )


def _apart(mine: dict[tuple[str, str], Record], where: str, name: str) -> float:
    """Size of a group's difference."""
    record = mine.get((where, f"difference {name}"))
    return abs(record.value) if record is not None and record.value is not None else 0.0


def _differs(names: list[str]) -> str:
    return f"differs: {', '.join(name if name == 'AUC' else name.lower() for name in names)}" if names else ""


def _figure(record: Record | None) -> Figure:
    if record is None or record.value is None:
        return Figure(value=None, why="Undefined, or too small a group.")
    return Figure(value=record.value, low=record.low, high=record.high, why=_text.why(record))
