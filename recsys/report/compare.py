"""Whether this run is better than others, on the queries and labels that all of them share.

Shapes: N shared rows, Q shared queries, R weightings of the queries (column 0: the estimate), S slices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recsys import seed
from recsys.metric import QueryMean, bootstrap, compare
from recsys.metric._sample import Sample
from recsys.report import _comparison
from recsys.report._chart import Chart, Remark
from recsys.report._evaluation import Evaluation, Record, Report
from recsys.report._measure import Measure, RowMeasure, measures
from recsys.report._paired import NothingShared, Paired, paired
from recsys.report._rows import Part, TargetRows
from recsys.report._slicing import slicings

LEVEL = 0.95
HEADLINE = ("ndcg@{k}", "mrr", "recall@{k}", "auc", "gauc", "log_loss", "brier", "ece")
CATALOGUE = ("ndcg@{k} catalogue", "mrr catalogue", "recall@{k} catalogue", "auc catalogue")
DRAWN = {"query": "ndcg@{k}", "item": "gauc"}  # as in the balanced report: nDCG rises as the pool of items shrinks

DIFFERENCE = "This run less {other}, both under the same resampled queries, on the labelled pairs that all runs share."
CHANCE = (
    "Randomisation test, two-sided: share of the ways to swap the two runs query by query in which the sum of "
    "differences is at least as large (Fisher, 1935). Up to 14 queries that differ, all ways are counted; else {num} "
    "are drawn."
)
ADJUSTED = (
    "p of the slice's randomisation test, adjusted for the {num} slices tested against {other}: among all slices "
    "called different below 0.05, at most one in twenty is expected to be wrong (Benjamini & Hochberg, 1995)."
)


@dataclass
class Compare(Report):
    """Paired differences with intervals, a randomisation test, wins and losses by query and slice, and regressions."""

    not_semantic: ClassVar[tuple[str, ...]] = ("runs",)  # known by their fingerprints, wherever they lie

    runs: list[str]
    k: int
    num_replicates: int
    num_flips: int
    min_queries: int
    slices: list[str]
    max_values: int
    num_examples: int

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError(
                "report.compare.runs=[] names nothing to compare with; give run folders, such as "
                "report.compare.runs=[runs/first]"
            )
        for name, least in (("k", 1), ("num_replicates", 20), ("num_flips", 100), ("min_queries", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"report.compare.{name}={getattr(self, name)} must be at least {least}")
        if not 2 <= self.max_values <= 50:
            raise ValueError(f"report.compare.max_values={self.max_values} must lie between 2 and 50")
        if self.num_examples < 0:
            raise ValueError(f"report.compare.num_examples={self.num_examples} must not be negative")

    def opens(self) -> list[str]:
        return self.runs

    def records(self, evaluation: Evaluation) -> list[Record]:
        return [r for teller in self._tellers(evaluation) for r in teller.records()]

    def charts(self, evaluation: Evaluation) -> list[Chart]:
        tellers = self._tellers(evaluation)
        apart = [t for t in evaluation.targets if t not in {teller.target for teller in tellers}]
        made: list[Chart] = [
            Remark(target=t, text="Not compared: the runs share no label of this kind.") for t in apart
        ]
        for teller in tellers if self.num_examples else []:
            for other in teller.both.others:
                ends = (teller.both, teller.target, self.k, other, self.num_examples)
                made.append(_comparison.regressions(evaluation, *ends))
        return made

    def tables(self, evaluation: Evaluation, records: list[Record]) -> list[Chart]:
        names = sorted(evaluation.others[uri].run for uri in self.runs)
        made: list[Chart] = []
        targets = list(dict.fromkeys(r.target for r in records))
        for target in targets:
            better = {m.name: m.better for m in measures(self.k, evaluation.targets[target].describe())}
            own = [r for r in records if r.target == target]
            made += [t for other in names for t in _comparison.tables(own, target, other, better)]
        return made + [_comparison.finding(records, t, o, f"ndcg@{self.k}") for t in targets[:1] for o in names]

    def _tellers(self, evaluation: Evaluation) -> list["_Teller"]:
        """One for each target with shared labels. Raises ValueError where there is none."""
        others, made, reasons = [evaluation.others[uri] for uri in self.runs], [], []
        for target in evaluation.targets:
            try:
                both = paired(evaluation, others, target)
                made.append(_Teller(setting=self, evaluation=evaluation, target=target, both=both))
            except NothingShared as nothing:
                reasons.append(nothing)
        if not made and reasons:
            raise reasons[0]
        return made


@dataclass(frozen=True, kw_only=True)
class _Teller:
    """Turns the shared rows of one target into records."""

    setting: Compare
    evaluation: Evaluation
    target: str
    both: Paired

    def records(self) -> list[Record]:
        weight_QR = bootstrap.poisson_weights(
            self.both.ours.query_ids, self.setting.num_replicates, seed.seed(self.evaluation.seed, "report", "queries")
        )
        made = self._counts()
        part = Part(self.both.ours.sample)
        for measure in self._measures():
            ours_R = measure.metric(part.sample, weight_QR)
            made.append(self._record(measure.name, measure.definition, part, measure, ours_R, scale=measure.scale))
            for other, theirs in self.both.others.items():
                theirs_R = measure.metric(theirs.sample, weight_QR)
                name, about = f"{measure.name} of {other}", f"{other} on the shared pairs. {measure.definition}"
                made.append(self._record(name, about, part, measure, theirs_R, scale=measure.scale))
                made.append(self._less(measure, part, other, ours_R - theirs_R))
        for other, theirs in self.both.others.items():
            made += self._by_query(theirs, other, part)
            made += self._by_slice(theirs, other, weight_QR)
        return made

    def _counts(self) -> list[Record]:
        """What is compared, and what is left out and why."""
        part = Part(self.both.ours.sample)
        counts = {"shared pairs": self.both.num_shared} | {
            f"pairs {reason}": number for reason, number in self.both.left_out.items()
        }
        rows = next(m for m in self._measures() if m.needs == "row")
        about = "Labelled pairs of queries that no run learnt from; shared: their labels are the same in all runs."
        return [self._record(name, about, part, rows, np.array([float(n)])) for name, n in counts.items()]

    def _measures(self) -> list[RowMeasure]:
        k, noun = self.setting.k, self.evaluation.targets[self.target]
        names = [name.format(k=k) for name in HEADLINE + (CATALOGUE if self.both.same_catalogue else ())]
        return [m for m in measures(k, noun.describe()) if m.name in names]

    def _by_query(self, theirs: TargetRows, other: str, part: Part) -> list[Record]:
        """The randomisation test of each mean over queries, and who wins how many of them."""
        tested = [(m, m.metric) for m in self._measures() if isinstance(m.metric, QueryMean)]
        difference_SQ = [_difference(metric, part.sample, theirs.sample) for _, metric in tested]
        p_S = self._p([d * metric.mass(part.sample) for d, (_, metric) in zip(difference_SQ, tested, strict=True)])
        about, made = CHANCE.format(num=f"{self.setting.num_flips:,}"), []
        for (measure, _), difference_Q, p in zip(tested, difference_SQ, p_S, strict=True):
            known = p if np.isfinite(difference_Q).any() else np.nan
            made.append(self._record(f"p {measure.name} vs {other}", about, part, measure, np.array([known])))
            made += self._wins(measure, difference_Q, other, part, "overall")
        return made

    def _by_slice(self, theirs: TargetRows, other: str, weight_QR: np.ndarray) -> list[Record]:
        """Differences in every slice with enough queries; one family of tests."""
        found = list(self._large_slices(theirs))
        if not found:
            return []
        metrics = [m.metric for m, *_ in found if isinstance(m.metric, QueryMean)]
        difference_SQ = [_difference(n, o, t) for n, (_, _, o, t) in zip(metrics, found, strict=True)]
        mass_SQ = [n.mass(ours) for n, (_, _, ours, _) in zip(metrics, found, strict=True)]
        p_S = compare.false_discovery(self._p([d * m for d, m in zip(difference_SQ, mass_SQ, strict=True)]))
        about, made = ADJUSTED.format(num=len(found), other=other), []
        for (measure, where, ours, their), difference_Q, p in zip(found, difference_SQ, p_S, strict=True):
            part, value_R = Part(ours), measure.metric(ours, weight_QR) - measure.metric(their, weight_QR)
            made.append(self._less(measure, part, other, value_R, where=where))
            name = f"adjusted p {measure.name} vs {other}"
            made.append(self._record(name, about, part, measure, np.array([p]), where=where))
            made += self._wins(measure, difference_Q, other, part, where)
        return made

    def _large_slices(self, theirs: TargetRows) -> Iterator[tuple[RowMeasure, str, Sample, Sample]]:
        """Measure, slice, and the rows of both runs, where enough queries count."""
        sample, choice = self.both.ours.sample, {m.name: m for m in self._measures()}
        setting = self.setting
        cuts = slicings(self.evaluation, self.both.ours, named=setting.slices, max_values=setting.max_values).cuts
        for cut in (c for c in cuts if c.axis in DRAWN):
            measure = choice[DRAWN[cut.axis].format(k=setting.k)]
            for value, name in enumerate(cut.values):
                part = sample.select(cut.value_N == value)
                if Part(part).num_queries[measure.needs] >= setting.min_queries:
                    yield measure, f"{cut.column}={name}", part, theirs.sample.select(cut.value_N == value)

    def _wins(self, measure: Measure, difference_Q: np.ndarray, other: str, part: Part, where: str) -> list[Record]:
        counts = compare.wins(difference_Q if measure.better == "higher" else -difference_Q)
        whose = {"wins": "this run is better", "losses": f"{other} is better", "ties": "both are equal"}
        return [
            self._record(
                f"{name} {measure.name} vs {other}",
                f"Shared queries on which {who}. {measure.definition}",
                part,
                measure,
                np.array([float(number)]),
                where=where,
            )
            for (name, who), number in zip(whose.items(), counts, strict=True)
        ]

    def _less(self, measure: Measure, part: Part, other: str, value_R: np.ndarray, where: str = "overall") -> Record:
        about = f"{DIFFERENCE.format(other=other)} {measure.definition}"
        name = f"difference {measure.name} vs {other}"
        return self._record(name, about, part, measure, value_R, scale="paired", where=where)

    def _p(self, difference_SQ: list[np.ndarray]) -> np.ndarray:
        hash_Q = seed.hash_ids(self.both.ours.query_ids, seed.seed(self.evaluation.seed, "report", "flips"))
        return compare.sign_flip(np.stack(difference_SQ, axis=1), hash_Q, num_flips=self.setting.num_flips)

    def _record(
        self,
        name: str,
        definition: str,
        part: Part,
        measure: Measure,
        value_R: np.ndarray,
        *,
        scale: str = "linear",
        where: str = "overall",
    ) -> Record:
        num_queries = part.num_queries[measure.needs]
        ends = bootstrap.interval(value_R, LEVEL, num_queries=num_queries, scale=scale)
        value, low, high = (float(v) if np.isfinite(v) else None for v in ends)
        return Record(
            report="compare",
            target=self.target,
            split=self.both.split,
            metric=name,
            definition=definition,
            slice=where,
            value=value,
            low=low,
            high=high,
            num_queries=num_queries,
            num_pairs=part.num_pairs,
        )


def _difference(metric: QueryMean, ours: Sample, theirs: Sample) -> np.ndarray:
    """difference_Q, NaN where a query has no value."""
    return metric.value(ours) - metric.value(theirs)
