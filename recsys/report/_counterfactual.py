"""What the page shows of policies that were not in charge: what they would have earned, and what cannot be told."""

from recsys.report import _text
from recsys.report._chart import Chart, Figure, Finding, Row, Table
from recsys.report._evaluation import Record

SECTION = "What would another policy have earned?"
DIGITS = 4
MAIN = "snips"
NAMES = {
    "ips": "Inverse propensity (IPS)",
    "clipped ips": "IPS, weights clipped",
    "snips": "Self-normalised (SNIPS)",
    "direct method": "Direct method",
    "doubly robust": "Doubly robust",
    "switch doubly robust": "Switch doubly robust",
    "replay": "Replay",
}
POLICIES = {"logging": "Logged", "uniform": "Uniform", "ranker": "This run's ranking"}
REFUSED = "Not concluded: "
Found = dict[tuple[str, str], Record]  # (metric, slice)


def tables(records: list[Record], policies: list[str], references: dict[str, str]) -> list[Chart]:
    """For each target all policies side by side, then each by estimator and by position; sentences for the first."""
    made: list[Chart] = []
    for target in dict.fromkeys(r.target for r in records):
        found = {(r.metric, r.slice): r for r in records if r.target == target}
        asked = [p for p in policies if (f"{p} {MAIN}", "overall") in found]
        made.append(_side_by_side(found, target, asked, references))
        for policy in (p for p in asked if p != "logging"):
            if found[f"{policy} {MAIN}", "overall"].value is not None:
                made.append(_by_estimator(found, target, policy))
            made += _by_position(found, target, policy)
    first = {(r.metric, r.slice): r for r in records if records and r.target == records[0].target}
    asked = [p for p in policies if p != "logging" and (f"{p} {MAIN}", "overall") in first]
    return made + [_finding(first, records[0].target, p, references.get(p)) for p in asked]


def _side_by_side(found: Found, target: str, policies: list[str], references: dict[str, str]) -> Table:
    rows, notes, refusals = [], [], []
    for policy in policies:
        value = found[f"{policy} {MAIN}", "overall"]
        refused = value.definition.startswith(REFUSED)
        sizes = [
            _text.count(found[f"{policy} effective sample size", "overall"].value or 0),
            _text.count(found[f"{policy} largest weight", "overall"].value or 0),
            _text.number(found[f"{policy} mean weight", "overall"].value, 2),
        ]
        less = found.get((f"{policy} {MAIN} less logging", "overall"))
        cells = (_figure(value), _figure(less) if less else "", *sizes)
        rows.append(Row(name=POLICIES[policy], cells=cells, tag="not concluded" if refused else ""))
        if refused:
            refusals.append(f"{POLICIES[policy]} is not concluded: {_why(value)}.")
        if policy in references:
            other = references[policy]
            reference = found[f"{policy} rate of {other}", "overall"]
            less = found[f"{policy} {MAIN} less {other}", "overall"]
            rows.append(
                Row(name=f"{POLICIES[policy]}, its own log ({other})", cells=(_figure(reference), "", "", "", ""))
            )
            if less.value is None:
                continue
            said = f"{_text.number(less.value, DIGITS)} {_text.bracket(less.low, less.high, DIGITS)}".strip()
            notes.append(f"{POLICIES[policy]}, estimated less what its own log shows: {said}.")
    shown = found[f"{policies[0]} {MAIN}", "overall"]
    words = ("effective sample size", "largest weight", "mean weight")
    return Table(
        target=target,
        section=SECTION,
        title=f"{_rate(target)} by policy",
        about=f"Estimated from {_text.count(shown.num_pairs)} logged impressions: each counts for as many times as the "
        f"policy was likelier to show it. Intervals resample {_text.count(shown.num_queries)} units of randomisation. "
        f"{' '.join(notes + refusals)}".strip(),
        columns=("Policy", _rate(target), "Less the logged", "Effective sample", "Largest weight", "Mean weight"),
        rows=tuple(rows),
        drawn=True,
        line=shown.value if policies[0] == "logging" else None,
        definitions=((_rate(target), shown.definition),)
        + tuple((w.capitalize(), found[f"{policies[0]} {w}", "overall"].definition) for w in words),
    )


