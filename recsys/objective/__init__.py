"""Objectives: what training minimises."""

from recsys.objective._objective import Objective
from recsys.objective.pointwise import Pointwise

OPTIONS = {"pointwise": Pointwise}

__all__ = ["OPTIONS", "Objective", "Pointwise"]
