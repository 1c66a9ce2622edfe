"""raw/ -> corpus/: contract, cleaning, split by query, labels per target, sharded Parquet.

What is dropped lies in corpus/quarantine/ and is counted by reason: rows in = rows out + quarantined + merged.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.clean import Cleaner, clean
from recsys.source import Source
from recsys.split import Split
from recsys.stage._base import keep_splits, with_base
from recsys.stage._job import Job, perform
from recsys.store import Folder, Plan, stem
from recsys.tables import IMPRESSIONS, JUDGMENTS, LABELS, RAW, TableError
from recsys.target import Target

log = logging.getLogger("recsys")


@dataclass
class PrepareJob(Job):
    """Validates, cleans, splits and shards the raw tables of a source."""

    stage: ClassVar[str] = "corpus"
    semantic: ClassVar[tuple[str, ...]] = ("source", "clean", "split", "target", "shard_rows")

    source: Source
    clean: dict[str, Cleaner]
    split: Split
    target: dict[str, Target]
    shard_rows: int  # rows per Parquet part
    base: str | None  # folder of a run whose queries stay in their splits

    def plan(self, inputs: dict[str, str]) -> Plan:
        """Files are known by their content: where they lie does not matter, nor does the seed of the run."""
        plan = super().plan(inputs)
        if inputs:
            plan.config["source"].pop("path", None)
        return with_base(plan, self.base)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shard_rows < 1:
            raise ValueError(f"shard_rows={self.shard_rows} must be at least 1")
        if not self.target:
            raise ValueError("target=[] predicts nothing; use for example target=[relevance]")


def prepare(job: PrepareJob) -> dict[str, Any]:
    """Prepares the run's corpus. Raises TableError for a table that breaks its contract as a whole."""
    return perform(job, job.plan(job.source.identity()), lambda folder: _prepare(job, folder))


def _prepare(job: PrepareJob, folder: Folder) -> dict[str, Any]:
    raw = {name: _read(job.source, name) for name in job.source.tables()}
    _check_labels(raw, job.target)
    tables, quarantine, rows = clean(raw, job.clean, job.target)
    for name, counted in rows.items():
        _tell(name, counted)
    tables["queries"] = tables["queries"].append_column("split", job.split.assign(tables["queries"]))
    if job.base is not None:
        tables["queries"] = keep_splits(job.base, tables["queries"])
    tables["items"] = tables["items"].sort_by([("locale", "ascending"), ("item_id", "ascending")])
    tables["queries"] = tables["queries"].sort_by([("locale", "ascending"), ("query_id", "ascending")])
    tables["labels"] = labels_of(tables, job.target)
    tables.pop("judgments", None)
    parts = {name: list(_write(folder.join(name), table, job.shard_rows)) for name, table in tables.items()}
    for name, table in quarantine.items():
        if table.num_rows:
            parts[f"quarantine/{name}"] = list(_write(folder.join("quarantine", name), table, job.shard_rows))
    for name, table in job.source.truth().items():
        parts[f"truth/{name}"] = list(_write(folder.join("truth", name), table, job.shard_rows))
    return {
        "source": stem(job.source),
        "rows": rows,
        "labels": {v["values"]: v["counts"] for v in pc.value_counts(tables["labels"]["target"]).to_pylist()},
        "scores_given": job.source.gives_scores,
        "parts": parts,
    }


def _read(source: Source, name: str) -> pa.Table:
    """A raw table, whole; TableError if it is empty."""
    shards = []
    for shard in source.read(name):
        shards.append(RAW[name].conform(shard))
        log.debug("prepare     read %s: %d rows", name, shard.num_rows)
    RAW[name].check_rows(shards)
    return pa.concat_tables(shards, promote_options="default")


def _check_labels(raw: dict[str, pa.Table], targets: dict[str, Target]) -> None:
    """TableError for labels outside their target's range: the scale is not the one that is configured."""
    judgments = raw.get("judgments", JUDGMENTS.schema.empty_table())
    for name, target in targets.items():
        mine = judgments.filter(pc.equal(judgments["target"], name))
        mine = mine.filter(pc.is_valid(mine["label"]))
        outside = np.flatnonzero(target.outside(mine["label"].to_numpy()))
        if len(outside):
            row = mine.slice(outside[0], 1).to_pylist()[0]
            raise TableError(
                f"judgments: label {row['label']:g} of query {row['query_id']!r} and item {row['item_id']!r} is "
                f"outside the range of {name} ({target.describe()}), as are {len(outside)} in all; "
                f"correct them, or the scale in target.{name}"
            )


def labels_of(tables: dict[str, pa.Table], targets: dict[str, Target]) -> pa.Table:
    """LABELS of every target, sorted by key."""
    judgments = tables.get("judgments", JUDGMENTS.schema.empty_table())
    impressions = tables.get("impressions", IMPRESSIONS.schema.empty_table())
    observed = [target.observe(judgments, impressions) for target in targets.values()]
    table = pa.concat_tables([o for o in observed if o.num_rows] or observed[:1], promote_options="default")
    if not table.num_rows:
        raise TableError(
            "no judgment and no impression is left after cleaning, so nothing can be learnt or evaluated; "
            "the lines above count why: ids have to be written alike in all tables"
        )
    table = LABELS.conform(table)
    further = [n for n in table.column_names if n not in LABELS.names]
    return table.sort_by([(k, "ascending") for k in (*LABELS.key, *further)]).combine_chunks()


def _write(folder: Folder, table: pa.Table, shard_rows: int) -> Iterator[dict[str, Any]]:
    """Parts of at most `shard_rows` rows; an empty table has one empty part."""
    for index, start in enumerate(range(0, max(table.num_rows, 1), shard_rows)):
        yield folder.write_table(f"part-{index:09d}.parquet", table.slice(start, shard_rows))


def _tell(name: str, counted: dict[str, Any]) -> None:
    dropped = {**counted["merged"], **counted["quarantined"]}
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in dropped.items()) or "nothing dropped"
    log.info("prepare     %s: %s rows in, %s out (%s)", name, f"{counted['in']:,}", f"{counted['out']:,}", reasons)
