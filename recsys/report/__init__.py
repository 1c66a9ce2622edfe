"""Reports: what is said about scores, and the page that says it."""

from recsys.report._evaluation import Evaluation, FirstStage, Other, Record, Report
from recsys.report._render import render, to_json
from recsys.report.balanced import Balanced
from recsys.report.compare import Compare
from recsys.report.experiment import Experiment
from recsys.report.fairness import Fairness
from recsys.report.policy import Policy
from recsys.report.position import Position
from recsys.report.reliability import Reliability

OPTIONS = {
    "balanced": Balanced,
    "compare": Compare,
    "experiment": Experiment,
    "fairness": Fairness,
    "policy": Policy,
    "position": Position,
    "reliability": Reliability,
}


def build(evaluation: Evaluation, reports: dict[str, Report]) -> tuple[str, str, list[Record]]:
    """(metrics.json, index.html, records) of the chosen reports: a function of its arguments alone."""
    told = {name: reports[name].records(evaluation) for name in sorted(reports)}
    records = [record for name in told for record in told[name]]
    charts = [chart for name in told for chart in reports[name].charts(evaluation)]
    charts += [table for name in told for table in reports[name].tables(evaluation, told[name])]
    return to_json(records), render(evaluation, records, charts), records


__all__ = [
    "OPTIONS",
    "Balanced",
    "Compare",
    "Evaluation",
    "Experiment",
    "Fairness",
    "FirstStage",
    "Other",
    "Policy",
    "Position",
    "Record",
    "Reliability",
    "Report",
    "build",
    "render",
    "to_json",
]
