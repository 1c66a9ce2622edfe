"""Simulated experiments whose truth is known: users of unlike taste, equal arms that somebody watches."""

import numpy as np

from recsys.metric import experiment
from recsys.metric.experiment import Arm


def users(seed: int, *, num: int = 300, lift: float = 0.0) -> Arm:
    """Users with their own taste and their own number of impressions: rows of one user are alike."""
    rng = np.random.default_rng(seed)
    taste_U = rng.beta(1.5, 6, num)
    chance_U = 1.0 + rng.geometric(0.15, num)
    amount_U = rng.binomial(chance_U.astype(int), np.minimum(taste_U + lift, 1))
    before_U = rng.binomial(30, taste_U) / 30  # clicks of the month before
    return Arm(amount_U=amount_U.astype(np.float64), chance_U=chance_U, covariate_U=before_U)


def peeked(seed: int, *, looks: int, step: int = 100) -> dict[str, bool]:
    """Two equal arms, looked at after every `step` users of each: was a difference called at any look?"""
    rng, most = np.random.default_rng(seed), looks * step
    taste_AU = rng.beta(1.5, 6, (2, most))
    chance_AU = 1.0 + rng.geometric(0.3, (2, most))
    amount_AU = rng.binomial(chance_AU.astype(int), taste_AU).astype(np.float64)
    seen = {"one look": False, "any look": False}
    for num in range(step, most + 1, step):
        arms = [Arm(amount_U=amount_AU[a, :num], chance_U=chance_AU[a, :num]) for a in range(2)]
        estimate = experiment.difference(*arms)
        ends = {
            "one look": estimate.interval(0.95),
            "any look": experiment.always_valid(estimate, num_units=2 * num, planned_units=most, level=0.95),
        }
        for name, (low, high) in ends.items():
            seen[name] |= not low <= 0 <= high
    return seen
