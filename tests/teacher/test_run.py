"""Runs as teachers: known by their content, refused early, and their pairs drawn as asked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsys.store import describe
from recsys.teacher import Nobody, Run, Teacher
from tests.teacher.fitted import best_items, corpus_of, cross_encoder, training


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    cross_encoder(root, "one", 1)
    cross_encoder(root, "two", 2)
    best_items(root, "best", {q: list(range(q, q + 20)) for q in range(40)})
    return root


def teacher(root: Path, *runs: str, **fields) -> Run:
    told = {"pairs": 200, "hard_fraction": 0.5, "hard": str(root / "best"), "weight": 1.0} | fields
    return Run(runs=[str(root / name) for name in runs], **told)


def corpus(root: Path) -> str:
    return training(root, "one").inputs("corpus")["corpus"]


def test_identity_is_the_content_s_and_not_the_path_s(root):
    one = root / "one" / "model" / "_MANIFEST.json"
    found = teacher(root, "one").identity(corpus(root))
    assert found["teacher-1"] in one.read_text()
    (root / "copy").symlink_to(root / "one")
    assert teacher(root, "copy").identity(corpus(root)) == found
    assert describe(teacher(root, "copy")) == describe(teacher(root, "one"))
    assert teacher(root, "two").identity(corpus(root)) != found
    both = teacher(root, "one", "two").identity(corpus(root))
    assert both == teacher(root, "two", "one").identity(corpus(root))
    assert set(both) == {"teacher-1", "teacher-2", "teacher-hard"}
    assert set(teacher(root, "one", hard_fraction=0.0).identity(corpus(root))) == {"teacher-1"}


def test_the_fingerprint_of_a_training_follows_what_is_taught(root):
    alone = training(root, "student", "model=two_tower")

    def fingerprint(taught_by: Teacher) -> str:
        job = replace(alone, teacher=taught_by)
        return job.plan(job.inputs("corpus")).fingerprint

    prints = [
        fingerprint(teacher(root, "one")),
        fingerprint(teacher(root, "one", pairs=300)),
        fingerprint(teacher(root, "one", weight=2.0)),
        fingerprint(teacher(root, "one", hard_fraction=0.0)),
        fingerprint(teacher(root, "two")),
        fingerprint(Nobody()),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint(teacher(root, "./one/")) == prints[0]


def test_pairs_are_of_train_queries_and_half_of_them_hard(root):
    tables = corpus_of(training(root, "one"))
    queries, items = tables.table("queries"), tables.table("items")
    lessons = teacher(root, "two", "one").lessons(queries, items, ("relevance",), 0)
    assert lessons is not None
    assert [m.fingerprint for m in lessons.models] == sorted(m.fingerprint for m in lessons.models)
    splits = queries["split"].take(pa.array(lessons.pair_P2[:, 0]))
    assert pc.unique(splits).to_pylist() == ["train"]
    in_train = np.flatnonzero(np.array(queries["split"].to_pylist()) == "train")
    assert np.unique(lessons.pair_P2[:, 0]).tolist() == in_train.tolist()
    offset_P = lessons.pair_P2[:, 1] - lessons.pair_P2[:, 0]
    assert ((offset_P >= 0) & (offset_P < 20))[lessons.hard_P].all()
    number = np.bincount(lessons.pair_P2[:, 0])
    wanted = sum(int(0.5 * number[q] + 0.5) for q in in_train if q < 40)
    assert lessons.hard_P.sum() == wanted > 50


def test_a_reopened_model_leaves_its_inference_to_the_processor(root):
    tables = corpus_of(training(root, "one"))
    lessons = teacher(root, "one").lessons(tables.table("queries"), tables.table("items"), ("relevance",), 0)
    assert lessons is not None
    fitted, trained = lessons.models[0].model, training(root, "one", "model=cross_encoder").model
    assert (fitted.dtype, fitted.batch_tokens) == ("auto", None)  # pyright: ignore[reportAttributeAccessIssue]
    assert replace(fitted, hidden_size=64, vocabulary_size=4096) == trained  # pyright: ignore[reportCallIssue]


def test_what_cannot_teach_is_refused_before_anything_runs(root):
    here = corpus(root)
    with pytest.raises(ValueError, match=r"teacher.runs: run 'none' has no finished model/"):
        teacher(root, "none").identity(here)
    with pytest.raises(ValueError, match=r"another corpus .* held out here"):
        teacher(root, "one").identity("0" * 32)
    with pytest.raises(ValueError, match=r"teacher.hard: run 'one' has no finished scores/.*teacher.hard_fraction=0"):
        teacher(root, "one", hard=None).identity(here)
    tables = corpus_of(training(root, "one"))
    with pytest.raises(ValueError, match=r"trained for relevance and cannot teach click; .*target=\[relevance\]"):
        teacher(root, "one").lessons(tables.table("queries"), tables.table("items"), ("relevance", "click"), 0)
    best_items(root, "empty", {})
    with pytest.raises(ValueError, match="empty names no best-scored item"):
        teacher(root, "one", hard=str(root / "empty")).lessons(
            tables.table("queries"), tables.table("items"), ("relevance",), 0
        )


def test_a_model_that_has_learned_from_no_label_cannot_teach(root):
    from recsys.stage.train import train

    train(training(root, "words", "model=bm25"))
    with pytest.raises(ValueError, match="holds a Bm25, which has learned from no label"):
        teacher(root, "words").identity(corpus(root))


def test_a_model_of_another_version_is_named(root, tmp_path):
    configured = training(tmp_path, "old", "model=cross_encoder")
    plan = configured.plan(configured.inputs("corpus"))
    plan.config["model"]["forgotten"] = 1
    configured.run.close(configured.run.begin(plan), plan, {"learned": True, "outputs": ["relevance"]}, {})
    with pytest.raises(ValueError, match=r"old holds a CrossEncoder of another version .*forgotten"):
        teacher(tmp_path, "old", hard=str(root / "best")).identity(corpus(root))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"runs": []}, "names no run"),
        ({"pairs": 0}, "teacher.pairs=0"),
        ({"hard_fraction": 1.5}, "teacher.hard_fraction=1.5"),
        ({"weight": 0.0}, "teacher.weight=0.0"),
        ({"weight": float("nan")}, "teacher.weight=nan"),
    ],
)
def test_a_wrong_setting_is_named(fields, words):
    with pytest.raises(ValueError, match=words):
        Run(**({"runs": ["a"], "pairs": 1, "hard_fraction": 0.5, "hard": None, "weight": 1.0} | fields))
