"""What a report shows besides its records: curves that are not one number, and remarks."""

from dataclasses import dataclass

from recsys.metric.reliability import Bins


@dataclass(frozen=True, kw_only=True)
class ReliabilityDiagram:
    """Stated against observed share of positives, of one probability of one target."""

    target: str
    column: str  # uncalibrated or probability
    bins: Bins
    counted: str = "queries"  # what `bins.num_queries_B` are


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


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A sentence for the top of the page: the verdict, and what it rests on."""

    lead: str
    rest: str


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number in a table, with its interval; `why` says what stands in its way where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    digits: int = 3
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table; the first figure is the one that is drawn."""

    name: str
    cells: tuple[Figure | str, ...]
    tag: str = ""  # a word beside the name
    good: bool = False  # the word is good news


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures side by side; those of one section of the page stand together."""

    target: str
    section: str  # heading of the section
    title: str
    about: str
    columns: tuple[str, ...]  # of the names, then of the cells
    rows: tuple[Row, ...]
    drawn: bool  # the first cells are drawn as dots with whiskers
    line: float | None = None  # marked on the chart
    definitions: tuple[tuple[str, str], ...] = ()


Chart = ReliabilityDiagram | ExposureCurve | Remark | SliceGroup | Finding | Table
