"""How often do nominal 95 % intervals of policy and experiment hold the truth, in simulations where it is known?

    python -m benchmarks.bench_policy [--json FILE] [--quick]

Beside them, what they replace: rows counted as independent, SNIPS with a frozen denominator, one look taken many times.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._timing import tell
from recsys.metric import experiment, policy
from recsys.metric.bootstrap import interval, poisson_weights
from recsys.metric.experiment import Estimate
from recsys.metric.policy import Log
from tests.metric.bandits import bandit, log
from tests.metric.trials import peeked, users

ESTIMATORS: dict[str, tuple[policy.Estimator, str]] = {
    "ips": (policy.ips, "log"),
    "snips": (policy.snips, "logit"),
    "doubly robust": (policy.doubly_robust, "linear"),
    "switch doubly robust": (policy.switch_doubly_robust(10.0), "linear"),
    "replay": (policy.replay, "logit"),
}


def share(name: str, held: list[bool]) -> dict[str, Any]:
    """A record: the share, and its own 95 % interval (Wilson's)."""
    num, rate = len(held), sum(held) / len(held)
    middle = (rate + 1.92 / num) / (1 + 3.84 / num)
    half = 1.96 / (1 + 3.84 / num) * math.sqrt(rate * (1 - rate) / num + 0.96 / num**2)
    return {"name": name, "value": rate, "low": middle - half, "high": middle + half, "unit": "share"}


def holds(truth: float, low: float, high: float) -> bool:
    return bool(low <= truth <= high)


def of_policy(trials: int) -> list[dict[str, Any]]:
    """Coverage on a bandit whose units make several alike decisions, by unit and by row."""
    held: dict[str, list[bool]] = {f"{n}/{by}": [] for n in ESTIMATORS for by in ("unit", "row")}
    for seed in range(trials):
        made, truth = bandit(seed)
        num = len(made.unit_N)
        for by, given in (("unit", made), ("row", replace(made, num_units=num, unit_N=np.arange(num)))):
            weight_UR = poisson_weights([f"{seed}/{u}" for u in range(given.num_units)], 200, seed)
            for name, (estimator, scale) in ESTIMATORS.items():
                ends = interval(estimator(given, weight_UR), 0.95, num_queries=given.num_units, scale=scale)
                held[f"{name}/{by}"].append(holds(truth, *ends[1:]))
    return [share(f"policy/{name}", values) for name, values in held.items()]


def of_snips_error(trials: int) -> list[dict[str, Any]]:
    """SNIPS where rewards are frequent: the delta method beside a frozen denominator."""
    held: dict[str, list[bool]] = {"delta": [], "frozen": []}
    wider = []
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        propensity_N = rng.uniform(0.1, 0.9, 500)
        given = log(rng.random(500) < 0.9, propensity_N, 1 - propensity_N)
        value = policy.snips(given, np.ones((500, 1)))[0]
        errors = {"delta": policy.snips_error(given), "frozen": frozen_error(given)}
        wider.append(errors["frozen"] / errors["delta"])
        for name, error in errors.items():
            held[name].append(holds(0.9, value - 1.96 * error, value + 1.96 * error))
    width = {"name": "snips/frozen_over_delta_width", "value": float(np.median(wider)), "unit": "ratio"}
    return [*(share(f"snips/{name}", values) for name, values in held.items()), width]


def frozen_error(given: Log) -> float:
    weight_N = given.weight_N
    return float(np.std(weight_N * given.reward_N) / math.sqrt(len(weight_N)) / weight_N.mean())


def of_experiment(trials: int) -> list[dict[str, Any]]:
    """Two equal arms of users of unlike taste."""
    held: dict[str, list[bool]] = {"unit": [], "row": [], "cuped": [], "relative": []}
    for seed in range(trials):
        arms = users(2 * seed), users(2 * seed + 1)
        plain = experiment.difference(*arms)
        rates = [experiment.ratio(arm).value for arm in arms]
        by_row = [math.sqrt(p * (1 - p) / arm.chance_U.sum()) for p, arm in zip(rates, arms, strict=True)]
        estimates = {
            "unit": plain,
            "row": Estimate(value=plain.value, error=math.hypot(*by_row)),
            "cuped": experiment.cuped(*arms).difference,
            "relative": experiment.relative_difference(*arms),
        }
        for name, estimate in estimates.items():
            held[name].append(holds(0.0, *estimate.interval(0.95)))
    return [share(f"experiment/{name}", values) for name, values in held.items()]


def of_peeking(trials: int) -> list[dict[str, Any]]:
    """False alarms of two equal arms, looked at 20 times."""
    called: dict[str, list[bool]] = {"one look": [], "any look": []}
    for seed in range(trials):
        for name, was in peeked(seed, looks=20).items():
            called[name].append(was)
    return [share(f"false alarms after 20 looks/{name}", values) for name, values in called.items()]


def main() -> None:
    """Prints a table and, where asked, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    trials = 300 if arguments.quick else 2000
    parts: list[Callable[[int], list[dict[str, Any]]]] = [of_policy, of_snips_error, of_experiment, of_peeking]
    tell([row for part in parts for row in part(trials)], arguments.json)


if __name__ == "__main__":
    main()
