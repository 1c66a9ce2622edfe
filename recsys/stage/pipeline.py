"""The whole flow: runs what is missing, in order, and says where everything lies."""

from dataclasses import dataclass
from typing import Any, ClassVar

from recsys.stage._cluster import connect
from recsys.stage._given import given_plan
from recsys.stage._job import Job, log, submitted
from recsys.stage.calibrate import CalibrateJob, calibrate
from recsys.stage.prepare import PrepareJob, prepare
from recsys.stage.report import ReportJob, report
from recsys.stage.score import ScoreJob, score
from recsys.stage.train import TrainJob, train


@dataclass
class PipelineJob(ReportJob, CalibrateJob, ScoreJob, TrainJob, PrepareJob):
    """Every field of every verb."""

    stage: ClassVar[str] = "pipeline"

    def __post_init__(self) -> None:
        for kind in (PrepareJob, TrainJob, ScoreJob, CalibrateJob, ReportJob):
            self.part(kind)


def pipeline(job: PipelineJob) -> None:
    """prepare, train, score, calibrate, report. All that can be refused is refused before the first of them."""
    check(job)
    manifests = {"corpus": prepare(job.part(PrepareJob))}
    if not manifests["corpus"]["scores_given"]:
        manifests["model"] = train(job.part(TrainJob))
    manifests["scores"] = score(job.part(ScoreJob))
    manifests["calibration"] = calibrate(job.part(CalibrateJob))
    manifests["report"] = report(job.part(ReportJob))
    _summary(job, manifests)


def check(job: PipelineJob) -> None:
    """Raises ValueError for a bad source, model, table of pairs or first run, or a name that other work holds; costs
    seconds."""
    if submitted():
        connect(job)  # refuses a store that not all nodes see, before anything is written to it
    raw = job.source.identity()
    job.model.check()
    corpus = job.part(PrepareJob).plan(raw)
    pairs = job.pairs.identity(corpus=corpus.fingerprint, top_k=job.top_k)
    job.run.done(corpus)
    if job.source.gives_scores:
        scores = given_plan({"corpus": corpus.fingerprint})
    else:
        model = job.part(TrainJob).plan({"corpus": corpus.fingerprint})
        job.run.done(model)
        scores = job.part(ScoreJob).plan({"corpus": corpus.fingerprint, "model": model.fingerprint} | pairs)
    job.run.done(scores)
    calibration = job.part(CalibrateJob).plan({"corpus": corpus.fingerprint, "scores": scores.fingerprint})
    job.run.done(calibration)
    job.run.done(job.part(ReportJob).plan({"calibration": calibration.fingerprint}))


def _summary(job: Job, manifests: dict[str, dict[str, Any]]) -> None:
    """A short table of what was done and where it lies."""
    root = job.run
    scores, calibration = manifests["scores"], manifests["calibration"]
    rows = manifests["corpus"]["rows"]
    taken = f" ({n:,} taken over)" if (n := scores["rows"].get("taken_over")) else ""
    told = [
        (
            "corpus",
            f"{rows['items']['out']:,} items, {rows['queries']['out']:,} queries, {sum_labels(manifests):,} labels",
        ),
        ("scores", f"{scores['rows']['pairs']:,} pairs scored{taken}, {scores['rows']['labelled']:,} labelled"),
        ("calibration", ", ".join(f"{k}: {v['chosen']}" for k, v in calibration["calibration"].items())),
        ("report", f"{manifests['report']['rows']['records']:,} numbers"),
    ]
    for stage, text in told:
        log.info("%-11s %-60s %s", stage, text, root.folder(stage).path)
    log.info("top items   with calibrated probabilities: %s/top.parquet", root.folder("calibration").path)
    log.info("open        %s/index.html", root.folder("report").path)


def sum_labels(manifests: dict[str, dict[str, Any]]) -> int:
    return sum(manifests["corpus"]["labels"].values())
