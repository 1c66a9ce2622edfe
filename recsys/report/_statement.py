"""What is said of a measure beyond its value: records, and measures made of measures (lift, macro mean, worst, gap).

Shapes: S slices, R weightings of the queries (column 0: the estimate).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recsys.metric import bootstrap, group
from recsys.report._evaluation import Record
from recsys.report._measure import Measure

LEAST_CLASSES = 5  # queries with a positive, and with a negative, below which a loss has no interval
ONE_SIDED = f"No interval: fewer than {LEAST_CLASSES} queries have a positive, or fewer than that a negative."
LEVEL = 0.95  # of every interval: the contract of a record
PICKED = (
    "The interval allows for that {} picked (Bonferroni over all that could have been; Student's t, with at least the "
    "variance of a query of all slices). Values that rest on a few extreme queries may escape it."
)


@dataclass(frozen=True, kw_only=True)
class Together:
    """A number over several slices. `where` is the slice it is about, None where it is about all of them."""

    measure: Measure
    ends: tuple[float, float, float]  # value, low, high
    where: int | None = None


def record(
    measure: Measure,
    ends: tuple[float, float, float],
    *,
    target: str,
    split: str,
    where: str,
    num_queries: int,
    num_pairs: int,
) -> Record:
    """A record of the balanced report. `ends` are value, low and high; what is not finite is null."""
    value, low, high = (float(end) if np.isfinite(end) else None for end in ends)
    return Record(
        report="balanced",
        target=target,
        split=split,
        metric=measure.name,
        definition=measure.definition,
        slice=where,
        value=value,
        low=low,
        high=high,
        num_queries=num_queries,
        num_pairs=num_pairs,
    )


def together(
    measure: Measure,
    values: Sequence[str],
    value_SR: np.ndarray,
    num_queries_S: Sequence[int],
    *,
    min_queries: int,
    num_queries: int,
) -> list[Together]:
    """Macro average, worst slice and gap over the slices with at least `min_queries` queries that count, and with a
    standard error.

    `num_queries` are those of all slices. Fewer than two such slices say nothing.
    """
    large = [
        s
        for s, num in enumerate(num_queries_S)
        if num >= min_queries and np.isfinite(value_SR[s, 0] + bootstrap.standard_error(value_SR[s]))
    ]
    if len(large) < 2:
        return []
    chosen = {"num_queries_S": [int(num_queries_S[s]) for s in large], "scale": measure.scale}
    mean = group.macro_interval(value_SR[large], LEVEL, num_queries=num_queries, **chosen)
    made = [Together(measure=_macro(measure, len(large), min_queries), ends=mean)]
    if (
        found := group.extremes(value_SR[large], LEVEL, size_S=chosen["num_queries_S"], better=measure.better, **chosen)
    ) is None:
        return made
    worst, best = large[found.worst], large[found.best]
    ends = (found.worst_value, found.worst_low, found.worst_high)
    made.append(Together(measure=_worst(measure, values[worst]), ends=ends, where=worst))
    ends = (found.gap, found.gap_low, found.gap_high)
    return [*made, Together(measure=_gap(measure, values[worst], values[best]), ends=ends)]


def lift(measure: Measure) -> Measure:
    """Value less that of a random order."""
    definition = f"Value less that of a random order, both on the same resampled queries. {measure.definition}"
    return replace(measure, name=f"lift {measure.name}", definition=definition, scale="paired")


def difference(measure: Measure) -> Measure:
    """Tail less head."""
    definition = f"Tail less head, both under the same resampling. {measure.definition}"
    return replace(measure, name=f"difference {measure.name}", definition=definition, scale="linear")


def from_rest(measure: Measure) -> Measure:
    """A slice less all other rows."""
    definition = f"The slice less all other rows, both under the same resampling. {measure.definition}"
    return replace(measure, name=f"difference {measure.name}", definition=definition, scale="linear")


def adjusted(measure: Measure, num_tested: int) -> Measure:
    """Whether a slice differs from the rest, among all that were looked at."""
    definition = (
        "Two-sided p of the slice less all other rows, Student's t over resampled queries (a side that varies less "
        "than half as much as the other would at its size is given that variance), adjusted for all "
        f"{num_tested} slices of the target (Benjamini & Hochberg, 1995): if those up to 0.05 are called different, at "
        f"most 5 % of the calls are expected to be wrong. {measure.definition}"
    )
    return replace(measure, name=f"adjusted p {measure.name}", definition=definition, scale="linear")


def detectable(measure: Measure) -> Measure:
    """The smallest difference that would show."""
    definition = (
        "Smallest true difference between two rankers that these queries would show in a paired test at 5 % with 80 % "
        "power (noncentral t), if their values per query correlate by 0.5: 2.8 standard errors with many queries, "
        "more with few (Sakai, 2018)."
    )
    return replace(measure, name=f"detectable difference {measure.name}", definition=definition, scale="linear")


def one_sided(measure: Measure) -> Measure:
    """A loss without an interval."""
    return replace(measure, definition=f"{ONE_SIDED} {measure.definition}")


def at_random(measure: Measure) -> Measure:
    """What a random order gets. An AUC is 0.5 then, whatever the rows: there is nothing to be uncertain of."""
    about = f"What a random order scores in expectation. {measure.definition}"
    scale = "linear" if "auc" in measure.name else measure.scale
    return replace(measure, name=f"random {measure.name}", definition=about, scale=scale)


def _macro(measure: Measure, num_slices: int, min_queries: int) -> Measure:
    about = (
        f"Plain mean over the {num_slices} slices with at least {min_queries} queries that count and a known standard "
        f"error. {measure.definition}"
    )
    return replace(measure, name=f"macro {measure.name}", definition=about, scale="linear")


def _worst(measure: Measure, name: str) -> Measure:
    about = f"The worst slice of enough queries: '{name}'. {PICKED.format('it was')} {measure.definition}"
    return replace(measure, name=f"worst {measure.name}", definition=about)


def _gap(measure: Measure, worst: str, best: str) -> Measure:
    about = f"Distance of the worst slice, '{worst}', and the best, '{best}'. {PICKED.format('they were')}"
    return replace(measure, name=f"gap {measure.name}", definition=f"{about} {measure.definition}")
