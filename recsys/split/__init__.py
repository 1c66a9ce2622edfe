"""Splits: which queries are learnt from, and which are evaluated on."""

from recsys.split._split import Split
from recsys.split.by_query import ByQuery, comparable

OPTIONS = {"by_query": ByQuery}

__all__ = ["OPTIONS", "ByQuery", "Split", "comparable"]
