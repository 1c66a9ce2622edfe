"""calibration/ -> report/: metrics.json and one self-contained page."""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import pyarrow as pa

from recsys import seed as seeds
from recsys.report import Evaluation, FirstStage, Other, Report, build
from recsys.stage._corpus import Corpus
from recsys.stage._job import Job, perform
from recsys.store import Folder, Plan, Run
from recsys.target import Target


@dataclass
class ReportJob(Job):
    """Writes every report that is asked for, from scores and labels alone: no model runs."""

    stage: ClassVar[str] = "report"
    semantic: ClassVar[tuple[str, ...]] = ("report", "target", "seed")

    report: dict[str, Report]
    target: dict[str, Target]

    def plan(self, inputs: dict[str, str]) -> Plan:
        """Other runs count by their names and the fingerprints of their calibration, wherever they lie."""
        plan = super().plan(inputs)
        fingerprints = {}
        for uri in self.others():
            run = Run.at(uri)
            if run.name == self.name or f"run {run.name}" in fingerprints:
                raise ValueError(f"report: {uri} names a run '{run.name}' a second time; runs go by different names")
            fingerprints[f"run {run.name}"] = run.manifest("calibration")["fingerprint"]
        return dataclasses.replace(plan, inputs=plan.inputs | fingerprints)

    def others(self) -> list[str]:
        """Folders of all other runs that the reports look at."""
        return list(dict.fromkeys(uri for name in sorted(self.report) for uri in self.report[name].opens()))


def report(job: ReportJob) -> dict[str, Any]:
    """Reports on the run's calibrated scores."""
    return perform(job, job.plan(job.inputs("calibration")), lambda folder: _report(job, folder))


def _report(job: ReportJob, folder: Folder) -> dict[str, Any]:
    run = job.run
    prepared, scored, calibrated = (run.manifest(stage) for stage in ("corpus", "scores", "calibration"))
    corpus, cascade = Corpus(run.folder("corpus"), prepared), scored.get("cascade")
    reads_log = any(report.reads_log for report in job.report.values())
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
        num_labels=calibrated["rows"]["labels"],
        num_pairs=scored["rows"]["pairs"],
        num_queries=corpus.num_rows("queries"),
        num_items=corpus.num_rows("items"),
        first=FirstStage(model=cascade["first"], top=cascade["top"]) if cascade else None,
        impressions=_impressions(corpus) if reads_log else None,
        others={uri: _other(Run.at(uri), reads_log=reads_log) for uri in job.others()},
    )
    metrics, page, records = build(evaluation, job.report)
    folder.write("metrics.json", metrics.encode())
    folder.write("index.html", page.encode())
    return {"rows": {"records": len(records)}, "parts": {"": [{"name": "index.html"}, {"name": "metrics.json"}]}}


def _other(run: Run, *, reads_log: bool) -> Other:
    scored = run.manifest("scores")
    return Other(
        run=run.name,
        model=scored["model"],
        learned=scored["learned"],
        outputs=tuple(scored["outputs"]),
        calibrated=run.folder("calibration").read_table("calibrated.parquet"),
        ranks=run.folder("scores").read_table("ranks.parquet"),
        impressions=_impressions(Corpus(run.folder("corpus"), run.manifest("corpus"))) if reads_log else None,
    )


def _impressions(corpus: Corpus) -> pa.Table | None:
    return corpus.table("impressions") if corpus.has("impressions") else None
