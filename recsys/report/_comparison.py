"""What the page shows of a comparison: figures side by side, slices, and the queries that lost most.

Shapes: N shared rows, Q shared queries, I labelled items of a query.
"""

import numpy as np

from recsys.metric import ranking
from recsys.metric._sample import Sample
from recsys.report import _text
from recsys.report._chart import Chart, Figure, Finding, Row, Table
from recsys.report._evaluation import Evaluation, Record
from recsys.report._examples import names_of
from recsys.report._paired import Paired

SECTION = "Is it better than {other}?"
MOVED = 4  # items shown of a query


def tables(records: list[Record], target: str, other: str, better: dict[str, str]) -> list[Chart]:
    """Overall, then by slice. `better` tells of each metric whether higher or lower is better."""
    found = {(r.metric, r.slice): r for r in records}
    stem, tail = "difference ", f" vs {other}"
    less = [r for r in records if r.metric.startswith(stem) and r.metric.endswith(tail)]
    named = [(r, r.metric.removeprefix(stem).removesuffix(tail)) for r in less]
    overall = [(r, name) for r, name in named if r.slice == "overall"]
    made: list[Chart] = [
        Table(
            target=target,
            section=SECTION.format(other=other),
            title="On the same queries",
            about=_shared(records),
            columns=("Metric", "Difference", "This run", other, "p", "Better", "Worse", "Equal"),
            rows=tuple(
                Row(
                    name=_name(name),
                    cells=(_figure(r), *_beside(found, name, other, "overall")),
                    **_verdict(r, found.get((f"p {name}{tail}", "overall")), better[name]),
                )
                for r, name in overall
            ),
            drawn=True,
            line=0.0,
            definitions=tuple((_name(name), r.definition) for r, name in overall)
            + tuple(("p", r.definition) for r in records if r.metric.startswith("p ") and r.metric.endswith(tail))[:1],
        )
    ]
    for metric in dict.fromkeys(name for r, name in named if r.slice != "overall"):
        slices = sorted(
            (r for r, name in named if r.slice != "overall" and name == metric),
            key=lambda r: (r.value is None, (r.value or 0.0) * (1 if better[metric] == "higher" else -1), r.slice),
        )
        adjusted = {r.slice: found[f"adjusted p {metric}{tail}", r.slice] for r in slices}
        made.append(
            Table(
                target=target,
                section=SECTION.format(other=other),
                title=f"{_name(metric)} by slice",
                about="The slices that lost most come first.",
                columns=("Slice", "Difference", "Adjusted p", "Better", "Worse", "Equal", "Queries"),
                rows=tuple(
                    Row(
                        name=_slice(r.slice),
                        cells=(
                            _figure(r),
                            _p(adjusted[r.slice]),
                            *_wins(found, metric, other, r.slice),
                            _text.count(r.num_queries),
                        ),
                        **_verdict(r, adjusted[r.slice], better[metric]),
                    )
                    for r in slices
                ),
                drawn=True,
                line=0.0,
                definitions=(("Adjusted p", adjusted[slices[0].slice].definition),),
            )
        )
    return made


def finding(records: list[Record], target: str, other: str, metric: str) -> Finding:
    """One sentence on the main metric, no stronger than its interval and its test."""
    found = {(r.metric, r.slice): r for r in records if r.target == target}
    less, p = (
        found.get((f"difference {metric} vs {other}", "overall")),
        found.get((f"p {metric} vs {other}", "overall")),
    )
    if less is None or less.value is None or less.low is None or less.high is None or p is None or p.value is None:
        return Finding(lead=f"Whether it is better than {other} cannot be said:", rest="too few shared queries.")
    won, lost, tied = (found[f"{n} {metric} vs {other}", "overall"].value for n in ("wins", "losses", "ties"))
    sign = "different" if not _clear(less, p) else "better" if less.value > 0 else "worse"
    lead = {
        "better": f"Better than {other}:",
        "worse": f"Worse than {other}:",
        "different": f"It cannot be told from {other}:",
    }[sign]
    size = f"{_signed(less.value)} {_name(metric)} {_text.bracket(less.low, less.high)}"
    counts = f"{won:,.0f} better, {lost:,.0f} worse, {tied:,.0f} equal"
    return Finding(
        lead=lead, rest=f"{size} on {_text.count(less.num_queries)} shared queries (p {_small(p.value)}): {counts}."
    )


