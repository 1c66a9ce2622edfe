"""Which pairs are scored: every one, a table of candidates, or the best of an earlier run."""

from recsys.pairs._pairs import Asked, Pairs
from recsys.pairs.candidates import Candidates
from recsys.pairs.cascade import Cascade
from recsys.pairs.every import Every

OPTIONS = {"every": Every, "candidates": Candidates, "cascade": Cascade}

__all__ = ["OPTIONS", "Asked", "Candidates", "Cascade", "Every", "Pairs"]
