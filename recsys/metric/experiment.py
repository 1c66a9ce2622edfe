"""Randomised experiments: two arms, units (users) that were assigned to one of them, rows that belong to units.

Shapes: N rows, U units. A metric is a ratio: sum of amounts / sum of chances (clicks per impression, orders per user);
units are independent, their rows are not.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit
from scipy.stats import chi2

NO_SPREAD = 1e-12  # a standard error up to here is rounding
FEW_UNITS = 20  # that differ: from there on an arm shows its own variance
SAMPLE_RATIO_P = 0.001  # below it, the split is not the one that was planned


@dataclass(frozen=True, kw_only=True)
class Arm:
    """The units of one arm."""

    amount_U: np.ndarray  # float64: what is counted, e.g. clicks
    chance_U: np.ndarray  # float64, at least 0: out of what, e.g. impressions; all 1 for a mean per unit
    covariate_U: np.ndarray | None = None  # known before the experiment began

    def __post_init__(self) -> None:
        for name, value_U in vars(self).items():
            if value_U is not None and (wrong := np.flatnonzero(~np.isfinite(value_U))).size:
                raise ValueError(f"{name} is {value_U[wrong[0]]} at unit {wrong[0]}; give a finite number")
        if (wrong := np.flatnonzero(self.chance_U < 0)).size:
            raise ValueError(f"chance_U is {self.chance_U[wrong[0]]} at unit {wrong[0]}; it must not be negative")

    @property
    def num_units(self) -> int:
        return len(self.amount_U)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its standard error; NaN where undefined. A standard error of 0 is none either."""

    value: float
    error: float
    freedom: float = math.inf  # degrees of freedom of the error

    def interval(self, level: float) -> tuple[float, float]:
        """Student's, for one look at a size fixed beforehand. NaN with an error of 0: that nothing varied among these
        units makes nothing certain."""
        if not self.error > NO_SPREAD:
            return math.nan, math.nan
        half = float(stdtrit(self.freedom, 0.5 + level / 2)) * self.error
        return self.value - half, self.value + half


def ratio(arm: Arm) -> Estimate:
    """sum of amounts / sum of chances, its error by the delta method over units (Deng, Knoblich & Lu, 2018).

    error^2 = sum_U (amount - value * chance)^2 * U / (U - 1) / (sum of chances)^2.
    """
    total = arm.chance_U.sum()
    if total <= 0:
        return Estimate(value=math.nan, error=math.nan)
    value = float(arm.amount_U.sum() / total)
    return Estimate(value=value, error=_error(linearised(arm)), freedom=arm.num_units - 1)


def linearised(arm: Arm) -> np.ndarray:
    """influence_U with mean 0: the ratio behaves like value + mean of it (chance in units of its mean)."""
    value = arm.amount_U.sum() / arm.chance_U.sum()
    return (arm.amount_U - value * arm.chance_U) / arm.chance_U.mean()


def difference(treatment: Arm, control: Arm) -> Estimate:
    """Ratio of the treatment less that of the control; degrees of freedom by Welch (1947).

    An arm in which little happened shows little of how it varies: 0 of 50 seems certain. Where fewer than 20 of its
    units, and less than half, differ from the commonest, its error is at least what it would be if the arms were alike:
    that of all units of both, at the arm's size (the variance under the hypothesis, as in score tests; Farrington &
    Manning, 1990).
    """
    one, other = _cautious(treatment, control), _cautious(control, treatment)
    return _combined(one.value - other.value, one, other)


def relative_difference(treatment: Arm, control: Arm) -> Estimate:
    """treatment / control - 1, by the delta method: the control's rate varies too. Errors as in `difference`."""
    one, other = _cautious(treatment, control), _cautious(control, treatment)
    if not other.value > 0:
        return Estimate(value=math.nan, error=math.nan)
    lift = one.value / other.value
    scaled = [replace(e, error=e.error * by / other.value) for e, by in ((one, 1.0), (other, lift))]
    return _combined(lift - 1, *scaled)


@dataclass(frozen=True, kw_only=True)
class Adjusted:
    """A difference freed from what was known before."""

    difference: Estimate
    slope: float  # theta
    variance_kept: float  # variance after / variance before: 1 - squared correlation, about


