"""One case of parity: a figure of ours and the same figure from an independent implementation, on random data."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Parity:
    """`difference(seed)` draws one random case and returns |ours - theirs|; infinity where one of them is undefined."""

    name: str  # of the metric or calibrator
    reference: str  # library and function, or "loops from the formula of ..."
    tolerance: float  # largest difference that counts as the same
    difference: Callable[[int], float]


def apart(ours: float, theirs: float) -> float:
    """Absolute difference: 0 where both are undefined (NaN), infinite where one is."""
    if math.isnan(ours) or math.isnan(theirs):
        return 0.0 if math.isnan(ours) and math.isnan(theirs) else math.inf
    return 0.0 if ours == theirs else abs(ours - theirs)


def compare(case: Parity, seeds: Iterable[int]) -> dict:
    """The record of a case over all seeds. An infinite difference is null, and never within."""
    differences = [case.difference(seed) for seed in seeds]
    largest = max(differences, default=math.inf)
    return {
        "name": case.name,
        "max_abs_difference": largest if math.isfinite(largest) else None,
        "tolerance": case.tolerance,
        "num_cases": len(differences),
        "reference": case.reference,
        "within": bool(largest <= case.tolerance),
    }
