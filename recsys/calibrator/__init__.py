"""Calibrators: from scores to probabilities that mean what they say. Listed from simple to complex."""

from recsys.calibrator._calibrator import Calibrator, Fitted
from recsys.calibrator._fitted import Curve, Logistic, from_json
from recsys.calibrator._select import Candidate, Selection, folds, select
from recsys.calibrator.identity import Identity
from recsys.calibrator.isotonic import Isotonic
from recsys.calibrator.platt import Platt
from recsys.calibrator.temperature import Temperature

OPTIONS = {"identity": Identity, "temperature": Temperature, "platt": Platt, "isotonic": Isotonic}

__all__ = [
    "OPTIONS",
    "Calibrator",
    "Candidate",
    "Curve",
    "Fitted",
    "Identity",
    "Isotonic",
    "Logistic",
    "Platt",
    "Selection",
    "Temperature",
    "folds",
    "from_json",
    "select",
]
