"""scored, labelled rows of any number -> report/: calibrated and evaluated in bounded memory, by counts that add up.

The rows need no corpus and no model. Nothing grows with their number but the queries' hashes, 8 bytes each.
"""

import logging
import posixpath
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import seed as seeds
from recsys.calibrator import Calibrator
from recsys.report import render, to_json
from recsys.report._counted import CountedReport, heading
from recsys.report._labelled import Labelled
from recsys.report._state_build import Dials
from recsys.source._files import File, find
from recsys.stage._cluster import connect, num_workers
from recsys.stage._job import Job, perform
from recsys.stage._states import evaluate as count
from recsys.store import Folder, Plan
from recsys.target import Target

log = logging.getLogger("recsys")
STATES = "states"  # folder under report/, while it is being made
SUFFIXES = (".parquet",)
TABLES = ("queries", "items")  # that rows are cut by


@dataclass
class ScoredRows:
    """Parquet files of scored, labelled rows, and what their columns mean."""

    path: str  # file, folder, pattern or URI; all rows of a query lie in one file, next to each other
    query: str
    item: str
    label: str
    score: str
    probability: str | None
    weight: str | None

    def title(self) -> str:
        """What the page calls them: the name of the file or folder."""
        name = posixpath.basename(self.path.rstrip("/")).removesuffix(".parquet")
        return re.split(r"[*?[]", name)[0].strip("-_. ") or "rows"


@dataclass
class Cuts:
    """What the rows are cut by."""

    queries: str | None  # Parquet file or folder with query_id and columns to cut by
    items: str | None  # likewise item_id
    rows: list[str]  # columns of the rows themselves
    columns: list[str]  # further columns of queries or items, whatever their type and number of values
    crosses: list[list[str]]  # pairs of cuts
    max_values: int

    def __post_init__(self) -> None:
        if not 2 <= self.max_values <= 50:
            raise ValueError(f"cuts.max_values={self.max_values} must lie between 2 and 50")
        if wrong := [c for c in self.crosses if len(set(c)) != 2]:
            raise ValueError(f"cuts.crosses has {wrong[0]}; a cross is of two different cuts: [frequency,category]")


@dataclass
class Precision:
    """How finely rows are counted: memory against width of the brackets."""

    groups: int  # of queries: what is resampled, and held out
    cells: int  # of scores, per slice: how narrow the bracket of AUC is
    coarse: int  # of scores, per slice and group: behind the intervals of AUC
    condensed: int  # of scores, per group: what calibrators are fitted to
    bins: int  # of probability, per slice and group

    def __post_init__(self) -> None:
        if self.groups < 2:
            raise ValueError(f"precision.groups={self.groups} leaves nothing to resample; use 256")
        if not 1 <= self.coarse <= self.cells <= 1 << 16:
            raise ValueError(f"precision.coarse={self.coarse} and cells={self.cells}: 1 <= coarse <= cells <= 65536")
        if not 1 <= self.condensed <= 1 << 16:
            raise ValueError(f"precision.condensed={self.condensed} must lie between 1 and 65536")
        if not 2 <= self.bins <= 100:
            raise ValueError(f"precision.bins={self.bins} must lie between 2 and 100")


