"""What other policies would have earned, from the log of the one that was in charge; or that it cannot be told.

Shapes: N impressions, U units of randomisation, R weightings of the units (column 0: the estimate).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from recsys import seed
from recsys.metric import bootstrap, policy
from recsys.metric.policy import Estimator, Log, Overlap
from recsys.report import _counterfactual
from recsys.report._chart import Chart, Remark
from recsys.report._evaluation import Evaluation, Other, Record, Report
from recsys.report._logged import POLICIES, Logged, logged

LEVEL = 0.95
LEAST_SEEN = 5  # rewards, and decisions without one, among those that the policy could have made
TARGETS = ("click", "purchase")
UNITS = "num_queries counts the units that are resampled, num_pairs the impressions."
DIAGNOSES = {
    "effective sample size": "(sum of weights)^2 / sum of their squares: as many impressions of the policy's own would "
    "tell as much (Kish, 1965).",
    "largest weight": "The most that one impression counts for: chance under the policy / logged propensity.",
    "largest share": "Share of the sum of all weights that the largest one has.",
    "mean weight": "1 in expectation if the log could have shown all that the policy would; less if it could not.",
    "replayed": "Impressions that replay keeps.",
}


@dataclass
class Policy(Report):
    """Off-policy estimates with intervals by unit, diagnosis of overlap, and refusals."""

    reads_log: ClassVar[bool] = True
    not_semantic: ClassVar[tuple[str, ...]] = ("references",)  # known by their fingerprints, wherever they lie

    policies: list[str]
    unit: str | None
    references: dict[str, str]
    min_effective: float
    clip: float
    switch: float
    prior: float
    num_replicates: int

    def __post_init__(self) -> None:
        for name in (*self.policies, *self.references):
            if name not in POLICIES:
                raise ValueError(f"report.policy: '{name}' is no known policy; use {', '.join(POLICIES)}")
        if not self.policies:
            raise ValueError(f"report.policy.policies=[] asks for nothing; use some of {', '.join(POLICIES)}")
        if absent := sorted(set(self.references) - set(self.policies)):
            raise ValueError(f"report.policy.references has {absent}, which report.policy.policies does not ask for")
        if self.min_effective < 2:
            raise ValueError(f"report.policy.min_effective={self.min_effective} must be at least 2")
        for name in ("clip", "switch", "prior"):
            if not getattr(self, name) > 0:
                raise ValueError(f"report.policy.{name}={getattr(self, name)} must be above 0")
        if self.num_replicates < 20:
            raise ValueError(f"report.policy.num_replicates={self.num_replicates} is too few; use 100 or more")

    def opens(self) -> list[str]:
        return [self.references[name] for name in sorted(self.references)]

    def records(self, evaluation: Evaluation) -> list[Record]:
        return [r for t in evaluation.targets for teller in self._tellers(evaluation, t) for r in teller.records()]

    def charts(self, evaluation: Evaluation) -> list[Chart]:
        made: list[Chart] = []
        for target in (t for t in evaluation.targets if t in TARGETS):
            log = self._logged(evaluation, target)
            if isinstance(log, str):
                made.append(Remark(target=target, text=f"No other policy was evaluated: {log}."))
        if "ranker" in self.policies and not evaluation.top.num_rows:
            made.append(
                Remark(target="", text="This run's ranking was not evaluated as a policy: it has no top items.")
            )
        return made

    def tables(self, evaluation: Evaluation, records: list[Record]) -> list[Chart]:
        references = {name: evaluation.others[uri].run for name, uri in self.references.items()}
        return _counterfactual.tables(records, self.policies, references)

    def _logged(self, evaluation: Evaluation, target: str) -> Logged | str:
        salt = seed.seed(evaluation.seed, "report", "policy") % 2**62
        return logged(evaluation, target, unit=self.unit, prior=self.prior, salt=salt)

    def _tellers(self, evaluation: Evaluation, target: str) -> list["_Teller"]:
        """One for each policy that can be asked."""
        log = self._logged(evaluation, target) if target in TARGETS else ""
        if isinstance(log, str):
            return []
        made = []
        for name in self.policies:
            if name == "ranker" and not evaluation.top.num_rows:
                continue
            rows, split = log, "all"
            if name == "ranker" and evaluation.learned:  # it has seen the labels of the others
                rows, split = _tested(log), "test"
            other = evaluation.others[self.references[name]] if name in self.references else None
            made.append(_Teller(setting=self, policy=name, target=target, split=split, rows=rows, reference=other))
        return made


def _unseen(seen: int, target: str) -> str:
    return (
        f"No interval: of the logged impressions that this policy could have made, {seen} have a {target} (or have "
        f"none, where that is rarer); {LEAST_SEEN} are needed to see how it varies."
    )


def _tested(log: Logged) -> Logged:
    queries = log.evaluation.queries
    tested = {
        q for q, s in zip(queries["query_id"].to_pylist(), queries["split"].to_pylist(), strict=True) if s == "test"
    }
    mask = np.array([q in tested for q in log.shown["query_id"].to_pylist()])
    return replace(log, shown=log.shown.filter(mask))


ESTIMATES = {  # name -> scale of its interval, definition
    "ips": ("log", "Inverse propensity score: mean of weight x reward (Horvitz & Thompson, 1952)."),
    "clipped ips": ("log", "The same with weights cut at {clip:g} (Ionides, 2008): steadier, and biased downward."),
    "snips": ("logit", "Self-normalised: sum of weight x reward / sum of weights (Swaminathan & Joachims, 2015)."),
    "direct method": (
        "linear",
        "Mean reward that a model expects under the policy: shrunken rates of item and position, cross-fitted over "
        "units. As wrong as that model, whose own error no resampling of its results shows: there is no interval.",
    ),
    "doubly robust": (
        "linear",
        "Direct method plus the mean of weight x what the model missed (Dudik, Langford & Li, 2011).",
    ),
    "switch doubly robust": (
        "linear",
        "The same, without the correction where the weight is above {switch:g} (Wang, Agarwal & Dudik, 2017): there as "
        "wrong as the model, beyond its interval.",
    ),
    "replay": (
        "logit",
        "Mean reward of the impressions that the policy could have made, each kept with probability weight / largest "
        "weight (Li et al., 2011).",
    ),
}
MAIN, DIRECT = "snips", "direct method"
Counted = Log | Logged  # what has units and impressions


@dataclass(frozen=True, kw_only=True)
class _Teller:
    """Turns the log, seen as that of one policy, into records."""

    setting: Policy
    policy: str
    target: str
    split: str
    rows: Logged
    reference: Other | None

    def records(self) -> list[Record]:
        log = self.rows.log(self.policy)
        weight_UR = self._weights(self.rows)
        overlap = policy.overlap(log)
        why = overlap.hopeless(self.setting.min_effective)
        rate_R = policy.mean_reward(log.reward_N, log.unit_N, weight_UR)
        made = self._diagnoses(log, overlap)
        for name, estimator in self._estimators().items():
            scale, about = ESTIMATES[name]
            about = about.format(clip=self.setting.clip, switch=self.setting.switch)
            value_R = estimator(log, weight_UR)
            if name == DIRECT:
                value_R = value_R[:1]
            made.append(self._estimate(name, about, log, value_R, why, scale=scale, seen=overlap.scarcer))
            if name == MAIN and self.policy != "logging":
                less = f"{about} Less the logged rate, paired."
                made.append(
                    self._estimate(f"{name} less logging", less, log, value_R - rate_R, why, seen=overlap.scarcer)
                )
            if name == MAIN and self.reference is not None:
                made += self._against(self.reference, about, log, value_R, why, overlap.scarcer)
        error = policy.snips_error(log)
        about = "Standard error of SNIPS by the delta method: numerator and denominator vary together."
        if not why and overlap.scarcer < LEAST_SEEN:
            about, error = f"{_unseen(overlap.scarcer, self.target)} {about}", None
        made.append(self._record("snips standard error", about, log, None if why else error))
        return made + self._by_position(log, weight_UR)

    def _estimators(self) -> dict[str, Estimator]:
        return {
            "ips": policy.ips,
            "clipped ips": policy.clipped_ips(self.setting.clip),
            "snips": policy.snips,
            "direct method": policy.direct_method,
            "doubly robust": policy.doubly_robust,
            "switch doubly robust": policy.switch_doubly_robust(self.setting.switch),
            "replay": policy.replay,
        }

    def _diagnoses(self, log: Log, overlap: Overlap) -> list[Record]:
        values = {
            "effective sample size": overlap.effective,
            "largest weight": overlap.largest,
            "largest share": overlap.largest_share,
            "mean weight": overlap.mean_weight,
            "replayed": float(policy.accepted(log).sum()),
        }
        return [self._record(name, DIAGNOSES[name], log, value) for name, value in values.items()]

    def _against(
        self, other: Other, about: str, log: Log, value_R: np.ndarray, why: str | None, seen: int
    ) -> list[Record]:
        """The estimate less the rate on a log that the policy itself made: two logs, resampled apart."""
        setting, name = self.setting, other.run
        elsewhere = replace(self.rows.evaluation, impressions=other.impressions, seed=seed.seed(self.rows.salt, name))
        theirs = logged(elsewhere, self.target, unit=setting.unit, prior=setting.prior, salt=self.rows.salt + 7)
        if isinstance(theirs, str):
            raise ValueError(f"report.policy.references: run '{name}': {theirs}")
        rate_R = policy.mean_reward(theirs.reward_N, theirs.unit_N, self._weights(theirs))
        told = f"Rate of {self.target} in the log of {name}, which the policy itself made; units are its."
        less = (
            f"{about} Less the rate in the log of {name}, which the policy itself made; the logs are resampled apart. "
            "Units and impressions are those of the log that has fewer units."
        )
        theirs_seen = int(min((theirs.reward_N != 0).sum(), (theirs.reward_N == 0).sum()))
        smaller = min(log, theirs, key=lambda either: len(np.unique(either.unit_N)))
        return [
            self._estimate(f"rate of {name}", told, theirs, rate_R, None, scale="logit", seen=theirs_seen),
            self._estimate(f"{MAIN} less {name}", less, smaller, value_R - rate_R, why, seen=min(seen, theirs_seen)),
        ]

    def _by_position(self, log: Log, weight_UR: np.ndarray) -> list[Record]:
        made, position_N = [], self.rows.position_N
        places = np.unique(position_N)
        for position in places if len(places) > 1 else []:
            mask_N = position_N == position
            part = replace(log, **{n: v[mask_N] for n, v in vars(log).items() if isinstance(v, np.ndarray)})
            overlap = policy.overlap(part)
            why, where = overlap.hopeless(self.setting.min_effective), f"position={position + 1}"
            name = "effective sample size"
            made.append(self._record(name, DIAGNOSES[name], part, overlap.effective, where=where))
            scale, about = ESTIMATES[MAIN]
            value_R, seen = policy.snips(part, weight_UR), overlap.scarcer
            made.append(self._estimate(MAIN, about, part, value_R, why, scale=scale, seen=seen, where=where))
        return made

    def _weights(self, rows: Logged) -> np.ndarray:
        run_seed = seed.seed(rows.evaluation.seed, "report", "units")
        return bootstrap.poisson_weights(rows.unit_ids, self.setting.num_replicates, run_seed)

    def _estimate(
        self,
        name: str,
        about: str,
        log: Counted,
        value_R: np.ndarray,
        why: str | None,
        *,
        seen: int,
        scale: str = "linear",
        where: str = "overall",
    ) -> Record:
        """A value with its interval, or None and the reason in the definition."""
        if why is not None:
            return self._record(name, f"Not concluded: {why}. {about}", log, None, where=where)
        num_units = len(np.unique(log.unit_N))
        value, low, high = bootstrap.interval(value_R, LEVEL, num_queries=num_units, scale=scale)
        if seen < LEAST_SEEN:
            about, low, high = f"{_unseen(seen, self.target)} {about}", np.nan, np.nan
        return self._record(name, about, log, value, low, high, where=where)

    def _record(
        self, name: str, about: str, log: Counted, value: float | None, low=np.nan, high=np.nan, where: str = "overall"
    ) -> Record:
        ends = [None if v is None or not np.isfinite(v) else float(v) for v in (value, low, high)]
        return Record(
            report="policy",
            target=self.target,
            split=self.split,
            metric=f"{self.policy} {name}",
            definition=f"{about} {UNITS}",
            slice=where,
            value=ends[0],
            low=ends[1],
            high=ends[2],
            num_queries=len(np.unique(log.unit_N)),
            num_pairs=len(log.unit_N),
        )
