"""Charts as inline SVG. Colours are classes of page.css; every text is escaped."""

import math

from markupsafe import Markup

from recsys.report import _text
from recsys.report._chart import ExposureCurve, ReliabilityDiagram

SIDE, LEFT, TOP, HISTOGRAM = 320, 46, 30, 56  # of the square diagrams, in user units

MARKED_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # points of the exposure curve that can be asked


class Axis:
    """A linear axis with round ticks that covers the given values."""

    def __init__(self, values: list[float], *, within: tuple[float, float] = (-math.inf, math.inf)) -> None:
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        span = max(high - low, 1e-3)
        power = 10.0 ** math.floor(math.log10(span / 4))
        step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power * 4 >= span * 0.999)
        self.step = step
        self.low = max(math.floor(low / step + 1e-9) * step, within[0])
        self.high = min(math.ceil(high / step - 1e-9) * step, within[1])
        if self.high - self.low < step:
            self.high = self.low + step
        self.digits = max(0, -math.floor(math.log10(step) + 1e-9)) + (1 if round(step / power, 6) == 2.5 else 0)

    @property
    def ticks(self) -> list[float]:
        num = round((self.high - self.low) / self.step)
        return [self.low + i * self.step for i in range(num + 1)]

    def share(self, value: float) -> float:
        """Place on the axis, 0 to 1; values outside sit on its ends."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def place(self, value: float) -> str:
        return f"{100 * self.share(value):.2f}%"


def scale(axis: Axis) -> Markup:
    """The ticks above a column of strips."""
    texts = Markup("").join(
        Markup('<text x="{}" y="12">{}</text>').format(axis.place(t), _text.number(t, axis.digits)) for t in axis.ticks
    )
    return Markup('<svg class="scale" aria-hidden="true">{}</svg>').format(texts)


def strip(axis: Axis, label: str, *, value, low, high, line=None, random=None, small: bool = False) -> Markup:
    """A dot with its whisker on a row; `line` is the overall value, `random` that of a random order."""
    parts = []
    if line is not None:
        parts.append(Markup('<line class="overall" x1="{0}" x2="{0}" y1="0" y2="100%"/>').format(axis.place(line)))
    if random is not None:
        parts.append(Markup('<line class="chance" x1="{0}" x2="{0}" y1="22%" y2="78%"/>').format(axis.place(random)))
    if low is not None and high is not None:
        ends = (axis.place(low), axis.place(high))
        parts.append(Markup('<line class="whisker" x1="{}" x2="{}" y1="50%" y2="50%"/>').format(*ends))
    if value is not None:
        parts.append(Markup('<circle cx="{}" cy="50%" r="4.5"/>').format(axis.place(value)))
    about = f"{label}: {_text.number(value)} {_text.bracket(low, high)}".strip()
    if random is not None:
        about += f", random order {_text.number(random)}"
    return Markup('<svg class="strip{}" role="img" style="--n:{}"><title>{}</title>{}</svg>').format(
        " small" if small else "", max(len(axis.ticks) - 1, 1), about, Markup("").join(parts)
    )


def bar(label: str, parts: list[tuple[str, float]]) -> Markup:
    """One stacked bar: (class, share) from left to right."""
    rects, start = [], 0.0
    for name, share in parts:
        if share > 0:
            rects.append(
                Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" y="25%" height="50%"/>').format(
                    name, 100 * start, 100 * share
                )
            )
        start += share
    return Markup('<svg class="strip bare" role="img"><title>{}</title>{}</svg>').format(label, Markup("").join(rects))


def reliability(diagram: ReliabilityDiagram, axis: Axis, name: str) -> Markup:
    """Stated against observed share with bands, and how often each share is stated."""
    bins, parts = diagram.bins, [_frame(axis, "stated probability", "observed share", below=HISTOGRAM + 12)]
    parts.append(Markup('<line class="diagonal" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        *_point(axis, axis.low, axis.low), *_point(axis, axis.high, axis.high)
    ))  # fmt: skip
    rows = range(len(bins.weight_B))
    upper = [_point(axis, bins.predicted_B[b], bins.high_B[b]) for b in rows]
    lower = [_point(axis, bins.predicted_B[b], bins.low_B[b]) for b in reversed(rows)]
    if len(rows) > 1:
        parts.append(
            Markup('<polygon class="band" points="{}"/>').format(" ".join(f"{x},{y}" for x, y in upper + lower))
        )
        path = [_point(axis, bins.predicted_B[b], bins.observed_B[b]) for b in rows]
        parts.append(Markup('<polyline class="curve" points="{}"/>').format(" ".join(f"{x},{y}" for x, y in path)))
    most = float(max(bins.weight_B, default=1.0)) or 1.0
    base = TOP + SIDE + 12 + HISTOGRAM
    for b in rows:
        said, seen = float(bins.predicted_B[b]), float(bins.observed_B[b])
        x, y = _point(axis, said, seen)
        _, y_low = _point(axis, said, float(bins.low_B[b]))
        _, y_high = _point(axis, said, float(bins.high_B[b]))
        x_start = LEFT + SIDE * axis.share(float(bins.start_B[b]))
        width = max(LEFT + SIDE * axis.share(float(bins.end_B[b])) - x_start - 1, 0.5)
        height = max(HISTOGRAM * float(bins.weight_B[b]) / most, 0.75)
        tip = (
            f"says {_text.percent(said)}, {_text.percent(seen)} "
            f"{_text.percent_bracket(bins.low_B[b], bins.high_B[b])} happen; {_text.count(bins.weight_B[b])} labels"
        )
        parts.append(
            Markup(
                '<g class="point" tabindex="0" role="img" aria-label="{tip}"><title>{tip}</title>'
                '<rect class="count" x="{xs:.1f}" y="{ys:.1f}" width="{w:.1f}" height="{h:.1f}"/>'
                '<line class="whisker" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/><circle cx="{x}" cy="{y}" r="4"/>'
                '<circle class="halo" cx="{x}" cy="{y}" r="9"/>'
                '<text class="tip" x="{tx}" y="16">{tip}</text></g>'
            ).format(
                tip=tip, xs=x_start, ys=base - height, w=width, h=height, x=x, y=y, low=y_low, high=y_high, tx=LEFT
            )
        )
    return _square(f"{name}: stated probability against observed share", parts, below=HISTOGRAM + 12)


def exposure(curve: ExposureCurve) -> Markup:
    """Share of the places that the most shown items take."""
    axis = Axis([0.0, 1.0])
    parts = [_frame(axis, "share of the catalogue, most shown first", f"share of the first {curve.k} places", below=0)]
    parts.append(Markup('<line class="diagonal" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        *_point(axis, 0, 0), *_point(axis, 1, 1)
    ))  # fmt: skip
    points = [_point(axis, x, y) for x, y in zip(curve.items, curve.places, strict=True)]
    path = " ".join(f"{x},{y}" for x, y in points)
    x_end, y_end = _point(axis, 1, 0)
    parts.append(Markup('<polygon class="band" points="{} {},{}"/>').format(path, x_end, y_end))
    parts.append(Markup('<polyline class="curve" points="{}"/>').format(path))
    shown = {min(range(len(points)), key=lambda i: abs(curve.items[i] - share)) for share in MARKED_SHARES}
    for row in sorted(shown - {0}):
        tip = f"{_text.percent(curve.items[row])} of the items take {_text.percent(curve.places[row])} of the places"
        parts.append(
            Markup(
                '<g class="point" tabindex="0" role="img" aria-label="{tip}"><title>{tip}</title>'
                '<circle cx="{x}" cy="{y}" r="4"/><circle class="halo" cx="{x}" cy="{y}" r="9"/>'
                '<text class="tip" x="{tx}" y="16">{tip}</text></g>'
            ).format(tip=tip, x=points[row][0], y=points[row][1], tx=LEFT)
        )
    return _square("How much of the exposure the most shown items take", parts, below=0)


def _square(title: str, parts: list[Markup], *, below: int) -> Markup:
    height = TOP + SIDE + below + 42
    return Markup(
        '<svg class="diagram" viewBox="0 0 {} {}" role="group" aria-label="{}"><title>{}</title>{}</svg>'
    ).format(LEFT + SIDE + 14, height, title, title, Markup("").join(parts))


def _frame(axis: Axis, x_name: str, y_name: str, *, below: int) -> Markup:
    parts = []
    for tick in axis.ticks:
        x, y = _point(axis, tick, tick)
        text = _text.percent(tick).removesuffix("\u00a0%")
        parts.append(
            Markup(
                '<line class="grid" x1="{l}" x2="{r}" y1="{y}" y2="{y}"/>'
                '<text class="tick" x="{lt}" y="{yt}">{t}</text>'
                '<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>'
                '<text class="tick mid" x="{x}" y="{xt}">{t}</text>'
            ).format(
                l=LEFT, r=LEFT + SIDE, y=y, lt=LEFT - 7, yt=y + 4, t=text, x=x, top=TOP, bottom=TOP + SIDE,
                xt=TOP + SIDE + below + 17,
            )
        )  # fmt: skip
    parts.append(
        Markup('<text class="axis" x="{}" y="{}">{}, %</text>').format(LEFT + SIDE / 2, TOP + SIDE + below + 36, x_name)
    )
    middle = TOP + SIDE / 2
    parts.append(
        Markup('<text class="axis" x="12" y="{0}" transform="rotate(-90 12 {0})">{1}, %</text>').format(middle, y_name)
    )
    return Markup("").join(parts)


def _point(axis: Axis, x: float, y: float) -> tuple[float, float]:
    return round(LEFT + SIDE * axis.share(float(x)), 1), round(TOP + SIDE * (1 - axis.share(float(y))), 1)
