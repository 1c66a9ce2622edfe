"""Some of the random cases that `python -m benchmarks.parity` runs by the thousand."""

import pytest

from benchmarks._parity import compare
from benchmarks._parity_calibrators import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_agrees_with_its_reference(case):
    found = compare(case, range(1000, 1040))
    assert found["within"], found
