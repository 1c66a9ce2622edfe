"""The page of rows that are too many to keep: records and charts from their state, and what heads them."""

from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from recsys.metric.state import SUMS, State
from recsys.report._chart import Chart, Remark, SliceGroup
from recsys.report._evaluation import GIVEN, Evaluation, Record
from recsys.report._state_records import fold_small, records
from recsys.report._state_reliability import Calibrated, tell
from recsys.report.balanced import DRAWN
from recsys.report.reliability import Reliability
from recsys.tables import CALIBRATED, RANKS, TOP
from recsys.target import Target


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The state of all rows, and what became of the slices."""

    num_rows: int
    state: State
    calibrated: Calibrated | None  # None where the rows brought their probabilities
    skipped: dict[str, str]  # column -> why it is no cut
    merged: dict[str, int]  # column -> values that became 'other'
    notes: dict[str, str]  # column -> what is to be known of its slices

    @property
    def num_queries(self) -> int:
        return self._count("queries")

    @property
    def num_pairs(self) -> int:
        return self._count("pairs")

    def remarks(self) -> list[str]:
        """What a reader is to know of the slices; a sentence each."""
        said = [f"Not cut by {column}: {why}." for column, why in self.skipped.items()]
        said += [
            f"Of {column}, {number:,} rarer values are together as 'other'." for column, number in self.merged.items()
        ]
        return [*(text.replace("_", " ") for text in said), *dict.fromkeys(self.notes.values())]

    def calibration(self, target: str) -> dict[str, Any]:
        """What was chosen from which candidates, and why; empty where the rows brought their probabilities."""
        if self.calibrated is None:
            return {}
        selection = self.calibrated.selection
        return {
            "chosen": selection.chosen,
            "reason": selection.reason,
            "output": target,
            "candidates": [asdict(candidate) for candidate in selection.candidates],
        }

    def _count(self, name: str) -> int:
        return int(self.state.sum_MSG[SUMS.index(name), 0].sum())


@dataclass(frozen=True, kw_only=True)
class CountedReport:
    """How counts are told."""

    k: int
    num_bins: int
    num_replicates: int
    min_queries: int  # fewer, and a slice is not judged
    min_size: int  # fewer queries, and a slice is not shown by itself
    seed: int  # of the resampling

    def told(self, counted: Counted, name: str, target: Target) -> tuple[list[Record], list[Chart]]:
        """All records, and what the page shows besides them."""
        state, gone = fold_small(counted.state, self.min_size)
        made = records(
            state,
            target=name,
            split="all",
            gain=target.describe(),
            num_replicates=self.num_replicates,
            min_queries=self.min_queries,
            notes=counted.notes,
        )
        charts: list[Chart] = [
            SliceGroup(
                target=name,
                column=cut.column,
                metric=DRAWN[cut.axis].format(k=self.k),
                values=cut.values,
                min_queries=self.min_queries,
            )
            for cut in state.layout.cuts
        ]
        small = f"have fewer than {self.min_size} queries and are not shown by themselves."
        said = [f"{number:,} slices of {column} {small}".replace("_", " ") for column, number in gone.items()]
        charts += [Remark(target=name, text=text) for text in [*counted.remarks(), *said]]
        if counted.calibrated is not None:
            further, diagrams = tell(
                counted.calibrated,
                Reliability(num_bins=self.num_bins, num_replicates=self.num_replicates),
                target=name,
                num_queries=counted.num_queries,
                num_pairs=counted.num_pairs,
                seed=self.seed,
            )
            made, charts = made + further, charts + diagrams
        return made, charts


def heading(
    counted: Counted, name: str, target: Target, *, run: str, source: str, created: str, num_items: int
) -> Evaluation:
    """What heads the page: there are counts alone, and no rows to show."""
    calibration = counted.calibration(name)
    return Evaluation(
        run=run,
        source=source,
        model=GIVEN,
        created=created,
        seed=0,  # nothing is drawn
        learned=False,
        outputs=(name,),
        targets={name: target},
        queries=pa.table({"query_id": pa.array([], pa.string())}),
        items=pa.table({"item_id": pa.array([], pa.string())}),
        calibrated=CALIBRATED.schema.empty_table(),
        ranks=RANKS.schema.empty_table(),
        top=TOP.schema.empty_table(),
        calibration={name: calibration} if calibration else {},
        rows={"rows": {"in": counted.num_rows, "out": counted.num_rows}},
        num_labels=counted.num_rows,
        num_pairs=counted.num_pairs,
        num_queries=counted.num_queries,
        num_items=num_items,
    )
