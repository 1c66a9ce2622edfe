"""How many observations stand behind a share, where rows that were drawn by chance count for more than one.

A row that was kept with a chance of 1/10 has the weight 10 (Horvitz & Thompson, 1952), and tells as much as one. One
that was observed ten times has the weight 10 too, and tells as much as ten. Shapes: N rows.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What one observation weighs: 1 where weights are counts."""

    positive: float = 1.0  # mean over the weight of positives
    negative: float = 1.0

    @classmethod
    def of(cls, weight_N: np.ndarray, inclusion_N: np.ndarray, positive_N: np.ndarray) -> "Unit":
        """From the weights (already divided by it) and the chance with which each row was kept. A class without rows
        has the unit of the other."""
        both = []
        for class_N in (positive_N, ~positive_N):
            weight_M = weight_N[class_N]
            total = float(weight_M.sum())
            both.append(float((weight_M / inclusion_N[class_N]).sum()) / total if total > 0 else np.nan)
        known = [unit for unit in both if np.isfinite(unit)] or [1.0]
        positive, negative = (unit if np.isfinite(unit) else known[0] for unit in both)
        return cls(positive=positive, negative=negative)

    def per(self, share: np.ndarray | float) -> np.ndarray | float:
        """Weight / this: as many observations, had all been kept, would leave the share of positives as uncertain.

        Of weight W the share s has the variance (sum of squared weights of the positives * (1 - s)^2 + that of the
        negatives * s^2) / W^2 = s (1 - s) / (W / ((1 - s) * positive + s * negative)). With one chance for all rows
        that is Kish's (1965) effective number; where only negatives were left out it is near W for a small share, for
        what was left out tells little. Exactly 1 where weights are counts.
        """
        return self.negative + (1 - share) * (self.positive - self.negative)
