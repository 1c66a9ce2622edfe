"""The reference of every iterative fit: `scipy.optimize`, run to the end of float64."""

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

TIGHT = "scipy L-BFGS-B, to the end of float64"
Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]  # value and gradient


def run_to_the_end(loss: Loss, at: np.ndarray, bounds: list[tuple[float | None, float | None]]) -> float:
    """The lowest loss that L-BFGS-B finds, started again from where it stopped until that gains nothing."""
    best = math.inf
    for _ in range(50):
        options = {"ftol": 0.0, "gtol": 0.0, "maxiter": 5000, "maxfun": 20000, "maxcor": 30}
        found = minimize(loss, at, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        gained, at, best = best - found.fun, found.x, min(best, found.fun)
        if gained < 1e-15:
            break
    return best
