"""All cases of parity of calibrators."""

from benchmarks import _parity_closed, _parity_grades, _parity_iterative
from benchmarks._parity import Parity

CASES: tuple[Parity, ...] = (*_parity_closed.CASES, *_parity_iterative.CASES, *_parity_grades.CASES)
PACKAGES = _parity_closed.PACKAGES
