"""Calibrators: from scores to probabilities that mean what they say. Listed from simple to complex."""

from recsys.calibrator._calibrator import Calibrator, Fitted, Rows
from recsys.calibrator._dirichlet import Dirichlet, fit_dirichlet
from recsys.calibrator._fitted import Curve, Logistic, Steps
from recsys.calibrator._held_out import HeldOut
from recsys.calibrator._json import from_json
from recsys.calibrator._order import order_kept
from recsys.calibrator._ordinal import Ordinal, fit_ordinal
from recsys.calibrator._segments import Segments
from recsys.calibrator._select import Candidate, Selection, folds, select
from recsys.calibrator._stack import Stack, cross_fit, fit_stack
from recsys.calibrator.bbq import Bbq
from recsys.calibrator.beta import Beta, TwoSlopes
from recsys.calibrator.centred_isotonic import CentredIsotonic
from recsys.calibrator.down_sampling import DownSampling
from recsys.calibrator.histogram import Histogram
from recsys.calibrator.identity import Identity
from recsys.calibrator.isotonic import Isotonic
from recsys.calibrator.multicalibration import Corrections, Multicalibration
from recsys.calibrator.platt import Platt
from recsys.calibrator.prior_shift import PriorShift
from recsys.calibrator.segment import Segment, Segmented
from recsys.calibrator.spline import Bends, Spline
from recsys.calibrator.temperature import Temperature
from recsys.calibrator.venn_abers import Bracket, VennAbers

OPTIONS = {
    "identity": Identity,
    "down_sampling": DownSampling,
    "prior_shift": PriorShift,
    "temperature": Temperature,
    "platt": Platt,
    "beta": Beta,
    "spline": Spline,
    "isotonic": Isotonic,
    "centred_isotonic": CentredIsotonic,
    "venn_abers": VennAbers,
    "histogram": Histogram,
    "bbq": Bbq,
    "segment": Segment,
    "multicalibration": Multicalibration,
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
    "Corrections",
    "Curve",
    "Dirichlet",
    "DownSampling",
    "Fitted",
    "HeldOut",
    "Histogram",
    "Identity",
    "Isotonic",
    "Logistic",
    "Multicalibration",
    "Ordinal",
    "Platt",
    "PriorShift",
    "Rows",
    "Segment",
    "Segmented",
    "Segments",
    "Selection",
    "Spline",
    "Stack",
    "Steps",
    "Temperature",
    "TwoSlopes",
    "VennAbers",
    "cross_fit",
    "fit_dirichlet",
    "fit_ordinal",
    "fit_stack",
    "folds",
    "from_json",
    "order_kept",
    "select",
]
