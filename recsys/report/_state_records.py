"""Records of a balanced report from a state: the same numbers as from the rows, with what is proven about them.

Shapes: S slices of the state, R weightings of the queries (column 0: the estimate).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from recsys.metric import bootstrap
from recsys.metric.contrast import Contrast
from recsys.metric.state import ADDED, Cut, State
from recsys.metric.state_estimate import HISTOGRAM, Estimates, SliceEstimate
from recsys.report._evaluation import Record
from recsys.report._measure import Measure, measures
from recsys.report._slicing import OTHER, PARTS
from recsys.report._statement import (
    LEAST_CLASSES,
    LEVEL,
    at_random,
    detectable,
    difference,
    lift,
    one_sided,
    record,
    together,
)

COUNTED = {"row": "queries", "gain": "gaining", "positive": "positive", "both": "both", "classes": "classes"}
RANDOM = ("ndcg", "mrr", "recall")
SAME = (  # names that the measures of a report have in a state too
    *("mrr", "auc", "gauc", "log_loss", "brier", "ece", "mean_probability", "positive_rate"),
    *("map", "gauc_by_positives", "gauc_unweighted", "average_precision", "ks", "normalised_entropy"),
)
RATIO = Measure(
    name="calibration_ratio",
    definition="Sum of probabilities over number of positives: 1 is right, 2 promises twice what happens.",
    needs="row",
    pool="rate",
    scale="log",
    better="neither",
)


def fold_small(state: State, min_size: int) -> tuple[State, dict[str, int]]:
    """The state without slices of fewer than `min_size` queries (k-anonymity), and how many went, by column.

    Head, torso and tail stay, being what is compared. In a cut by query the others become one, 'other', together with
    the next smallest until that is large enough. Slices of items or labels share queries, so their rankings cannot be
    added: there the small ones are left out.
    """
    queries_S = Estimates(state, 1).count("queries")
    places, cuts, gone = [[0]], [], {}
    for cut in state.layout.cuts:
        start = state.layout.first[cut.column]
        size_V = queries_S[start : start + len(cut.values)]
        order = [v for v in np.argsort(size_V, kind="stable").tolist() if size_V[v]]
        small = [] if set(cut.values) <= set(PARTS) else [v for v in order if size_V[v] < min_size]
        if cut.axis == "query":
            while small and len(small) < len(order) and size_V[small].sum() < min_size:
                small.append(order[len(small)])
            if OTHER in cut.values and small and cut.values.index(OTHER) not in small:
                small.append(cut.values.index(OTHER))
        kept = [v for v in range(len(cut.values)) if size_V[v] and v not in small]
        parts = [[start + v] for v in kept]
        values = [cut.values[v] for v in kept]
        if small and cut.axis == "query" and size_V[small].sum() >= min_size:
            parts.append([start + v for v in small])
            values.append(OTHER)
        if small:
            gone[cut.column] = len(small)
        if values:
            places += parts
            cuts.append(Cut(column=cut.column, axis=cut.axis, values=tuple(values)))
    added = {}
    for name in ADDED:
        array = getattr(state, name)
        axis = 1 if name in ("sum_MSG", "bin_3SGB") else 0
        added[name] = np.stack([array.take(part, axis=axis).sum(axis=axis) for part in places], axis=axis)
    return replace(state, layout=replace(state.layout, cuts=tuple(cuts)), **added), gone


def records(
    state: State,
    *,
    target: str,
    split: str,
    gain: str,
    num_replicates: int,
    min_queries: int,
    notes: dict[str, str],
) -> list[Record]:
    """All records of a state: overall, every slice, and slices together where they have at least `min_queries`. `gain`
    is the sentence of the target, `notes` are those to the figures of a column's slices."""
    estimates = Estimates(state, num_replicates)
    teller = _Teller(target=target, split=split, estimates=estimates, min_queries=min_queries, notes=notes)
    measured = known(state.layout.k, gain, state.layout.num_bins)
    made = [record for measure, name in measured for record in teller.tell(measure, name)]
    return sorted(made, key=lambda r: r.slice != "overall")


def known(k: int, gain: str, num_bins: int) -> list[tuple[Measure, str]]:
    """Measures of a state and the name it has there."""
    names = {f"{name}@{k}": name for name in ("ndcg", "recall", "precision", "hit_rate")}
    names |= {name: name for name in SAME}
    named: dict[str, Measure] = {measure.name: measure for measure in measures(k, gain, num_bins)}
    return [*((named[name], inside) for name, inside in names.items()), (RATIO, RATIO.name)]


