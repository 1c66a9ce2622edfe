"""What a report shows besides its records: curves that are not one number, and remarks."""

from dataclasses import dataclass

from recsys.metric.reliability import Bins


@dataclass(frozen=True, kw_only=True)
class ReliabilityDiagram:
    """Stated against observed share of positives, of one probability of one target."""

    target: str
    column: str  # uncalibrated or probability
    bins: Bins


@dataclass(frozen=True, kw_only=True)
class ExposureCurve:
    """Share of the first k places that goes to the most shown items; both ascend from 0 to 1 (a Lorenz curve)."""

    target: str
    k: int
    items: tuple[float, ...]  # share of the catalogue, most shown first
    places: tuple[float, ...]  # share of all places


@dataclass(frozen=True, kw_only=True)
class Remark:
    """Something that could not be done, and why."""

    target: str
    text: str


@dataclass(frozen=True, kw_only=True)
class SliceGroup:
    """The slices of one column, and how they are to be compared."""

    target: str
    column: str
    metric: str  # the one that is drawn
    values: tuple[str, ...]
    min_queries: int  # slices with fewer queries that count are marked


Chart = ReliabilityDiagram | ExposureCurve | Remark | SliceGroup
