"""An A/B experiment: what each arm did, how far arms lie apart, and whether the split was the one that was planned.

Shapes: N labelled rows, U units (users), A arms.
"""

from dataclasses import dataclass

import numpy as np

from recsys.metric import experiment
from recsys.metric.experiment import Arm, Estimate
from recsys.report import _arms
from recsys.report._assigned import Assigned, assigned
from recsys.report._chart import Chart
from recsys.report._evaluation import Evaluation, Record, Report

LEVEL = 0.95
UNITS = "num_queries counts units, num_pairs rows."
RATES = {
    "rate": "Share of observations that are positive: sum over units of positives / sum of observations.",
    "per unit": "Positives per unit: mean over the units that were observed.",
}
DELTA = "Its error is that of independent units, by the delta method (Deng, Knoblich & Lu, 2018)."
ALIKE = "Where fewer than 20 units of an arm differ from most, its error is at least what it would be with equal arms."
PLAIN = f"Arm less control. For one look at a size fixed beforehand. {DELTA} {ALIKE}"
RELATIVE = f"Arm / control - 1, by the delta method. For one look at a size fixed beforehand. {ALIKE}"
VALID = (
    "Arm less control, with an interval that holds at every look at once: normal-mixture confidence sequence (mixture "
    "SPRT; Johari et al., 2017), narrowest at {planned:,} units. " + ALIKE
)
ADJUSTED = (
    "Arm less control, less what the covariate '{name}' explains (CUPED; Deng et al., 2013): {kept}. For one "
    "look at a size fixed beforehand."
)
RATIO = (
    "Pearson's chi-square test that units fell into arms as planned (sample ratio mismatch; Fabijan et al., 2019). "
    "Below 0.001 something lost or moved units, and nothing is concluded."
)


@dataclass
class Experiment(Report):
    """Ratio metrics of arms by unit, differences with intervals for one look and for any number of looks, CUPED."""

    arm: str
    unit: str
    control: str
    planned: dict[str, float]
    covariate: str | None
    planned_units: int

    def __post_init__(self) -> None:
        if wrong := {name: share for name, share in self.planned.items() if not 0 < share < np.inf}:
            raise ValueError(f"report.experiment.planned={wrong} must be above 0: leave out arms that are not planned")
        if self.planned and self.control not in self.planned:
            raise ValueError(f"report.experiment.planned has no share for the control '{self.control}'; add it")
        if self.planned_units < 1:
            raise ValueError(f"report.experiment.planned_units={self.planned_units} must be at least 1")

    def records(self, evaluation: Evaluation) -> list[Record]:
        return [r for target in evaluation.targets for r in self._of_target(evaluation, target)]

    def tables(self, evaluation: Evaluation, records: list[Record]) -> list[Chart]:
        return _arms.tables(records, self.control, self.unit)

    def _of_target(self, evaluation: Evaluation, target: str) -> list[Record]:
        rows = assigned(
            evaluation, target, arm=self.arm, unit=self.unit, covariate=self.covariate, control=self.control
        )
        if rows is None:
            return []
        planned = self.planned or dict.fromkeys(rows.names, 1.0)
        if set(planned) != set(rows.names):
            raise ValueError(
                f"report.experiment: {target} has units in the arms {list(rows.names)}, planned are {sorted(planned)}; "
                "an arm without a unit cannot be compared: correct report.experiment.planned or the column of the arms"
            )
        teller = _Teller(setting=self, target=target, rows=rows)
        counts = [rows.num_units(name) for name in rows.names]
        p = experiment.sample_ratio(counts, [planned[name] for name in rows.names])
        why = None
        if p < experiment.SAMPLE_RATIO_P:
            split = ", ".join(f"{name}: {num:,}" for name, num in zip(rows.names, counts, strict=True))
            shares = ", ".join(f"{name}: {planned[name] / sum(planned.values()):.3g}" for name in rows.names)
            why = f"units fell into the arms as {split}, where shares of {shares} were planned (p {p:.1e})"
        made = [teller.count("sample ratio p", RATIO, p)]
        made += [teller.count(f"units of {n}", "Units of the arm.", float(rows.num_units(n))) for n in rows.names]
        for rate, about in RATES.items():
            arms = {name: rows.arm(name, per_unit=rate == "per unit") for name in rows.names}
            for name, arm in arms.items():
                made.append(teller.estimate(f"{rate} of {name}", f"{about} {DELTA}", [name], experiment.ratio(arm)))
            for name in (n for n in rows.names if n != self.control):
                made += teller.differences(f"{rate} {name} vs {self.control}", about, name, arms, why)
        return made


@dataclass(frozen=True, kw_only=True)
class _Teller:
    """Turns estimates on one target into records."""

    setting: Experiment
    target: str
    rows: Assigned

    def differences(self, name: str, about: str, arm: str, arms: dict[str, Arm], why: str | None) -> list[Record]:
        treatment, control = arms[arm], arms[self.setting.control]
        both = [arm, self.setting.control]
        plain = experiment.difference(treatment, control)
        planned = self.setting.planned_units
        ends = experiment.always_valid(
            plain, num_units=treatment.num_units + control.num_units, planned_units=planned, level=LEVEL
        )
        relative = experiment.relative_difference(treatment, control)
        made = [
            self.estimate(f"difference {name}", f"{PLAIN} {about}", both, plain, why=why),
            self.estimate(f"relative difference {name}", f"{RELATIVE} {about}", both, relative, why=why),
            self.estimate(
                f"always-valid difference {name}",
                f"{VALID.format(planned=planned)} {about}",
                both,
                plain,
                ends,
                why=why,
            ),
        ]
        if self.setting.covariate is not None:
            adjusted = experiment.cuped(treatment, control)
            share = adjusted.variance_kept
            kept = f"{share:.0%} of the variance is left" if np.isfinite(share) else "there was no variance to explain"
            told = ADJUSTED.format(name=self.setting.covariate, kept=kept)
            made.append(
                self.estimate(f"cuped difference {name}", f"{told} {about}", both, adjusted.difference, why=why)
            )
        return made

    def estimate(
        self,
        metric: str,
        about: str,
        arms: list[str],
        estimate: Estimate,
        ends: tuple[float, float] | None = None,
        why: str | None = None,
    ) -> Record:
        """A value with its interval, or None and the reason in the definition."""
        if why is not None:
            return self._record(metric, f"Not concluded: {why}. {about}", arms, None, None, None)
        low, high = estimate.interval(LEVEL) if ends is None else ends
        if not sum(self.rows.num_positive(name) for name in arms):
            about, low, high = f"No {self.target} was seen, so there is no interval. {about}", np.nan, np.nan
        elif np.isfinite(estimate.value) and not np.isfinite(low):
            about = f"No interval: the units are too few, or none differs from another. {about}"
        return self._record(metric, about, arms, *(v if np.isfinite(v) else None for v in (estimate.value, low, high)))

    def count(self, metric: str, about: str, value: float) -> Record:
        return self._record(metric, about, list(self.rows.names), value, None, None)

    def _record(self, metric: str, about: str, arms: list[str], value, low, high) -> Record:
        return Record(
            report="experiment",
            target=self.target,
            split="all",
            metric=metric,
            definition=f"{about} {UNITS}",
            slice="overall",
            value=value,
            low=low,
            high=high,
            num_queries=sum(self.rows.num_units(name) for name in arms),
            num_pairs=sum(self.rows.num_rows(name) for name in arms),
        )
