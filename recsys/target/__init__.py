"""Targets: what is predicted and how it is judged."""

from recsys.target._target import Target
from recsys.target.click import Click
from recsys.target.purchase import Purchase
from recsys.target.relevance import Relevance

OPTIONS = {"relevance": Relevance, "click": Click, "purchase": Purchase}

__all__ = ["OPTIONS", "Click", "Purchase", "Relevance", "Target"]