@dataclass(frozen=True, kw_only=True)
class _Teller:
    """Turns the estimates of one target and split into records."""

    target: str
    split: str
    estimates: Estimates
    min_queries: int
    notes: dict[str, str]

    def tell(self, measure: Measure, name: str) -> list[Record]:
        found, cuts = self.estimates.of(name), self.estimates.state.layout.cuts
        random = self.estimates.of(f"random {name}").value_SR if name in RANDOM else None
        if name in ("auc", "gauc"):
            random = np.where(np.isnan(found.value_SR), np.nan, 0.5)
        made = [self._record(measure, 0, "overall", found.value_SR[0], found)]
        if random is not None:
            made += self._against_random(measure, found, random)
        for cut in cuts:
            if cut.axis == "label" and (measure.pool not in ("probability", "rate") or name == "ece"):
                continue
            made += self._by_slice(measure, name, found, random, cut)
        return made

    def _against_random(self, measure: Measure, found: SliceEstimate, random_SR: np.ndarray) -> list[Record]:
        counted = self._num_queries(measure, 0)
        smallest = bootstrap.detectable_difference(found.value_SR[0], num_queries=counted, level=LEVEL)
        return [
            self._record(at_random(measure), 0, "overall", random_SR[0]),
            self._record(lift(measure), 0, "overall", found.value_SR[0] - random_SR[0]),
            self._record(detectable(measure), 0, "overall", np.array([smallest])),
        ]

    def _by_slice(self, measure: Measure, name: str, found: SliceEstimate, random_SR, cut: Cut) -> list[Record]:
        start, made = self.estimates.state.layout.first[cut.column], []
        if cut.axis == "item" and measure.pool != "probability":
            measure = replace(measure, definition=f"{measure.definition} Only items of the slice count as judged.")
        measure = replace(measure, definition=f"{measure.definition} {self.notes.get(cut.column, '')}".strip())
        for v, value in enumerate(cut.values):
            where = f"{cut.column}={value}"
            made.append(self._record(measure, start + v, where, found.value_SR[start + v], found))
            if random_SR is not None:
                made.append(self._record(at_random(measure), start + v, where, random_SR[start + v, :1]))
        if measure.better != "neither" and cut.axis != "label":
            stop, num_S = start + len(cut.values), self._resampled(measure)
            counts = {"min_queries": self.min_queries, "num_queries": self._num_queries(measure, 0)}
            for said in together(measure, cut.values, found.value_SR[start:stop], num_S[start:stop], **counts):
                place = 0 if said.where is None else start + said.where
                made.append(self._given(said.measure, place, f"{cut.column}=*", said.ends))
        if {"head", "tail"} <= set(cut.values) and measure.pool == "judged":
            head, tail = (start + cut.values.index(part) for part in ("head", "tail"))
            both = min(head, tail, key=lambda s: self._count(measure)[s])
            num = (self._num_queries(measure, tail), self._num_queries(measure, head))
            apart = Contrast(
                own_R=found.value_SR[tail], rest_R=found.value_SR[head], num_queries=num, size=num, scale=measure.scale
            )
            made.append(self._given(difference(measure), both, f"{cut.column}=tail vs head", apart.interval(LEVEL)))
        return made

    def _count(self, measure: Measure) -> np.ndarray:
        return self.estimates.count(COUNTED[measure.needs])

    def _num_queries(self, measure: Measure, s: int) -> int:
        """Behind an interval: no more than there are groups that are resampled."""
        return min(int(self._count(measure)[s]), int(self.estimates.num_groups_S[s]))

    def _resampled(self, measure: Measure) -> list[int]:
        """Behind the interval of each slice; none where a loss is seen of nearly one class."""
        return [
            0 if self._one_sided(measure, s) else self._num_queries(measure, s)
            for s in range(len(self.estimates.num_groups_S))
        ]

    def _one_sided(self, measure: Measure, s: int) -> bool:
        if measure.pool != "probability" or s in self._labels:
            return False
        return bool(self.estimates.count("classes")[s] < LEAST_CLASSES)

    @cached_property
    def _labels(self) -> set[int]:
        """Slices of labels, each of which is of one class."""
        layout = self.estimates.state.layout
        return {
            layout.first[cut.column] + v for cut in layout.cuts if cut.axis == "label" for v in range(len(cut.values))
        }

    def _record(
        self, measure: Measure, s: int, where: str, value_R: np.ndarray, found: SliceEstimate | None = None
    ) -> Record:
        """A record whose interval holds the bracket as well, where the metric is read off a histogram."""
        num_queries = self._num_queries(measure, s)
        value, low, high = bootstrap.interval(value_R, LEVEL, num_queries=num_queries, scale=measure.scale)
        if found is not None and measure.name in HISTOGRAM:
            least, most = float(found.low_S[s]), float(found.high_S[s])
            low, high = max(low - (value - least), 0.0), min(high + (most - value), 1.0)
            about = (
                f"{measure.definition} Counted on cells of scores: of these rows it lies in [{least:.6f}, {most:.6f}]."
            )
            measure = replace(measure, definition=about)
        if self._one_sided(measure, s):
            measure, low, high = one_sided(measure), np.nan, np.nan
        return self._given(measure, s, where, (value, low, high))

    def _given(self, measure: Measure, s: int, where: str, ends: tuple[float, float, float]) -> Record:
        return record(
            measure,
            ends,
            target=self.target,
            split=self.split,
            where=where,
            num_queries=int(self._count(measure)[s]),
            num_pairs=int(self.estimates.count("pairs")[s]),
        )