@dataclass
class EvaluateJob(Job):
    """Calibrates and reports rows that somebody scored and labelled, however many."""

    stage: ClassVar[str] = "report"
    semantic: ClassVar[tuple[str, ...]] = (
        *("rows", "cuts", "precision", "target", "calibrator", "num_folds", "seed"),
        *("k", "num_replicates", "min_queries", "min_size"),
    )

    rows: ScoredRows
    cuts: Cuts
    precision: Precision
    target: dict[str, Target]
    calibrator: dict[str, Calibrator]
    num_folds: int
    k: int
    num_replicates: int
    min_queries: int
    min_size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.target) != 1:
            raise ValueError(
                f"target=[{','.join(self.target)}]: rows have one label; name one target, as target=[click]"
            )
        if self.num_replicates < 20:
            raise ValueError(f"num_replicates={self.num_replicates} is too few; use 100 or more")
        for name in ("k", "min_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.min_queries < 2:
            raise ValueError(f"min_queries={self.min_queries} must be at least 2")
        if not 2 <= self.num_folds <= self.precision.groups:
            raise ValueError(f"num_folds={self.num_folds} must lie between 2 and precision.groups")
        if needy := [name for name, candidate in self.calibrator.items() if candidate.columns]:
            raise ValueError(
                f"calibrator={needy[0]} needs columns, and rows of any number are calibrated by score alone"
            )

    def plan(self, inputs: dict[str, str]) -> Plan:
        """Files are known by their content: where they lie does not matter."""
        plan = super().plan(inputs)
        plan.config["rows"].pop("path")
        for name in ("queries", "items"):
            plan.config["cuts"].pop(name)
        return plan

    def labelled(self, files: list[File]) -> Labelled:
        """The rows as the passes read them."""
        rows = self.rows
        return Labelled(
            filesystem=files[0].filesystem,
            paths=tuple(file.path for file in files),
            query=rows.query,
            item=rows.item,
            label=rows.label,
            score=rows.score,
            probability=rows.probability,
            weight=rows.weight,
        )

    def dials(self) -> Dials:
        """What the passes are made with."""
        return Dials(
            k=self.k,
            num_bins=self.precision.bins,
            num_cells=self.precision.cells,
            num_coarse=self.precision.coarse,
            num_groups=self.precision.groups,
            num_condensed=self.precision.condensed,
            num_folds=self.num_folds,
            max_values=self.cuts.max_values,
            named=tuple(self.cuts.columns),
            by_row=tuple(self.cuts.rows),
            crosses=tuple((one, other) for one, other in self.cuts.crosses),
            seed=seeds.seed(self.seed, "report", "queries"),
        )

    def report(self) -> CountedReport:
        """How the counts are told."""
        return CountedReport(
            k=self.k,
            num_bins=self.precision.bins,
            num_replicates=self.num_replicates,
            min_queries=self.min_queries,
            min_size=self.min_size,
            seed=self.dials().seed,
        )


def evaluate(job: EvaluateJob) -> dict[str, Any]:
    """Evaluates the rows. Raises TableError where there are none, ValueError for a row that cannot be judged."""
    files = {"rows": find(job.rows.path, SUFFIXES)}
    files |= {name: find(uri, SUFFIXES) for name in TABLES if (uri := getattr(job.cuts, name)) is not None}
    inputs = {f"{name}/{file.name}": file.identity() for name, found in files.items() for file in found}
    manifest = perform(job, job.plan(inputs), lambda folder: _evaluate(job, files, folder))
    log.info("open        %s/index.html", job.run.folder(job.stage).path)
    return manifest


def _evaluate(job: EvaluateJob, files: dict[str, list[File]], folder: Folder) -> dict[str, Any]:
    labelled = job.labelled(files["rows"])
    labelled.check(job.cuts.rows)
    tables = {name: _table(files[name], name) for name in TABLES if name in files}
    connect(job)
    ((name, target),) = job.target.items()
    states = folder.join(STATES)
    found = count(
        labelled,
        target,
        job.dials(),
        job.calibrator,
        queries=tables.get("queries"),
        items=tables.get("items"),
        folder=states,
        workers=num_workers(job),
    )
    made, charts = job.report().told(found, name, target)
    evaluation = heading(
        found,
        name,
        target,
        run=job.name,
        source=job.rows.title(),
        created=datetime.now(UTC).date().isoformat(),
        num_items=tables["items"].num_rows if "items" in tables else 0,
    )
    folder.write("metrics.json", to_json(made).encode())
    folder.write("index.html", render(evaluation, made, charts).encode())
    parts = [{"name": "index.html"}, {"name": "metrics.json"}]
    if found.calibrated is not None:
        selection = found.calibrated.selection
        folder.write_json("calibrator.json", evaluation.calibration[name] | {"calibrator": selection.fitted.to_json()})
        parts.append({"name": "calibrator.json"})
    states.delete()
    return {"rows": {"rows": found.num_rows, "records": len(made)}, "parts": {"": parts}}


def _table(files: list[File], name: str) -> pa.Table:
    """A table of slices, its texts as numbers into a dictionary."""
    key, tables = {"queries": "query_id", "items": "item_id"}[name], []
    for file in files:
        schema = pq.read_schema(file.filesystem.open_input_file(file.path))
        if key not in schema.names:
            raise ValueError(f"cuts.{name}: {file.name} has no column '{key}'; it has {schema.names}; rename its key")
        texts = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        tables.append(pq.read_table(file.path, filesystem=file.filesystem, read_dictionary=texts))
    return pa.concat_tables(tables, promote_options="default").unify_dictionaries()