def cuped(treatment: Arm, control: Arm) -> Adjusted:
    """CUPED (Deng, Xu, Kohavi & Walker, 2013): difference - theta * (difference of the covariate's means).

    theta = cov / var within arms, of the linearised ratio and the covariate. The covariate must not depend on the arm;
    what happened before the experiment does not. A covariate that never varies changes nothing.
    """
    if treatment.covariate_U is None or control.covariate_U is None:
        raise ValueError("cuped needs covariate_U of both arms: a number per unit from before the experiment")
    plain, covariates = difference(treatment, control), (treatment.covariate_U, control.covariate_U)
    arms = [(linearised(a), x - x.mean()) for a, x in zip((treatment, control), covariates, strict=True)]
    varied = sum(float((x_U**2).sum()) for _, x_U in arms)
    theta = sum(float((y_U * x_U).sum()) for y_U, x_U in arms) / varied if varied > 0 else 0.0
    shift = theta * float(treatment.covariate_U.mean() - control.covariate_U.mean())
    errors = [_error(y_U - theta * x_U) for y_U, x_U in arms]
    shown = math.hypot(*(_error(y_U) for y_U, _ in arms))
    kept = (math.hypot(*errors) / shown) ** 2 if shown > 0 else math.nan
    if shown < plain.error:  # what an arm does not show of its variance, the covariate cannot explain
        error = math.sqrt(math.hypot(*errors) ** 2 + plain.error**2 - shown**2)
        estimate = Estimate(value=plain.value - shift, error=error, freedom=plain.freedom)
    else:
        parts = [Estimate(value=0.0, error=e, freedom=len(y_U) - 1) for e, (y_U, _) in zip(errors, arms, strict=True)]
        estimate = _combined(plain.value - shift, *parts)
    return Adjusted(difference=estimate, slope=theta, variance_kept=kept)


def _cautious(arm: Arm, against: Arm) -> Estimate:
    """The ratio of an arm, its error no less than the units of both arms give it, where few of its own differ."""
    own, chances = ratio(arm), arm.chance_U.sum() + against.chance_U.sum()
    enough = min(FEW_UNITS, arm.num_units / 2)
    if not math.isfinite(own.error) or not against.chance_U.sum() > 0 or _differing(arm) >= enough:
        return own
    pooled = float(arm.amount_U.sum() + against.amount_U.sum()) / chances
    residual_U = np.concatenate([a.amount_U - pooled * a.chance_U for a in (arm, against)])
    due = float(residual_U.std(ddof=1)) / (chances / len(residual_U)) / math.sqrt(arm.num_units)
    return own if own.error >= due else replace(own, error=due, freedom=len(residual_U) - 1)


def _differing(arm: Arm) -> int:
    """Units whose own ratio is not the commonest one."""
    seen_U = arm.chance_U > 0
    _, count_V = np.unique(arm.amount_U[seen_U] / arm.chance_U[seen_U], return_counts=True)
    return int(count_V.sum() - count_V.max(initial=0))


def _combined(value: float, one: Estimate, other: Estimate) -> Estimate:
    """An estimate with both errors; degrees of freedom by Welch and Satterthwaite."""
    parts = [(e.error**2, e.freedom) for e in (one, other)]
    variance = sum(v for v, _ in parts)
    spread = sum(v**2 / freedom for v, freedom in parts if freedom > 0)
    return Estimate(value=value, error=math.sqrt(variance), freedom=variance**2 / spread if spread > 0 else math.inf)


def _error(influence_U: np.ndarray) -> float:
    """Standard error of the mean of independent units."""
    num = len(influence_U)
    return float(influence_U.std(ddof=1) / math.sqrt(num)) if num > 1 else math.nan


def sample_ratio(num_units: list[int], planned: list[float]) -> float:
    """p of Pearson's chi-square: how often a sound split would be at least as uneven (Fabijan et al., 2019)."""
    total, shares = sum(num_units), [share / sum(planned) for share in planned]
    if total == 0 or min(shares) <= 0:
        raise ValueError(f"num_units={num_units} and planned={planned} must have units and shares above 0")
    statistic = sum((num - total * share) ** 2 / (total * share) for num, share in zip(num_units, shares, strict=True))
    return float(chi2.sf(statistic, len(num_units) - 1))


def always_valid(estimate: Estimate, *, num_units: int, planned_units: int, level: float) -> tuple[float, float]:
    """Interval that holds at every look at once: peek daily, stop when you like.

    Normal-mixture confidence sequence (Robbins, 1970; the mixture SPRT of Johari et al., 2017; for estimates with an
    estimated error: Waudby-Smith et al., 2024): half-width = error * sqrt((n g + 1) / (n g) * ln((n g + 1) / alpha^2)),
    n units, mixture variance g chosen to be narrowest at `planned_units`:
    g = (-2 ln alpha + ln(-2 ln alpha + 1)) / planned_units. At the planned size 1.55 times as wide as the
    interval for one look, from half to five times of it at most 1.61 times.
    """
    if planned_units < 1:
        raise ValueError(f"planned_units={planned_units} must be at least 1: the size the experiment is planned for")
    if num_units < 2:
        return math.nan, math.nan
    alpha = 1 - level
    spread = num_units * (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / planned_units
    half = estimate.error * math.sqrt((spread + 1) / spread * math.log((spread + 1) / alpha**2))
    low, high = estimate.interval(level)  # NaN without an error; with few units Student's is the wider one
    return min(low, estimate.value - half), max(high, estimate.value + half)
