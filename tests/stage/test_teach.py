"""Distillation: soft labels are what the teacher says, scored once, and a taught student says what its teacher says."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.objective import Pointwise
from recsys.scorer import Scorer
from recsys.stage._job import Job
from recsys.stage._pairs import LESSONS, labelled_pairs, with_lessons
from recsys.stage._teach import Teaching
from recsys.stage.train import TrainJob, train
from recsys.store import Folder
from recsys.teacher import Lessons
from tests.teacher.fitted import SMALL, best_items, corpus_of, cross_encoder, training

TAUGHT = ("teacher=run", "teacher.pairs=2000", "teacher.weight=5")
STUDENT = (
    "model=two_tower",
    *SMALL,
    "training.threads=1",
    "training.epochs=2",
    "training.patience=2",
    "training.learning_rate=5e-3",
)


@pytest.fixture(scope="module")
def school(tmp_path_factory) -> tuple[Path, list[Scorer]]:
    """The folder of the runs, and the scorers of two teachers."""
    root = tmp_path_factory.mktemp("runs")
    scorers = [cross_encoder(root, name, seed) for seed, name in ((7, "one"), (8, "two"))]
    best_items(root, "best", {q: list(range(30)) for q in range(40)})
    return root, scorers


def whole_grid(job: TrainJob, scorer: Scorer) -> np.ndarray:
    """score_QI of every pair."""
    corpus = corpus_of(job)
    return scorer.score(scorer.encode_queries(corpus.table("queries")), scorer.encode_items(corpus.table("items")))[0]


def lessons_of(job: TrainJob) -> Lessons:
    corpus = corpus_of(job)
    lessons = job.teacher.lessons(corpus.table("queries"), corpus.table("items"), ("relevance",), job.seed)
    assert lessons is not None
    for fitted in lessons.models:  # so that the independent path rounds as they do
        fitted.model.dtype = "float32"  # pyright: ignore[reportAttributeAccessIssue]
    return lessons


def told(root: Path, *overrides: str) -> TrainJob:
    runs = (f"teacher.runs=[{root}/one,{root}/two]", f"teacher.hard={root}/best")
    return training(root, "student", *STUDENT, *TAUGHT, *runs, *overrides)


def teaching(job: TrainJob, folder: Folder) -> Teaching:
    return Teaching(job=job.part(Job), corpus=corpus_of(job), folder=folder, threads=1)


def test_soft_labels_are_the_sigmoid_of_the_mean_logit(school, tmp_path):
    root, scorers = school
    job, folder = told(root, "teacher.pairs=500"), Folder.open(str(tmp_path))
    lessons = lessons_of(job)
    teaching(job, folder).write(lessons, ("relevance",))
    table = folder.read_table(LESSONS)
    mean_QI = (whole_grid(job, scorers[0]).astype(float) + whole_grid(job, scorers[1])) / 2
    expected_P = 1 / (1 + np.exp(-mean_QI[lessons.pair_P2[:, 0], lessons.pair_P2[:, 1]]))
    np.testing.assert_allclose(table["label_relevance"].to_numpy(), expected_P, atol=1e-5)
    assert np.std(expected_P) > 0.01
    assert set(table["weight"].to_pylist()) == {5.0}
    assert 0 < sum(table["hard"].to_pylist()) < len(table)


def test_a_killed_training_scores_only_what_is_missing(school, tmp_path, monkeypatch, caplog):
    root, _ = school
    job, folder = told(root, "teacher.pairs=100"), Folder.open(str(tmp_path))
    lessons, write_table = lessons_of(job), Folder.write_table

    def killed(self: Folder, name: str, table: object) -> dict:
        if name == LESSONS:
            raise KeyboardInterrupt
        return write_table(self, name, table)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as context:
        context.setattr(Folder, "write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            teaching(job, folder).write(lessons, ("relevance",))
    with caplog.at_level(logging.INFO, logger="recsys"):
        teaching(job, folder).write(lessons, ("relevance",))
    assert caplog.text.count("1 of 1 parts were committed before") == 2
    before = (tmp_path / LESSONS).stat().st_mtime_ns
    assert [p.name for p in tmp_path.iterdir()] == [LESSONS]
    teaching(job, folder).write(lessons, ("relevance",))
    assert (tmp_path / LESSONS).stat().st_mtime_ns == before


def test_a_pair_that_is_labelled_and_taught_counts_as_both(school, tmp_path):
    """The loss of the joined pairs is the loss of the two lists one after the other."""
    root, _ = school
    job, folder = told(root), Folder.open(str(tmp_path))
    teaching(job, folder).write(lessons_of(job), ("relevance",))
    pairs = labelled_pairs(corpus_of(job), job.target, "train")
    joined, table = with_lessons(pairs, folder), folder.read_table(LESSONS)
    assert max(len(pairs), len(table)) < len(joined) < len(pairs) + len(table)  # some are in both
    query_row, item_row = (table[n].to_numpy() for n in ("query_row", "item_row"))
    rows_N2 = np.concatenate([pairs.pair_P2, np.stack([query_row, item_row], axis=1)])
    label_N = np.concatenate([pairs.label_PT[:, 0], table["label_relevance"].to_numpy()])
    weight_N = np.concatenate([pairs.weight_PT[:, 0], table["weight"].to_numpy()])
    logit_QI = np.random.default_rng(0).normal(size=(pairs.pair_P2.max() + 1, len(pairs.item_texts)))
    objective = Pointwise(label_smoothing=0.1)

    def loss(pair_N2: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray) -> float:
        columns = (logit_QI[pair_N2[:, 0], pair_N2[:, 1]], label_N, weight_N)
        return float(objective.loss(*(torch.from_numpy(c)[:, None] for c in columns)))

    together = loss(joined.pair_P2, joined.label_PT[:, 0], joined.weight_PT[:, 0])
    np.testing.assert_allclose(together, loss(rows_N2, label_N, weight_N), rtol=1e-12)
    assert with_lessons(pairs, folder.join("absent")) is pairs


def test_what_has_no_label_stays_without_one(school):
    root, _ = school
    pairs = labelled_pairs(corpus_of(told(root)), told(root).target, "train")
    nothing = replace(
        pairs, label_PT=np.full_like(pairs.label_PT, np.nan), weight_PT=np.zeros_like(pairs.weight_PT)
    ).joined(pairs.pair_P2[:3], pairs.label_PT[:3], pairs.weight_PT[:3])
    np.testing.assert_array_equal(nothing.label_PT[:3], pairs.label_PT[:3])
    assert np.isnan(nothing.label_PT[3:]).all()


@pytest.mark.long
def test_a_taught_student_says_what_its_teacher_says(school):
    """On queries that are held out. The teacher's weights are random, so labels tell nothing of it: what the student
    knows of it has come through the lessons."""
    root, (teacher, _) = school
    alone = training(root, "alone", *STUDENT)
    taught = training(root, "taught", *STUDENT, *TAUGHT, f"teacher.runs=[{root}/one]", f"teacher.hard={root}/best")
    rows = {job.name: train(job)["rows"] for job in (alone, taught)}
    assert rows["taught"]["taught_pairs"] == 2000
    assert rows["alone"] == {"train_pairs": rows["taught"]["train_pairs"]}
    held_out = np.array(corpus_of(alone).table("queries")["split"].to_pylist()) != "train"
    theirs = whole_grid(alone, teacher)[held_out]
    likeness, distance = {}, {}
    for job in (alone, taught):
        mine = whole_grid(job, job.model.load(job.run.folder("model").fetch(), "cpu"))[held_out]
        likeness[job.name] = np.corrcoef(mine.ravel(), theirs.ravel())[0, 1]
        distance[job.name] = np.abs(1 / (1 + np.exp(-mine)) - 1 / (1 + np.exp(-theirs))).mean()
    assert likeness["taught"] > likeness["alone"] + 0.2
    assert distance["taught"] < 0.7 * distance["alone"]
    assert not (root / "taught" / "model" / "_train").exists()