def _by_estimator(found: Found, target: str, policy: str) -> Table:
    records = {name: found[f"{policy} {name}", "overall"] for name in NAMES}
    logged = found.get((f"logging {MAIN}", "overall"))
    return Table(
        target=target,
        section=SECTION,
        title=f"{POLICIES[policy]}, by estimator",
        about="Estimators that disagree by more than their intervals are a warning. The line is the logged rate.",
        columns=("Estimator", _rate(target)),
        rows=tuple(Row(name=NAMES[name], cells=(_figure(r),)) for name, r in records.items()),
        drawn=True,
        line=logged.value if logged else None,
        definitions=tuple((NAMES[name], r.definition) for name, r in records.items()),
    )


def _by_position(found: Found, target: str, policy: str) -> list[Table]:
    places = [where for metric, where in found if metric == f"{policy} {MAIN}" and where != "overall"]
    if not any(found[f"{policy} {MAIN}", where].value is not None for where in places):
        return []
    rows = []
    for where in sorted(places, key=lambda w: int(w.partition("=")[2])):
        value, size = found[f"{policy} {MAIN}", where], found[f"{policy} effective sample size", where]
        cells = (_figure(value), _text.count(size.value or 0), _text.count(value.num_pairs))
        refused = value.definition.startswith(REFUSED)
        rows.append(Row(name=where.partition("=")[2], cells=cells, tag="not concluded" if refused else ""))
    return [
        Table(
            target=target,
            section=SECTION,
            title=f"{POLICIES[policy]}, by position",
            about="Self-normalised, each position alone.",
            columns=("Position", _rate(target), "Effective sample", "Impressions"),
            rows=tuple(rows),
            drawn=True,
        )
    ]


def _finding(found: Found, target: str, policy: str, reference: str | None) -> Finding:
    value = found[f"{policy} {MAIN}", "overall"]
    size = found[f"{policy} effective sample size", "overall"].value or 0.0
    name = {"uniform": "a uniform policy", "ranker": "this run's ranking"}[policy]
    noun = f"{target}s"
    if value.value is None:
        return Finding(lead=f"What {name} would earn in {noun} cannot be told from this log:", rest=f"{_why(value)}.")
    rate = f"{_text.percent(value.value)} {_ends(value)}".strip()
    rest = f"{rate}, from an effective sample of {_text.count(size)} of {_text.count(value.num_pairs)} impressions"
    less = found[f"{policy} {MAIN} less logging", "overall"]
    if less.low is not None and less.high is not None:
        apart = (
            "more than was" if less.low > 0 else "less than was" if less.high < 0 else "not told apart from what was"
        )
        rest += f"; {apart} logged"
    if reference is not None:
        own = found[f"{policy} {MAIN} less {reference}", "overall"]
        if own.low is not None and own.high is not None:
            held = "cannot be told apart" if own.low <= 0 <= own.high else "is apart"
            rest += f"; it {held} from the log of {reference}, which that policy made"
    return Finding(lead=f"Share of {noun} that {name} would earn:", rest=f"{rest}.")


def _why(record: Record) -> str:
    return record.definition.removeprefix(REFUSED).partition(". ")[0]


def _ends(record: Record) -> str:
    return "" if record.low is None or record.high is None else _text.percent_bracket(record.low, record.high)


def _figure(record: Record) -> Figure:
    why = record.definition.partition(". ")[0] if record.value is None else _text.why(record)
    return Figure(value=record.value, low=record.low, high=record.high, digits=DIGITS, why=why)


def _rate(target: str) -> str:
    return f"{target.capitalize()} rate"
