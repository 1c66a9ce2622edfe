"""Clicks and purchases at each position of the page, from the log of impressions.

Shapes: N impressions, P positions, Q queries, R weightings of the queries (column 0: the estimate).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recsys import seed
from recsys.metric import bootstrap
from recsys.metric.position import rates
from recsys.report import _text
from recsys.report._chart import Chart, Figure, Remark, Row, Table
from recsys.report._evaluation import Evaluation, Record, Report

LEVEL = 0.95
RATES = {
    "ctr": "Clicks per impression at this position.",
    "cvr": "Purchases per click at this position.",
    "cvr_per_impression": "Purchases per impression at this position.",
}
CAVEAT = "What was seen there, with the items that stood there: attention and the quality of the order together."
NAMES = {"ctr": "Clicked", "cvr": "Bought per click", "cvr_per_impression": "Bought"}


@dataclass
class Position(Report):
    """CTR and CVR by position, with intervals from resampled queries."""

    reads_log: ClassVar[bool] = True

    deepest: int
    num_replicates: int

    def __post_init__(self) -> None:
        if self.deepest < 1:
            raise ValueError(f"report.position.deepest={self.deepest} must be at least 1")
        if self.num_replicates < 20:
            raise ValueError(f"report.position.num_replicates={self.num_replicates} is too few; use 100 or more")

    def records(self, evaluation: Evaluation) -> list[Record]:
        log = evaluation.impressions
        if log is None or log.num_rows == 0:
            return []
        query_ids, query_N = np.unique(log["query_id"].to_numpy().astype(str), return_inverse=True)
        run_seed = seed.seed(evaluation.seed, "report", "queries")
        weight_QR = bootstrap.poisson_weights([str(q) for q in query_ids], self.num_replicates, run_seed)
        position_N = log["position"].to_numpy().astype(np.int64)
        click_N, purchase_N = (log[n].to_numpy() == 1 for n in ("click", "purchase"))
        shown_N = np.ones(log.num_rows, bool)
        kinds = {
            "ctr": ("click", shown_N, click_N),
            "cvr": ("purchase", click_N, purchase_N),
            "cvr_per_impression": ("purchase", shown_N, purchase_N),
        }
        made = []
        for metric, (target, exposed_N, happened_N) in kinds.items():
            if target not in evaluation.targets:
                continue
            found = rates(
                query_N=query_N,
                position_N=position_N,
                exposed_N=exposed_N,
                happened_N=happened_N,
                weight_QR=weight_QR,
                deepest=self.deepest,
            )
            for p, place in enumerate(found.position_P):
                queries = int(found.num_queries_P[p])
                ends = bootstrap.interval(found.value_PR[p], LEVEL, num_queries=queries, scale="logit")
                value, low, high = (float(v) if np.isfinite(v) else None for v in ends)
                made.append(
                    Record(
                        report="position",
                        target=target,
                        split="all",
                        metric=metric,
                        definition=f"{RATES[metric]} {CAVEAT} num_pairs counts exposures.",
                        slice=f"position={self._name(int(place))}",
                        value=value,
                        low=low,
                        high=high,
                        num_queries=queries,
                        num_pairs=int(found.num_exposed_P[p]),
                    )
                )
        return made

    def charts(self, evaluation: Evaluation) -> list[Chart]:
        if evaluation.impressions is None or evaluation.impressions.num_rows == 0:
            return [Remark(target="", text="No log of impressions: no rates by position.")]
        return []

    def tables(self, evaluation: Evaluation, records: list[Record]) -> list[Chart]:
        return list(self._tables(records))

    def _tables(self, records: list[Record]) -> Iterator[Table]:
        for metric, name in NAMES.items():
            mine = [r for r in records if r.metric == metric]
            if mine:
                yield Table(
                    target=mine[0].target,
                    section="What happens at each position?",
                    title=name,
                    about=f"{RATES[metric]} {CAVEAT}",
                    columns=("Position", "Rate", "Exposures", "Queries"),
                    rows=tuple(
                        Row(
                            name=r.slice.partition("=")[2],
                            cells=(
                                Figure(value=r.value, low=r.low, high=r.high, why=_why(r)),
                                f"{r.num_pairs:,}",
                                f"{r.num_queries:,}",
                            ),
                        )
                        for r in mine
                    ),
                    drawn=True,
                )

    def _name(self, place: int) -> str:
        return f"{place} and below" if place == self.deepest else str(place)


def _why(record: Record) -> str:
    return "Nothing was exposed here." if record.value is None else _text.why(record)
