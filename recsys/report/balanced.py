"""How good the ranking and the probabilities are: overall, in every slice, and how far slices lie apart.

Shapes: N labelled rows, Q queries, R weightings of the queries (column 0: the estimate), S slices.
"""

from dataclasses import dataclass, replace

import numpy as np

from recsys import seed
from recsys.metric import bootstrap
from recsys.metric._sample import Sample
from recsys.metric.compare import false_discovery
from recsys.metric.contrast import Contrast
from recsys.report import _exposure
from recsys.report._chart import Chart, Remark, SliceGroup
from recsys.report._evaluation import Evaluation, Record, Report
from recsys.report._measure import POOLED, Cuts, Measure, RowMeasure, choose, decisions, measures, of_grades
from recsys.report._rows import Part, TargetRows, rows, splits
from recsys.report._slices import crossed, merged
from recsys.report._slicing import OF_LABELS, OTHER, Slicing, Slicings, slicings
from recsys.report._statement import (
    LEAST_CLASSES,
    LEVEL,
    adjusted,
    at_random,
    detectable,
    difference,
    from_rest,
    lift,
    one_sided,
    record,
    together,
)

APART = ("query", "item")  # cuts whose slices are set beside all other rows
DRAWN = {"query": "ndcg@{k}", "item": "gauc", "label": "log_loss"}  # nDCG rises as the pool of items shrinks, GAUC not


@dataclass
class Balanced(Report):
    """Ranking and probability metrics overall and by slice, with macro average, worst slice and gap."""

    k: int
    num_replicates: int
    min_queries: int
    min_size: int
    slices: list[str]
    crosses: list[list[str]]
    max_values: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"report.balanced.k={self.k} must be at least 1")
        if self.num_replicates < 20:
            raise ValueError(f"report.balanced.num_replicates={self.num_replicates} is too few; use 100 or more")
        if self.min_queries < 2:
            raise ValueError(f"report.balanced.min_queries={self.min_queries} must be at least 2")
        if self.min_size < 1:
            raise ValueError(f"report.balanced.min_size={self.min_size} must be at least 1, which merges nothing")
        if wrong := [c for c in self.crosses if len(set(c)) != 2]:
            raise ValueError(f"report.balanced.crosses has {wrong[0]}; crosses are like [category,price]")
        if not 2 <= self.max_values <= 50:
            raise ValueError(f"report.balanced.max_values={self.max_values} must lie between 2 and 50")

    def records(self, evaluation: Evaluation) -> list[Record]:
        made: list[Record] = []
        for target, noun in evaluation.targets.items():
            choice = measures(self.k, noun.describe())
            cuts = None
            for split in splits(evaluation):
                part = rows(evaluation, target, split)
                cuts = cuts or choose(part.sample, noun.num_grades())  # on the main split, which comes first
                measured = choice + decisions(cuts)
                weight_QR = self._weights(evaluation, part)
                teller = _Teller(target=target, split=split, choice=measured, weight_QR=weight_QR, k=self.k)
                made += teller.overall(Part(part.sample))
                made += teller.by_grade(Part(part.sample), cuts)
                if split == evaluation.split:
                    made += teller.recommended(Part(part.sample), cuts)
                    found = self._cuts(evaluation, part).cuts
                    for cut in found:
                        made += teller.by_slice(part.sample, cut, self.min_queries)
                    made += teller.apart(part.sample, found, self.min_queries)
        return made + _exposure.records(evaluation, self.k, self.num_replicates, self._seed(evaluation))

    def charts(self, evaluation: Evaluation) -> list[Chart]:
        made: list[Chart] = list(_exposure.curves(evaluation, self.k))
        for target in evaluation.targets:
            part = rows(evaluation, target, evaluation.split)
            cuts = self._cuts(evaluation, part)
            for cut in cuts.cuts:
                group = SliceGroup(
                    target=target,
                    column=cut.column,
                    metric=DRAWN[cut.axis].format(k=self.k),
                    values=cut.values,
                    min_queries=self.min_queries,
                )
                made.append(group)
            if any(cut.note == OF_LABELS for cut in cuts.cuts):
                made.append(Remark(target=target, text=OF_LABELS))
            for column, reason in cuts.skipped.items():
                made.append(Remark(target=target, text=f"Not cut by {column.replace('_', ' ')}: {reason}."))
        if evaluation.ranks.num_rows == 0:
            made.append(Remark(target="", text="Only labelled pairs were scored: no ranks in the whole catalogue."))
        return made

    def _cuts(self, evaluation: Evaluation, part: TargetRows) -> Slicings:
        """All cuts, crosses among them, without slices of fewer than `min_size` queries."""
        found = slicings(evaluation, part, named=self.slices, max_values=self.max_values)
        every = [
            merged(c, part.sample, self.min_size, OTHER) for c in (*found.cuts, *crossed(found.cuts, self.crosses))
        ]
        skipped = {c.column: f"no two slices have {self.min_size} queries" for c in every if len(c.values) < 2}
        return Slicings(cuts=tuple(c for c in every if len(c.values) > 1), skipped=found.skipped | skipped)

    def _seed(self, evaluation: Evaluation) -> int:
        return seed.seed(evaluation.seed, "report", "queries")

    def _weights(self, evaluation: Evaluation, part: TargetRows) -> np.ndarray:
        return bootstrap.poisson_weights(part.query_ids, self.num_replicates, self._seed(evaluation))


