"""Fitted maps back from JSON."""

from typing import Any

from recsys.calibrator._calibrator import Fitted
from recsys.calibrator._fitted import Curve, Logistic, Steps
from recsys.calibrator.beta import TwoSlopes
from recsys.calibrator.multicalibration import Corrections
from recsys.calibrator.segment import Segmented
from recsys.calibrator.spline import Bends
from recsys.calibrator.venn_abers import Bracket

MAPS: dict[str, type[Fitted]] = {
    kind.map: kind for kind in (Logistic, TwoSlopes, Bends, Curve, Steps, Bracket, Segmented, Corrections)
}


def from_json(value: dict) -> Fitted:
    """The map that `to_json` wrote. Raises ValueError for anything else."""
    kind = MAPS.get(value.get("map", ""))
    if kind is None:
        raise ValueError(f"{value!r:.200} is no fitted calibrator; its 'map' must be one of {', '.join(MAPS)}")
    keys = kind.keys()
    if set(value) - {"map"} != set(keys):
        raise ValueError(f"{value!r:.200} is no fitted calibrator: '{kind.map}' has the keys {', '.join(keys)}")
    return kind(**{name: _frozen(value[key]) for key, name in keys.items()})


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return from_json(value)
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value
