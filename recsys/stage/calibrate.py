"""scores/ -> calibration/: probabilities that mean what they say, one calibrator per target.

Fitted on queries the model has not learnt from; each labelled row gets its probability from a calibrator fitted
without its query. calibration/top.parquet is the top K of each query with calibrated probabilities.
"""

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from recsys import seed as seeds
from recsys.calibrator import Calibrator, Ordinal, Rows, Selection, folds, order_kept, select
from recsys.scorer import output_for
from recsys.stage._corpus import Corpus
from recsys.stage._grades import grades
from recsys.stage._job import Job, perform
from recsys.stage._materialise import Map, materialise, with_probabilities
from recsys.stage._segments import SegmentColumns, unseen
from recsys.stage._weights import evidence, observations
from recsys.stage.score import read_labelled
from recsys.store import Folder
from recsys.tables import CALIBRATED, LABELS
from recsys.target import Target

log = logging.getLogger("recsys")
TOP_FILE = "top.parquet"


@dataclass
class CalibrateJob(Job):
    """Fits every candidate calibrator to every target that has labels, and keeps the one that holds out best."""

    stage: ClassVar[str] = "calibration"
    version: ClassVar[int] = 3  # what is drawn by chance tells no more than what was drawn
    semantic: ClassVar[tuple[str, ...]] = ("calibrator", "num_folds", "target", "seed")

    calibrator: dict[str, Calibrator]  # candidates, from simple to complex
    num_folds: int
    materialise: bool  # write calibrated/ too: every score that was kept, with its probabilities
    target: dict[str, Target]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.calibrator:
            raise ValueError("calibrator=[] leaves none to choose from; use at least calibrator=[identity]")
        if self.num_folds < 2:
            raise ValueError(f"num_folds={self.num_folds} holds nothing out; use at least 2")


def calibrate(job: CalibrateJob) -> dict[str, Any]:
    """Calibrates the run's scores for every target with labels."""
    manifest = perform(job, job.plan(job.inputs("corpus", "scores")), lambda folder: _calibrate(job, folder))
    if job.materialise:
        materialise(job, manifest)
    return manifest


def _calibrate(job: CalibrateJob, folder: Folder) -> dict[str, Any]:
    corpus = Corpus(job.run.folder("corpus"), job.run.manifest("corpus"))
    scores, manifest = job.run.folder("scores"), job.run.manifest("scores")
    outputs = tuple(manifest["outputs"])
    columns = SegmentColumns(corpus, [name for candidate in job.calibrator.values() for name in candidate.columns])
    rows = join_scores(corpus, read_labelled(scores))
    top = scores.read_table("top.parquet")
    frames, chosen, maps = [], {}, {}
    for name in job.target:
        labels = rows.filter(pc.equal(rows["target"], name))
        if not labels.num_rows:
            log.info("calibrate   %s: no labels in this corpus", name)
            continue
        output = output_for(name, outputs)
        frame, selection, ordinal = _calibrate_target(job, labels, columns, name, output, learned=manifest["learned"])
        frames.append(frame)
        maps[name] = Map(output=output, fitted=selection.fitted)
        chosen[name] = {
            "chosen": selection.chosen,
            "reason": selection.reason,
            "output": output,
            "candidates": [dataclasses.asdict(c) for c in selection.candidates],
            "order": order_kept(selection.fitted, frame["score"].to_numpy(), columns.of(labels)),
            "without_segment": unseen(columns.of(top), selection.fitted.segments),
        }
        written = {"calibrator": selection.fitted.to_json()} | ({"grades": ordinal.to_json()} if ordinal else {})
        folder.write_json(f"{name}.json", chosen[name] | written)
        _tell(name, selection, chosen[name])
    if not frames:
        raise ValueError(
            f"no label of {', '.join(job.target)} in the corpus, so nothing can be calibrated; "
            f"choose target=[…] among what the source has labels for"
        )
    calibrated = pa.concat_tables(frames, promote_options="default")
    top = _top(top, maps, manifest["model"], columns)
    parts = [folder.write_table("calibrated.parquet", calibrated), folder.write_table(TOP_FILE, top)]
    return {
        "rows": {"labels": calibrated.num_rows, "top": top.num_rows},
        "calibration": chosen,
        "outputs": list(outputs),
        "parts": {"": parts},
    }