@dataclass(frozen=True, kw_only=True)
class _Teller:
    """Turns samples of one target and split into records."""

    target: str
    split: str
    choice: list[RowMeasure]
    weight_QR: np.ndarray
    k: int

    def overall(self, part: Part) -> list[Record]:
        sample, made = part.sample, []
        for measure in self._possible(sample, "query"):
            value_R = measure.metric(sample, self.weight_QR)
            made.append(self._record(measure, part, "overall", value_R))
            if measure.pool not in ("judged", "catalogue") or measure.name in POOLED:
                continue
            random_R = measure.metric(sample.random(), self.weight_QR)
            made.append(self._record(at_random(measure), part, "overall", random_R))
            if not measure.headline:
                continue
            made.append(self._record(lift(measure), part, "overall", value_R - random_R))
            counted = part.num_queries[measure.needs]
            smallest = bootstrap.detectable_difference(value_R, num_queries=counted, level=LEVEL)
            made.append(self._record(detectable(measure), part, "overall", np.array([smallest])))
        return made

    def recommended(self, part: Part, cuts: Cuts) -> list[Record]:
        """The threshold itself, where there is one."""
        about = "The probability from which on saying yes has the highest F1 on these labels; of equals the highest."
        chosen = Measure(
            name="threshold",
            definition=about,
            needs="row",
            pool="decision",
            scale="linear",
            better="neither",
        )
        return [self._given(chosen, part, "overall", (cuts.threshold, np.nan, np.nan))]

    def by_grade(self, part: Part, cuts: Cuts) -> list[Record]:
        """Each grade as a class of its own."""
        made = []
        for g, measure in of_grades(cuts):
            assert part.sample.grade_N is not None
            sides = (part.sample.select(chosen_N) for chosen_N in (part.sample.grade_N == g, part.sample.grade_N != g))
            rarer = min(Part(side).num_queries["row"] for side in sides)
            value_R = measure.metric(part.sample, self.weight_QR)
            ends = bootstrap.interval(value_R, LEVEL, num_queries=rarer, scale=measure.scale)
            made.append(replace(self._given(measure, part, f"grade={g}", ends), num_queries=rarer))
        return made

    def by_slice(self, sample: Sample, cut: Slicing, min_queries: int) -> list[Record]:
        """Records of each slice, then of all slices together, then of the two ends where the slices have an order."""
        whole = Part(sample)
        parts = [Part(sample.select(cut.value_N == v)) for v in range(len(cut.values))]
        made = []
        for measure in self._possible(sample, cut.axis):
            if cut.axis == "item" and measure.pool != "probability":
                measure = replace(measure, definition=f"{measure.definition} Only items of the slice count as judged.")
            measure = replace(measure, definition=f"{measure.definition} {cut.note}".strip())
            value_SR = np.stack([measure.metric(part.sample, self.weight_QR) for part in parts])
            for value, part, value_R in zip(cut.values, parts, value_SR, strict=True):
                least = 0 if cut.axis == "label" else LEAST_CLASSES
                made.append(self._record(measure, part, f"{cut.column}={value}", value_R, least))
                if measure.pool == "judged" and measure.headline:
                    random_R = measure.metric(part.sample.random(), self.weight_QR[:, :1])
                    made.append(self._record(at_random(measure), part, f"{cut.column}={value}", random_R))
            if measure.better != "neither" and cut.axis != "label":
                about = [0 if _one_sided(measure, part) else part.num_queries[measure.needs] for part in parts]
                counts = {"min_queries": min_queries, "num_queries": whole.num_queries[measure.needs]}
                for said in together(measure, cut.values, value_SR, about, **counts):
                    part = whole if said.where is None else parts[said.where]
                    made.append(self._given(said.measure, part, f"{cut.column}=*", said.ends))
            if measure.pool in ("judged", "catalogue") and measure.headline:
                made += self._ends(measure, cut, parts, value_SR)
        return made

    def apart(self, sample: Sample, cuts: tuple[Slicing, ...], min_queries: int) -> list[Record]:
        """Each slice less all other rows, and which of them differ under false-discovery control."""
        tested: list[tuple[Measure, Part, str, Contrast]] = []
        for cut in (c for c in cuts if c.axis in APART):
            (measure,) = (m for m in self.choice if m.name == DRAWN[cut.axis].format(k=self.k))
            for v, value in enumerate(cut.values):
                own, rest = (Part(sample.select(chosen_N)) for chosen_N in (cut.value_N == v, cut.value_N != v))
                if min(side.num_queries[measure.needs] for side in (own, rest)) >= min_queries:
                    values = (measure.metric(side.sample, self.weight_QR) for side in (own, rest))
                    tested.append((measure, own, f"{cut.column}={value}", _contrast(measure, (own, rest), *values)))
        if not tested:
            return []
        p_S = np.array([contrast.p for *_, contrast in tested])
        made = []
        for (measure, part, where, contrast), p in zip(tested, false_discovery(p_S), strict=True):
            made.append(self._given(from_rest(measure), part, where, contrast.interval(LEVEL)))
            made.append(self._given(adjusted(measure, len(tested)), part, where, (float(p), np.nan, np.nan)))
        return made

    def _possible(self, sample: Sample, axis: str) -> list[RowMeasure]:
        """Measures that mean something for these rows."""
        out = set()
        if sample.above_N is None:
            out.add("catalogue")
        if axis == "label":
            out |= {"judged", "catalogue", "decision"}
        kept = [m for m in self.choice if m.pool not in out]
        if axis == "item":  # the ideal order of one slice's items among all others is not what a query asks for
            kept = [m for m in kept if m.name != f"ndcg@{self.k} catalogue"]
        if axis == "label":
            kept = [m for m in kept if m.name not in ("ece", "normalised_entropy")]
        return kept

    def _ends(self, measure, cut, parts, value_SR) -> list[Record]:
        """Tail minus head, paired: both under the same weights."""
        if not {"head", "tail"} <= set(cut.values):
            return []
        head, tail = cut.values.index("head"), cut.values.index("tail")
        both = min(parts[tail], parts[head], key=lambda part: part.num_queries[measure.needs])
        sides, where = (parts[tail], parts[head]), f"{cut.column}=tail vs head"
        ends = _contrast(measure, sides, value_SR[tail], value_SR[head]).interval(LEVEL)
        made = [self._given(difference(measure), both, where, ends)]
        if measure.pool == "judged":
            random = at_random(measure)
            randoms = (measure.metric(part.sample.random(), self.weight_QR) for part in sides)
            ends = _contrast(random, sides, *randoms).interval(LEVEL)
            made.append(self._given(difference(random), both, where, ends))
        return made

    def _record(
        self, measure: Measure, part: Part, where: str, value_R: np.ndarray, least: int = LEAST_CLASSES
    ) -> Record:
        num_queries = part.num_queries[measure.needs]
        ends = bootstrap.interval(value_R, LEVEL, num_queries=num_queries, scale=measure.scale)
        if _one_sided(measure, part, least):
            measure, ends = one_sided(measure), (ends[0], np.nan, np.nan)
        return self._given(measure, part, where, ends)

    def _given(self, measure: Measure, part: Part, where: str, ends: tuple[float, float, float]) -> Record:
        return record(
            measure,
            ends,
            target=self.target,
            split=self.split,
            where=where,
            num_queries=part.num_queries[measure.needs],
            num_pairs=part.num_pairs,
        )


def _contrast(measure: Measure, sides: tuple[Part, Part], own_R: np.ndarray, rest_R: np.ndarray) -> Contrast:
    """The first part less the second, by the queries that count in each."""
    own, rest = (side.num_queries[measure.needs] for side in sides)
    return Contrast(own_R=own_R, rest_R=rest_R, num_queries=(own, rest), size=(own, rest), scale=measure.scale)


def _one_sided(measure: Measure, part: Part, least: int = LEAST_CLASSES) -> bool:
    """A loss among rows of nearly one class: what the other class would cost is not seen."""
    return measure.pool == "probability" and part.num_queries["classes"] < least
