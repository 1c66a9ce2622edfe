"""Logs by hand, and a bandit whose value is known."""

import numpy as np
from numpy.typing import ArrayLike

from recsys.metric.policy import Log


def log(
    reward, propensity, chance, *, unit=None, predicted: ArrayLike = 0.0, expected: ArrayLike = 0.0, draw=None
) -> Log:
    num = len(reward)
    unit_N = np.arange(num) if unit is None else np.asarray(unit)
    return Log(
        num_units=int(unit_N.max(initial=-1)) + 1,
        unit_N=unit_N,
        reward_N=np.asarray(reward, np.float64),
        propensity_N=np.asarray(propensity, np.float64),
        chance_N=np.asarray(chance, np.float64),
        predicted_N=np.broadcast_to(np.asarray(predicted, np.float64), num),
        expected_N=np.broadcast_to(np.asarray(expected, np.float64), num),
        draw_N=np.full(num, 0.5) if draw is None else np.asarray(draw, np.float64),
    )


def bandit(seed: int, *, num: int = 800) -> tuple[Log, float]:
    """A log of a bandit with 3 contexts and 5 actions, and the other policy's true value.

    A unit makes about 8 decisions in one context, and has a taste: its rewards are alike.
    """
    world, rng = np.random.default_rng(99), np.random.default_rng(seed)
    truth_CA = world.uniform(0.05, 0.5, (3, 5))
    logging_CA, other_CA = world.dirichlet(np.full(5, 3.0), 3), world.dirichlet(np.full(5, 1.5), 3)
    unit_N = np.unique(np.sort(rng.integers(0, num // 8, num)), return_inverse=True)[1]
    num_units = unit_N.max() + 1
    context_N, taste_N = rng.integers(0, 3, num_units)[unit_N], rng.choice([0.2, 1.8], num_units)[unit_N]
    action_N = (rng.random(num)[:, None] > np.cumsum(logging_CA[context_N], axis=1)).sum(axis=1).clip(max=4)
    model_CA = truth_CA * 0.6 + 0.02  # wrong
    made = log(
        rng.random(num) < truth_CA[context_N, action_N] * taste_N,
        logging_CA[context_N, action_N],
        other_CA[context_N, action_N],
        unit=unit_N,
        predicted=model_CA[context_N, action_N],
        expected=(other_CA * model_CA).sum(axis=1)[context_N],
        draw=rng.random(num),
    )
    return made, float((truth_CA * other_CA).sum(axis=1).mean())