def regressions(evaluation: Evaluation, both: Paired, target: str, k: int, other: str, num: int) -> Table:
    """The queries that lost most nDCG@k, and which labelled items moved."""
    ours, theirs = both.ours.sample, both.others[other].sample
    here_Q, there_Q = ranking.ndcg(k).value(ours), ranking.ndcg(k).value(theirs)
    loss_Q = np.nan_to_num(there_Q - here_Q, nan=0.0)
    worst = [int(q) for q in np.argsort(-loss_Q, kind="stable")[:num] if loss_Q[q] > 1e-9]
    item_ids = both.ours.labels["item_id"].to_pylist()
    code_N = ours.item_N
    named = {int(code_N[n]): item_ids[n] for n in np.flatnonzero(np.isin(ours.query_N, worst))}
    titles = names_of(evaluation.items, "item_id", set(named.values()))
    queries = names_of(evaluation.queries, "query_id", {both.ours.query_ids[q] for q in worst})
    rows = []
    for q in worst:
        moved = "; ".join(
            f"{_text.short(titles.get(named[item], named[item]), 40)} (gains {gain:g}) {before:g} → {now:g}"
            for item, gain, before, now in _moves(ours, theirs, q, k)
        )
        name = queries.get(both.ours.query_ids[q], both.ours.query_ids[q])
        cells = (Figure(value=float(there_Q[q])), Figure(value=float(here_Q[q])), moved)
        rows.append(Row(name=_text.short(name, 60), cells=cells))
    return Table(
        target=target,
        section=SECTION.format(other=other),
        title="Biggest regressions",
        about="Queries that lost most, and their labelled items whose place among the labelled ones cost most: "
        f"place in {other} → place here.",
        columns=("Query", f"nDCG@{k} of {other}", "This run", "What moved"),
        rows=tuple(rows),
        drawn=False,
    )


def _moves(ours: Sample, theirs: Sample, q: int, k: int) -> list[tuple[int, float, float, float]]:
    """(item, gain, mean place there, here) of the items that moved, those whose move matters most first."""
    here, there = _placed(ours, q), _placed(theirs, q)
    moved = [(item, gain, there[item][1], place) for item, (gain, place) in here.items() if there[item][1] != place]
    return sorted(moved, key=lambda m: (-abs(m[1] * (_discount(m[2], k) - _discount(m[3], k))), m[3], m[0]))[:MOVED]


def _placed(sample: Sample, q: int) -> dict[int, tuple[float, float]]:
    """Item -> (weighted mean gain, mean place among the query's labelled items)."""
    own = np.flatnonzero((sample.query_N == q) & (sample.weight_N > 0))
    item_I, first_I, item_N = np.unique(sample.item_N[own], return_index=True, return_inverse=True)
    score_I, weight_N = sample.score_N[own][first_I], sample.weight_N[own]
    gain_I = np.bincount(item_N, weights=weight_N * sample.gain_N[own]) / np.bincount(item_N, weights=weight_N)
    above_I = (score_I[None, :] > score_I[:, None]).sum(axis=1)
    tied_I = (score_I[None, :] == score_I[:, None]).sum(axis=1)
    return {int(i): (float(g), float(p)) for i, g, p in zip(item_I, gain_I, above_I + (tied_I + 1) / 2, strict=True)}


def _discount(place: float, k: int) -> float:
    return 1 / np.log2(1 + place) if place <= k else 0.0


def _shared(records: list[Record]) -> str:
    shared = next(r for r in records if r.metric == "shared pairs")
    out = {r.metric.removeprefix("pairs "): r.value or 0.0 for r in records if r.metric.startswith("pairs ")}
    left = "; ".join(f"{_text.count(number)} {reason}" for reason, number in out.items())
    said = f"{_text.count(shared.value or 0)} labelled pairs of {_text.count(shared.num_queries)} queries are shared."
    return f"{said} Left out: {left}." if left else said


def _beside(found: dict, name: str, other: str, where: str) -> tuple[Figure | str, ...]:
    return (
        _figure(found[name, where]),
        _figure(found[f"{name} of {other}", where]),
        _p(found.get((f"p {name} vs {other}", where))),
        *_wins(found, name, other, where),
    )


def _wins(found: dict, name: str, other: str, where: str) -> tuple[str, ...]:
    records = [found.get((f"{kind} {name} vs {other}", where)) for kind in ("wins", "losses", "ties")]
    return tuple(_text.count(r.value) if r else "" for r in records)


def _figure(record: Record) -> Figure:
    return Figure(value=record.value, low=record.low, high=record.high, why=_text.why(record))


def _p(record: Record | None) -> str:
    return "" if record is None else _small(record.value)


def _small(p: float | None) -> str:
    return "—" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _verdict(record: Record, p: Record | None, better: str) -> dict:
    if p is None or not _clear(record, p) or record.value is None:
        return {}
    good = (record.value > 0) == (better == "higher")
    return {"tag": "better" if good else "worse", "good": good}


def _clear(record: Record, p: Record) -> bool:
    """Whether both the interval and the test exclude no difference."""
    if record.low is None or record.high is None or p.value is None:
        return False
    return p.value < 0.05 and not record.low <= 0 <= record.high


def _name(metric: str) -> str:
    return _text.metric(metric) + (", catalogue" if metric.endswith(" catalogue") else "")


def _slice(where: str) -> str:
    column, _, value = where.partition("=")
    return f"{_text.column(column)}: {value}"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + _text.number(value)
