"""What a report is made from, and the record it yields: the pure side of the report stage."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import pyarrow as pa

from recsys.report._chart import Chart
from recsys.target import Target

GIVEN = "given"  # the model's name where scores came with the data


@dataclass(frozen=True, kw_only=True)
class FirstStage:
    """The model of a cascade that ranked every item, before the other scored its best ones again."""

    model: str
    top: int  # items of each query that the other model scored again


@dataclass(frozen=True, kw_only=True)
class Other:
    """Another finished run that a report looks at beside its own."""

    run: str
    model: str
    learned: bool
    outputs: tuple[str, ...]
    calibrated: pa.Table
    ranks: pa.Table
    impressions: pa.Table | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything a report may look at. Tables follow `recsys.tables`."""

    run: str
    source: str  # name of the source, e.g. shop
    model: str  # name of the model, e.g. cross_encoder
    created: str  # date, YYYY-MM-DD
    seed: int
    learned: bool  # the model saw labels of train queries: then only the test queries are fair
    outputs: tuple[str, ...]  # of the model; see recsys.scorer.output_for
    targets: dict[str, Target]  # those with at least one label
    queries: pa.Table  # corpus queries with split, without text being needed
    items: pa.Table  # corpus items
    calibrated: pa.Table  # CALIBRATED: one row per label of all targets
    ranks: pa.Table  # RANKS; no rows where only labelled pairs were scored
    top: pa.Table  # TOP; no rows likewise
    calibration: dict[str, dict]  # target -> {"chosen": name, "candidates": [{"name", "log_loss", "low", "high"}], ...}
    rows: dict[str, dict]  # raw table -> {"in", "out", "merged": {reason: n}, "quarantined": {reason: n}}
    num_labels: int  # labelled rows
    num_pairs: int  # pairs scored
    num_queries: int
    num_items: int
    first: FirstStage | None = None  # where `model` is the second of a cascade
    impressions: pa.Table | None = None  # of the corpus; None without a log, or where no report looks at it
    others: dict[str, Other] = field(default_factory=dict)  # folder as the reports name it -> the run

    @property
    def models(self) -> str:
        """What was scored with: the model, or both of a cascade."""
        if self.given:
            return "given scores"
        return self.model if self.first is None else f"{self.first.model} → {self.model}"

    @property
    def given(self) -> bool:
        """The scores came with the data."""
        return self.model == GIVEN

    @property
    def split(self) -> str:
        """The queries on which the headline is computed: 'test' if the model saw labels, else 'all'."""
        return "test" if self.learned else "all"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One number of `report/metrics.json`. `value`, `low`, `high` are None where undefined."""

    report: str  # which report made it: balanced, reliability, ...
    target: str
    split: str  # train, validation, test or all
    metric: str  # e.g. "ndcg@10"
    definition: str  # one sentence: formula, ties, unjudged rule, source
    slice: str  # "overall", or "<column>=<value>"
    value: float | None
    low: float | None  # 95 % interval, queries resampled
    high: float | None
    num_queries: int
    num_pairs: int


@dataclass
class Report(ABC):
    """An option of conf/report: records from an evaluation, and a section of the page."""

    reads_log: ClassVar[bool] = False  # it looks at the impressions

    def opens(self) -> list[str]:
        """Folders or URIs of other runs that it looks at."""
        return []

    @abstractmethod
    def records(self, evaluation: Evaluation) -> list[Record]:
        """All numbers of this report."""

    def charts(self, evaluation: Evaluation) -> list[Chart]:
        """What its section shows besides its records."""
        return []

    def tables(self, evaluation: Evaluation, records: list[Record]) -> list[Chart]:
        """What its section shows of its own records, in tables of its own making."""
        return []
