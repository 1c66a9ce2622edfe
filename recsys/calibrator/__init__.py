"""Calibrators: from scores to probabilities that mean what they say. Listed from simple to complex."""

from recsys.calibrator._calibrator import Calibrator, Fitted, Rows
from recsys.calibrator._fitted import Curve, Logistic, Steps
from recsys.calibrator._json import from_json
from recsys.calibrator._segments import Segments
from recsys.calibrator._select import Candidate, Selection, folds, select
from recsys.calibrator.bbq import Bbq
from recsys.calibrator.beta import Beta, TwoSlopes
from recsys.calibrator.centred_isotonic import CentredIsotonic
from recsys.calibrator.histogram import Histogram
from recsys.calibrator.identity import Identity
from recsys.calibrator.isotonic import Isotonic
from recsys.calibrator.platt import Platt
from recsys.calibrator.spline import Bends, Spline
from recsys.calibrator.temperature import Temperature
from recsys.calibrator.venn_abers import Bracket, VennAbers

OPTIONS = {
    "identity": Identity,
    "temperature": Temperature,
    "platt": Platt,
    "beta": Beta,
    "spline": Spline,
    "isotonic": Isotonic,
    "centred_isotonic": CentredIsotonic,
    "venn_abers": VennAbers,
    "histogram": Histogram,
    "bbq": Bbq,
}

__all__ = [
    "OPTIONS",
    "Bbq",
    "Bends",
    "Beta",
    "Bracket",
    "Calibrator",
    "Candidate",
    "CentredIsotonic",
    "Curve",
    "Fitted",
    "Histogram",
    "Identity",
    "Isotonic",
    "Logistic",
    "Platt",
    "Rows",
    "Segments",
    "Selection",
    "Spline",
    "Steps",
    "Temperature",
    "TwoSlopes",
    "VennAbers",
    "folds",
    "from_json",
    "select",
]
