"""Models: what turns a query and an item into scores."""

from recsys.model._folder import fitted_outputs
from recsys.model._model import Model, Supervised, Unsupervised
from recsys.model._threads import use_threads, wait_for_gpu
from recsys.model.bm25 import Bm25
from recsys.model.cross_encoder import CrossEncoder
from recsys.model.late_interaction import LateInteraction
from recsys.model.random import Random
from recsys.model.split_encoder import SplitEncoder
from recsys.model.two_tower import TwoTower

OPTIONS = {
    "random": Random,
    "bm25": Bm25,
    "two_tower": TwoTower,
    "cross_encoder": CrossEncoder,
    "late_interaction": LateInteraction,
    "split_encoder": SplitEncoder,
}

__all__ = [
    "OPTIONS",
    "Bm25",
    "CrossEncoder",
    "LateInteraction",
    "Model",
    "Random",
    "SplitEncoder",
    "Supervised",
    "TwoTower",
    "Unsupervised",
    "fitted_outputs",
    "use_threads",
    "wait_for_gpu",
]
