"""What another policy would have earned, from the log of the one that was in charge: off-policy evaluation.

A logged decision showed one item with a known probability, its propensity p, and earned r (a click or none). Another
policy would have shown that item with probability q; w = q / p is its importance weight. Shapes: N logged decisions,
U units of randomisation (decisions, sessions or users), R weightings of the units (column 0: the estimate).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LEAST_PROPENSITY = 0.0  # nothing can be learnt from what was never shown


@dataclass(frozen=True, kw_only=True)
class Log:
    """N decisions under a logging policy, and what another policy and a model of the reward say of them."""

    num_units: int
    unit_N: np.ndarray  # int64, 0 .. U-1: what was randomised, and is resampled
    reward_N: np.ndarray  # float64
    propensity_N: np.ndarray  # float64 in (0, 1]: of the item shown, under the logging policy
    chance_N: np.ndarray  # float64 in [0, 1]: of the same item, under the policy to be evaluated
    predicted_N: np.ndarray  # float64: the model's reward of the item shown
    expected_N: np.ndarray  # float64: the model's reward of what the other policy would have shown, on average
    draw_N: np.ndarray  # float64 in [0, 1): chance for replay

    def __post_init__(self) -> None:
        check_propensity(self.propensity_N)
        for name in ("reward_N", "chance_N", "predicted_N", "expected_N"):
            wrong = np.flatnonzero(~np.isfinite(getattr(self, name)))
            if len(wrong):
                raise ValueError(f"{name} is {getattr(self, name)[wrong[0]]} at row {wrong[0]}; give a finite number")
        wrong = np.flatnonzero((self.chance_N < 0) | (self.chance_N > 1 + 1e-9))
        if len(wrong):
            raise ValueError(f"chance {self.chance_N[wrong[0]]} at row {wrong[0]} is no probability; use 0 to 1")

    @property
    def weight_N(self) -> np.ndarray:
        """Importance weights; their mean is 1 if the logging policy shows all that the other would."""
        return self.chance_N / self.propensity_N


Estimator = Callable[[Log, np.ndarray], np.ndarray]  # (log, weight_UR) -> value_R


def check_propensity(propensity_N: np.ndarray) -> None:
    """Raises ValueError, naming row and value, for a propensity that is not in (0, 1]."""
    wrong = np.flatnonzero(~((propensity_N > LEAST_PROPENSITY) & (propensity_N <= 1)))
    if len(wrong):
        raise ValueError(
            f"propensity {propensity_N[wrong[0]]} at row {wrong[0]} must lie above 0 and not above 1 ({len(wrong)} of "
            f"{len(propensity_N)} rows do not); it is the probability with which the logging policy showed the item"
        )


def ips(log: Log, weight_UR: np.ndarray) -> np.ndarray:
    """Inverse propensity score: mean of w r (Horvitz & Thompson, 1952). Unbiased; its variance grows with w."""
    return _ratio(log.unit_N, log.weight_N * log.reward_N, np.ones(len(log.unit_N)), weight_UR)


def clipped_ips(clip: float) -> Estimator:
    """Mean of min(w, clip) r (Ionides, 2008). Never above IPS for rewards of at least 0: biased downward."""
    _check_threshold("clip", clip)
    return lambda log, weight_UR: _ratio(
        log.unit_N, np.minimum(log.weight_N, clip) * log.reward_N, np.ones(len(log.unit_N)), weight_UR
    )


def snips(log: Log, weight_UR: np.ndarray) -> np.ndarray:
    """Self-normalised: sum of w r / sum of w (Swaminathan & Joachims, 2015). Stays within the range of the rewards."""
    return _ratio(log.unit_N, log.weight_N * log.reward_N, log.weight_N, weight_UR)


def direct_method(log: Log, weight_UR: np.ndarray) -> np.ndarray:
    """Mean of the model's expected reward under the other policy. As wrong as the model."""
    return _ratio(log.unit_N, log.expected_N, np.ones(len(log.unit_N)), weight_UR)


def doubly_robust(log: Log, weight_UR: np.ndarray) -> np.ndarray:
    """Direct method plus the mean of w (r - predicted) (Dudik, Langford & Li, 2011): right if either the propensities
    or the model are."""
    return switch_doubly_robust(np.inf)(log, weight_UR)


def switch_doubly_robust(switch: float) -> Estimator:
    """Doubly robust where w <= switch, the model alone elsewhere (Wang, Agarwal & Dudik, 2017)."""
    _check_threshold("switch", switch)

    def value(log: Log, weight_UR: np.ndarray) -> np.ndarray:
        weight_N = np.where(log.weight_N <= switch, log.weight_N, 0.0)
        corrected_N = log.expected_N + weight_N * (log.reward_N - log.predicted_N)
        return _ratio(log.unit_N, corrected_N, np.ones(len(log.unit_N)), weight_UR)

    return value


