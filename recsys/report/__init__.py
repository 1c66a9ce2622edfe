"""Reports: what is said about scores, and the page that says it."""

from recsys.report._evaluation import Evaluation, Record, Report
from recsys.report.balanced import Balanced
from recsys.report.reliability import Reliability

OPTIONS = {"balanced": Balanced, "reliability": Reliability}

__all__ = ["OPTIONS", "Balanced", "Evaluation", "Record", "Reliability", "Report"]
