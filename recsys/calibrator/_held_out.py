"""A chosen calibrator as maps that each leave one fold out: a row's probability never comes from its own query.

Shapes: N rows, F folds.
"""

from dataclasses import dataclass

import numpy as np

from recsys.calibrator._calibrator import Calibrator, Fitted, Rows


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """`fitted_F[f]` is fitted on all rows but those of fold f."""

    fitted_F: tuple[Fitted, ...]

    @classmethod
    def of(cls, calibrator: Calibrator, rows: Rows, num_folds: int) -> "HeldOut":
        """Raises ValueError for a calibrator that needs columns: here a row has a score and a fold, no more."""
        if calibrator.columns:
            raise ValueError(
                f"{type(calibrator).__name__} needs the columns {calibrator.columns}, which rows by score do not have"
            )
        return cls(fitted_F=tuple(calibrator.fit(rows.take(rows.fold_N != fold)) for fold in range(num_folds)))

    def predict(self, score_N: np.ndarray, fold_N: np.ndarray) -> np.ndarray:
        """probability_N, float64."""
        probability_N = np.empty(len(score_N))
        for fold, fitted in enumerate(self.fitted_F):
            own_N = fold_N == fold
            probability_N[own_N] = fitted.predict(score_N[own_N])
        return probability_N
