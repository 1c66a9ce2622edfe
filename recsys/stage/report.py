"""calibration/ -> report/: metrics.json and one self-contained page."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from recsys import seed as seeds
from recsys.report import Evaluation, FirstStage, Report, build
from recsys.stage._corpus import Corpus
from recsys.stage._job import Job, perform
from recsys.store import Folder
from recsys.target import Target


@dataclass
class ReportJob(Job):
    """Writes every report that is asked for, from scores and labels alone: no model runs."""

    stage: ClassVar[str] = "report"
    semantic: ClassVar[tuple[str, ...]] = ("report", "target", "seed")

    report: dict[str, Report]
    target: dict[str, Target]


def report(job: ReportJob) -> dict[str, Any]:
    """Reports on the run's calibrated scores."""
    return perform(job, job.plan(job.inputs("calibration")), lambda folder: _report(job, folder))


def _report(job: ReportJob, folder: Folder) -> dict[str, Any]:
    run = job.run
    prepared, scored, calibrated = (run.manifest(stage) for stage in ("corpus", "scores", "calibration"))
    corpus, cascade = Corpus(run.folder("corpus"), prepared), scored.get("cascade")
    evaluation = Evaluation(
        run=job.name,
        source=prepared["source"],
        model=scored["model"],
        created=datetime.now(UTC).date().isoformat(),
        seed=seeds.seed(job.seed, "report"),
        learned=scored["learned"],
        outputs=tuple(scored["outputs"]),
        targets={name: target for name, target in job.target.items() if name in calibrated["calibration"]},
        queries=corpus.table("queries"),
        items=corpus.table("items"),
        calibrated=run.folder("calibration").read_table("calibrated.parquet"),
        ranks=run.folder("scores").read_table("ranks.parquet"),
        top=run.folder("scores").read_table("top.parquet"),
        calibration=calibrated["calibration"],
        rows=prepared["rows"],
        num_pairs=scored["rows"]["pairs"],
        num_queries=corpus.num_rows("queries"),
        num_items=corpus.num_rows("items"),
        first=FirstStage(model=cascade["first"], top=cascade["top"]) if cascade else None,
    )
    metrics, page, records = build(evaluation, job.report)
    folder.write("metrics.json", metrics.encode())
    folder.write("index.html", page.encode())
    return {"rows": {"records": len(records)}, "parts": {"": [{"name": "index.html"}, {"name": "metrics.json"}]}}
