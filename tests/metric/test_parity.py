"""Every metric beside its reference on some random cases; `python -m benchmarks.parity` takes 1,000 of each.

References that only the benchmarks need are left out here.
"""

import warnings

import pytest

from benchmarks._parity import Parity, apart, compare
from benchmarks._parity_metrics import CASES

ELSEWHERE = ("torchmetrics", "netcal", "uncertainty-calibration", "relplot", "fairlearn")
SLOW = ("smooth_ece", "macro recall at its best")
HERE = [case for case in CASES if not case.reference.startswith(ELSEWHERE)]


@pytest.mark.parametrize("case", HERE, ids=lambda case: f"{case.name} / {case.reference}")
def test_agrees_with_its_reference(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # references warn where they are undefined
        record = compare(case, range(5 if case.name.startswith(SLOW) else 50))
    assert record["within"], record


def test_undefined_on_one_side_is_no_parity():
    nan = float("nan")
    assert apart(nan, nan) == 0
    assert apart(nan, 0.0) == apart(0.0, nan) == float("inf")
    case = Parity(name="x", reference="y", tolerance=1.0, difference=lambda seed: apart(nan, float(seed)))
    assert compare(case, range(3)) == {
        "name": "x",
        "max_abs_difference": None,
        "tolerance": 1.0,
        "num_cases": 3,
        "reference": "y",
        "within": False,
    }
