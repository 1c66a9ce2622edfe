"""Tables that reports make themselves, as the page shows them: by section, with a strip for what is drawn."""

from recsys.report import _svg, _text
from recsys.report._chart import Chart, Figure, Row, Table

SHOWN_ROWS = 10  # of one table before the rest folds away
MAX_ROWS = 200  # of one table on the page; metrics.json has all


def sections(charts: list[Chart], target: str) -> list[dict]:
    """The tables of a target, those with one heading together, those with a chart first."""
    mine = [c for c in charts if isinstance(c, Table) and c.target == target]
    drawn_first = sorted(mine, key=lambda t: not t.drawn)
    return [
        {"title": title, "tables": [_table(t) for t in drawn_first if t.section == title]}
        for title in dict.fromkeys(t.section for t in mine)
    ]


def _table(table: Table) -> dict:
    axis = _axis(table) if table.drawn else None
    rows = [_row(table, row, axis) for row in table.rows]
    return {
        "table": table,
        "scale": _svg.scale(axis) if axis else None,
        "rows": rows[:SHOWN_ROWS],
        "more": rows[SHOWN_ROWS:MAX_ROWS],
        "left_out": max(len(rows) - MAX_ROWS, 0),
    }


def _axis(table: Table) -> _svg.Axis:
    figures = [f for row in table.rows for f in row.cells[:1] if isinstance(f, Figure)]
    reach = [v for f in figures for v in (f.value, f.low, f.high) if v is not None]
    return _svg.Axis(reach + ([] if table.line is None else [table.line]))


def _row(table: Table, row: Row, axis: _svg.Axis | None) -> dict:
    first = row.cells[0] if row.cells else None
    svg = None
    if axis is not None and isinstance(first, Figure):
        svg = _svg.strip(
            axis, _text.short(row.name), value=first.value, low=first.low, high=first.high, line=table.line
        )
    return {"name": row.name, "tag": row.tag, "good": row.good, "svg": svg, "cells": [_cell(c) for c in row.cells]}


def _cell(cell: Figure | str) -> dict:
    if isinstance(cell, str):
        return {"text": cell, "bracket": "", "why": "", "sort": None}
    return {
        "text": _text.number(cell.value, cell.digits),
        "bracket": _text.bracket(cell.low, cell.high, cell.digits),
        "why": cell.why,
        "sort": "" if cell.value is None else cell.value,
    }
