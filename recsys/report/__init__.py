"""Reports: what is said about scores, and the page that says it."""

from recsys.report._evaluation import Evaluation, FirstStage, Record, Report
from recsys.report._render import render, to_json
from recsys.report.balanced import Balanced
from recsys.report.reliability import Reliability

OPTIONS = {"balanced": Balanced, "reliability": Reliability}


def build(evaluation: Evaluation, reports: dict[str, Report]) -> tuple[str, str, list[Record]]:
    """(metrics.json, index.html, records) of the chosen reports: a function of its arguments alone."""
    records = [record for name in sorted(reports) for record in reports[name].records(evaluation)]
    charts = [chart for name in sorted(reports) for chart in reports[name].charts(evaluation)]
    return to_json(records), render(evaluation, records, charts), records


__all__ = [
    "OPTIONS",
    "Balanced",
    "Evaluation",
    "FirstStage",
    "Record",
    "Reliability",
    "Report",
    "build",
    "render",
    "to_json",
]
