"""A simple model of the reward, for estimators that need one: how often an item was rewarded at a position.

Shapes: N logged decisions, I items, P positions, F folds.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Rewards:
    """Reward rate of each item at each position, fitted without a fold: reward_FPI."""

    reward_FPI: np.ndarray

    def of_shown(self, fold_N: np.ndarray, position_N: np.ndarray, item_N: np.ndarray) -> np.ndarray:
        """predicted_N of single items."""
        return self.reward_FPI[fold_N, position_N, item_N]

    def of_groups(self, num_GI: np.ndarray) -> np.ndarray:
        """reward_FPG: mean over the items of each group (a catalogue, a market), each as often as it counts there."""
        return self.reward_FPI @ (num_GI / num_GI.sum(axis=1, keepdims=True)).T


def fit_rewards(
    *,
    reward_N: np.ndarray,
    position_N: np.ndarray,
    item_N: np.ndarray,
    fold_N: np.ndarray,
    prior: float,
    num_items: int,
) -> Rewards:
    """(sum of rewards + prior * rate of the position) / (times shown + prior), from the decisions of all other folds:
    an item that was hardly shown gets the position's rate. Cross-fitted, so that no decision predicts itself.
    """
    num_folds, num_positions = int(fold_N.max(initial=0)) + 1, int(position_N.max(initial=0)) + 1
    cell_N = (fold_N * num_positions + position_N) * num_items + item_N
    shape, num = (num_folds, num_positions, num_items), num_folds * num_positions * num_items
    order = np.lexsort((reward_N, cell_N))
    earned_FPI = np.bincount(cell_N[order], weights=reward_N[order], minlength=num).reshape(shape)
    shown_FPI = np.bincount(cell_N, minlength=num).reshape(shape)
    if num_folds > 1:
        earned_FPI, shown_FPI = earned_FPI.sum(axis=0) - earned_FPI, shown_FPI.sum(axis=0) - shown_FPI
    shown_FP1 = shown_FPI.sum(axis=2, keepdims=True)
    rate_FP1 = earned_FPI.sum(axis=2, keepdims=True) / np.maximum(shown_FP1, 1)
    return Rewards(reward_FPI=(earned_FPI + prior * rate_FP1) / (shown_FPI + prior))