def _tell(name: str, selection: Selection, told: dict[str, Any]) -> None:
    log.info("calibrate   %s: %s (%s); %s", name, selection.chosen, selection.reason, told["order"])
    for column, rows in told["without_segment"].items():
        shown = ", ".join(f"{value} ({number:,})" for value, number in list(rows.items())[:5])
        log.info("calibrate   %s: rows of unknown %s get the map for all: %s", name, column, shown)


def join_scores(corpus: Corpus, scores: pa.Table) -> pa.Table:
    """Every label with the split of its query and the scores of its pair, in a fixed order."""
    labels = corpus.table("labels")
    if "score" in labels.column_names:
        labels = labels.drop_columns(["score"])  # given scores come back as the frozen ones
    queries = corpus.table("queries", ["query_id", "split"])
    further = [n for n in labels.column_names if n not in LABELS.names]
    order = [(n, "ascending") for n in (*LABELS.key, *further)]
    rows = labels.join(queries, keys="query_id").join(scores, keys=["query_id", "item_id"], join_type="inner")
    assert rows.num_rows == labels.num_rows, "every labelled pair was scored once"
    return rows.sort_by(order).combine_chunks()


def _calibrate_target(
    job: CalibrateJob, labels: pa.Table, columns: SegmentColumns, name: str, output: str, *, learned: bool
) -> tuple[pa.Table, Selection, Ordinal | None]:
    """The target's CALIBRATED rows, its chosen calibrator, and the map to its grades where it has more than two.

    What the model learnt from would make its probabilities look surer than they are: where it learnt, train queries
    get the calibrator fitted on all the others.
    """
    query_ids, query_N = np.unique(labels["query_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    weight_N = observations(labels)
    positive_N = np.asarray(job.target[name].positive(labels["label"].to_numpy()), bool)
    rows = Rows(
        score_N=labels[f"score_{output}"].to_numpy(),
        positive_N=positive_N,
        weight_N=evidence(labels, weight_N, positive_N),
        fold_N=folds(query_ids.tolist(), job.num_folds, seeds.seed(job.seed, "calibration", "folds"))[query_N],
        segment=columns.of(labels),
    )
    usable_N = np.ones(len(rows), bool)
    if learned:
        usable_N = labels["split"].to_numpy(zero_copy_only=False) != "train"
        if not usable_N.any():
            raise ValueError(f"{name}: every labelled query is a train query; raise split.validation or split.test")
    selection = select(job.calibrator, rows.take(usable_N), query_N[usable_N])
    probability_N = selection.fitted.predict(rows.score_N, rows.segment)
    low_N, high_N = (end_N.copy() for end_N in selection.fitted.interval(rows.score_N, rows.segment))
    probability_N[usable_N], low_N[usable_N], high_N[usable_N] = (
        selection.probability_N,
        selection.low_N,
        selection.high_N,
    )
    columns_N = {
        "weight": pa.array(weight_N),
        "score": pa.array(rows.score_N),
        "uncalibrated": pa.array(expit(rows.score_N.astype(np.float64))),
        "probability": pa.array(probability_N),
    }
    if selection.fitted.gives_interval:
        columns_N |= {"probability_low": pa.array(low_N), "probability_high": pa.array(high_N)}
    graded = grades(rows.score_N, labels["label"].to_numpy(), rows.weight_N, rows.fold_N, usable_N)
    if graded is not None:
        columns_N |= {column: pa.array(value_N) for column, value_N in graded[1].items()}
    kept = [n for n in labels.column_names if not n.startswith("score_")]
    frame = CALIBRATED.conform(pa.table({n: labels[n] for n in kept} | columns_N))
    return frame, selection, graded[0] if graded else None


def _top(top: pa.Table, maps: dict[str, Map], model: str, columns: SegmentColumns) -> pa.Table:
    """The top K of every query with one calibrated probability column per target, null where another output ranks, or
    where the first model of a cascade gave the score: calibrators know the scores of `model` alone."""
    segment, score_N = columns.of(top), top["score"].to_numpy()
    for name, mapped in maps.items():
        other = pc.or_(pc.not_equal(top["output"], mapped.output), pc.not_equal(top["model"], model))
        for column, value_N in with_probabilities(name, mapped.fitted, score_N, segment).items():
            known = pc.if_else(other, pa.scalar(None, pa.float64()), pa.array(value_N))
            top = top.append_column(column, known)
    return top
