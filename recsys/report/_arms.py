"""What the page shows of an experiment: arms, how far they lie apart, and whether the split can be believed."""

from recsys.report import _text
from recsys.report._chart import Chart, Figure, Finding, Row, Table
from recsys.report._evaluation import Record

SECTION = "What did the experiment show?"
DIGITS = 4
REFUSED = "Not concluded: "
LOOKS = {
    "difference": "one look",
    "cuped difference": "one look, CUPED",
    "always-valid difference": "any look",
    "relative difference": "relative, one look",
}


def tables(records: list[Record], control: str, unit: str) -> list[Chart]:
    """For each target the arms, then the differences; a sentence for each arm of the first target."""
    made: list[Chart] = []
    for target in dict.fromkeys(r.target for r in records):
        own = [r for r in records if r.target == target]
        made += [_arms(own, target, rate, unit) for rate in ("rate", "per unit")]
        made.append(_differences(own, target))
    if records:
        first = [r for r in records if r.target == records[0].target]
        made += [_finding(first, r) for r in first if r.metric.startswith("difference rate ")]
    return made


def _arms(records: list[Record], target: str, rate: str, unit: str) -> Table:
    ratio = next(r for r in records if r.metric == "sample ratio p")
    shown = [r for r in records if r.metric.startswith(f"{rate} of ")]
    name = {"rate": f"{target.capitalize()}s per observation", "per unit": f"{target.capitalize()}s per {unit}"}[rate]
    sound = "as planned" if ratio.value is not None and ratio.value >= 0.001 else "not as planned"
    about = (
        f"Units fell into arms {sound} (sample ratio, p {_small(ratio.value)}). Intervals take units as independent."
    )
    return Table(
        target=target,
        section=SECTION,
        title=name,
        about=about,
        columns=("Arm", "Value", "Units", "Rows"),
        rows=tuple(
            Row(
                name=r.metric.removeprefix(f"{rate} of "),
                cells=(_figure(r), _text.count(r.num_queries), _text.count(r.num_pairs)),
            )
            for r in shown
        ),
        drawn=True,
        definitions=((name, shown[0].definition), ("Sample ratio", ratio.definition)),
    )


def _differences(records: list[Record], target: str) -> Table:
    shown = [(look, r) for look in LOOKS for r in records if r.metric.startswith(f"{look} ")]
    return Table(
        target=target,
        section=SECTION,
        title="Arm less control",
        about="An interval for one look holds if the size was fixed beforehand; one for any look holds although "
        "somebody watched and stopped when it pleased. Relative figures are shares of the control's value.",
        columns=("Difference", "Value"),
        rows=tuple(
            Row(name=f"{r.metric.removeprefix(look).strip()} ({LOOKS[look]})", cells=(_figure(r),), **_verdict(r))
            for look, r in shown
        ),
        drawn=False,
        definitions=tuple({LOOKS[look].capitalize(): r.definition for look, r in reversed(shown)}.items()),
    )


def _finding(records: list[Record], plain: Record) -> Finding:
    """No stronger than the interval that holds at any look."""
    arms, noun = plain.metric.removeprefix("difference rate "), f"{plain.target}s per observation"
    if plain.definition.startswith(REFUSED):
        why = plain.definition.removeprefix(REFUSED).partition(". ")[0]
        return Finding(lead=f"Experiment, {arms}: nothing can be concluded:", rest=f"{why}.")
    valid = next(r for r in records if r.metric == f"always-valid difference rate {arms}")
    if plain.value is None or valid.low is None or valid.high is None or plain.low is None or plain.high is None:
        return Finding(lead=f"Experiment, {arms}: nothing can be said yet:", rest="too few units, or nothing was seen.")
    word = "more" if plain.value > 0 else "fewer"
    size = f"{_signed(plain.value)} {noun} {_text.bracket(valid.low, valid.high, DIGITS)}, at any look."
    if not valid.low <= 0 <= valid.high:
        return Finding(lead=f"Experiment, {arms}: {word} {plain.target}s:", rest=size)
    if not plain.low <= 0 <= plain.high:
        once = f"{_signed(plain.value)} {noun} {_text.bracket(plain.low, plain.high, DIGITS)}."
        lead = f"Experiment, {arms}: {word} {plain.target}s, if this was the only look:"
        return Finding(lead=lead, rest=f"{once} For whoever watched, it may be none: {size}")
    return Finding(lead=f"Experiment, {arms}: no difference can be seen:", rest=size)


def _figure(record: Record) -> Figure:
    why = record.definition.partition(". ")[0] if record.value is None else _text.why(record)
    return Figure(value=record.value, low=record.low, high=record.high, digits=DIGITS, why=why)


def _verdict(record: Record) -> dict:
    if record.definition.startswith(REFUSED):
        return {"tag": "not concluded"}
    if record.low is None or record.high is None or record.low <= 0 <= record.high:
        return {}
    return {"tag": "higher" if record.low > 0 else "lower", "good": record.low > 0}


def _small(p: float | None) -> str:
    return "—" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + _text.number(value, DIGITS)