def replay(log: Log, weight_UR: np.ndarray) -> np.ndarray:
    """Mean reward of the decisions that the other policy could have made: each is kept with probability w / max w
    (rejection sampling; Li et al., 2011, where the log is uniform and the policy deterministic)."""
    kept_N = accepted(log).astype(np.float64)
    return _ratio(log.unit_N, kept_N * log.reward_N, kept_N, weight_UR)


def accepted(log: Log) -> np.ndarray:
    """bool_N: the decisions that replay keeps."""
    return log.draw_N * log.weight_N.max(initial=0.0) < log.weight_N


def mean_reward(reward_N: np.ndarray, unit_N: np.ndarray, weight_UR: np.ndarray) -> np.ndarray:
    """What a policy earned on its own log: no propensity is needed."""
    return _ratio(unit_N, reward_N, np.ones(len(reward_N)), weight_UR)


def _ratio(unit_N: np.ndarray, numerator_N: np.ndarray, denominator_N: np.ndarray, weight_UR: np.ndarray) -> np.ndarray:
    num_units = len(weight_UR)
    numerator_U, denominator_U = (_sum_by_unit(unit_N, v, num_units) for v in (numerator_N, denominator_N))
    value_R = np.full(weight_UR.shape[1], np.nan)
    for replicate in range(len(value_R)):
        if (total := (weight_UR[:, replicate] * denominator_U).sum()) > 0:
            value_R[replicate] = (weight_UR[:, replicate] * numerator_U).sum() / total
    return value_R


def _sum_by_unit(unit_N: np.ndarray, value_N: np.ndarray, num_units: int) -> np.ndarray:
    """sum_U, the same bits for any order of the rows."""
    order = np.lexsort((value_N, unit_N))
    return np.bincount(unit_N[order], weights=value_N[order], minlength=num_units)


def snips_error(log: Log) -> float:
    """Standard error of SNIPS by the delta method: sqrt(U / (U - 1) sum_U (sum of w (r - value))^2) / sum of w.

    The weights in the denominator vary as those in the numerator do. Freezing it, as in sqrt(var(w r) / N) / mean w,
    is too wide where rewards are frequent. NaN with fewer than two units.
    """
    total = _sum_by_unit(log.unit_N, log.weight_N, log.num_units).sum()
    if log.num_units < 2 or total <= 0:
        return float("nan")
    value = _sum_by_unit(log.unit_N, log.weight_N * log.reward_N, log.num_units).sum() / total
    residual_U = _sum_by_unit(log.unit_N, log.weight_N * (log.reward_N - value), log.num_units)
    return float(np.sqrt(log.num_units / (log.num_units - 1) * (residual_U**2).sum()) / total)


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How much of what the other policy would show the log has seen."""

    num: int  # decisions
    effective: float  # (sum w)^2 / sum w^2: as many decisions of the other policy's own would tell as much (Kish, 1965)
    largest: float  # weight
    largest_share: float  # of the sum of weights that the largest one has
    mean_weight: float  # 1 if nothing is missing; below 1, the log never shows a part of what the other policy would
    scarcer: int  # decisions with a weight and a reward, or those with a weight and none if they are fewer

    def hopeless(self, least: float) -> str | None:
        """Why nothing can be said of the policy: its effective sample size is below `least`. Else None."""
        if self.effective >= min(least, 0.999999 * self.num):  # all weights equal: the log is the policy's own
            return None
        if self.largest == 0:
            return f"the log of {self.num:,} decisions shows nothing that this policy would show"
        return (
            f"{self.num:,} logged decisions are worth {self.effective:.1f} of this policy's own (effective sample "
            f"size; at least {least:g} are needed), and the largest weight, {self.largest:,.0f}, makes up "
            f"{100 * self.largest_share:.0f} % of the sum of all"
        )


def overlap(log: Log) -> Overlap:
    """Diagnosis of the importance weights."""
    weight_N = np.sort(log.weight_N)
    total, largest = float(weight_N.sum()), float(weight_N.max(initial=0.0))
    return Overlap(
        num=len(weight_N),
        effective=total**2 / float((weight_N**2).sum()) if total > 0 else 0.0,
        largest=largest,
        largest_share=largest / total if total > 0 else 0.0,
        mean_weight=total / len(weight_N) if len(weight_N) else float("nan"),
        scarcer=int(min(((log.weight_N > 0) & ((log.reward_N != 0) == has)).sum() for has in (True, False))),
    )


def _check_threshold(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name}={value} must be above 0: weights from there on are cut")
