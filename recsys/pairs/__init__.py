"""Which pairs are scored: every one, or a table of candidates."""

from recsys.pairs._pairs import Pairs
from recsys.pairs.candidates import Candidates
from recsys.pairs.every import Every

OPTIONS = {"every": Every, "candidates": Candidates}

__all__ = ["OPTIONS", "Candidates", "Every", "Pairs"]
