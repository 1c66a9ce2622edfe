"""The fitted models of other runs as teachers: distillation (Hinton, Vinyals & Dean, 2015).

A label costs a person; a teacher's score costs a moment. So the pairs that are taught are drawn from the whole grid,
tail queries as often as head ones, and a cheap model is fitted to what a dear one would have said of them.
Shapes: N hard pairs on offer.
"""

import math
import posixpath
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import model, store
from recsys.model import Supervised
from recsys.scorer import output_for
from recsys.teacher._sample import sample_pairs
from recsys.teacher._teacher import Fitted, Lessons, Teacher

_MODELS = {option.__name__: option for option in model.OPTIONS.values()}


@dataclass
class Run(Teacher):
    """Fitted models on the same corpus, so that no teacher has seen a label of a query that is held out here.

    Hard pairs are drawn from the `scores/top.parquet` of a run: the best items of the whole grid, ready to read. The
    best of a uniform sample would be easy ones: of a large catalogue it holds hardly any of a query's best items.
    """

    not_semantic: ClassVar[tuple[str, ...]] = ("runs", "hard")  # known by their fingerprints, wherever they lie

    runs: list[str]  # run folders; several are an ensemble
    pairs: int
    hard_fraction: float
    hard: str | None  # the run folder whose best-scored items are the hard ones
    weight: float

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("teacher.runs=[] names no run; give run folders, such as teacher.runs=[runs/first]")
        if self.pairs < 1:
            raise ValueError(f"teacher.pairs={self.pairs} teaches nothing; use at least 1, or teacher=nobody")
        if not 0 <= self.hard_fraction <= 1:
            raise ValueError(f"teacher.hard_fraction={self.hard_fraction} must lie in [0, 1]")
        if not 0 < self.weight < math.inf:
            raise ValueError(f"teacher.weight={self.weight} must be a number above 0; or use teacher=nobody")

    def identity(self, corpus: str) -> dict[str, str]:
        for path in self.runs:
            manifest = _manifest(path, "model", "runs")
            _check_corpus(manifest, path, corpus, "runs")
            if not manifest["learned"]:
                kind = manifest["config"]["model"]["type"]
                raise ValueError(
                    f"teacher.runs: {path} holds a {kind}, which has learned from no label: its scores are no log-odds "
                    "of anything; give a run of a model that learns from labels, such as model=cross_encoder"
                )
        found = {f"teacher-{n}": m.fingerprint for n, m in enumerate(self._models(), 1)}
        if self.hard_fraction == 0:
            return found
        scores = self._hard_manifest()
        _check_corpus(scores, self._hard, corpus, "hard")
        return found | {"teacher-hard": scores["fingerprint"]}

    def lessons(self, queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int) -> Lessons | None:
        for path in self.runs:
            theirs = tuple(_manifest(path, "model", "runs")["outputs"])
            for output in outputs:
                if output_for(output, theirs) != output:
                    raise ValueError(
                        f"teacher.runs: {path} was trained for {', '.join(theirs)} and cannot teach {output}; "
                        f"train it with {output} in target=[…] as well, or train here with target=[{','.join(theirs)}]"
                    )
        offered_N2 = self._offered(queries, items) if self.hard_fraction else np.zeros((0, 2), np.int64)
        pair_P2, hard_P = sample_pairs(
            queries, items, offered_N2, num_pairs=self.pairs, hard_fraction=self.hard_fraction, seed=seed
        )
        return Lessons(models=self._models(), pair_P2=pair_P2, hard_P=hard_P, weight=self.weight)

    @property
    def _hard(self) -> str:
        return self.runs[0] if self.hard is None else self.hard

    def _models(self) -> list[Fitted]:
        """The models in an order that does not depend on the one they were named in, for their mean is a float."""
        found = []
        for path in self.runs:
            manifest = _manifest(path, "model", "runs")
            described = manifest["config"]["model"]
            try:
                option = _MODELS[described["type"]]
                assert issubclass(option, Supervised)
                fitted = option.reopen(described)
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f"teacher.runs: {path} holds a {described['type']} of another version of this project ({error}); "
                    "train it again"
                ) from error
            found.append(Fitted(run=_run(path), model=fitted, fingerprint=manifest["fingerprint"]))
        return sorted(found, key=lambda m: m.fingerprint)

    def _hard_manifest(self) -> dict[str, Any]:
        try:
            return _manifest(self._hard, "scores", "hard")
        except ValueError as error:
            raise ValueError(
                f"{error}; hard pairs are drawn from the scores of a run: name one that is scored with teacher.hard=…, "
                "or use teacher.hard_fraction=0"
            ) from error

    def _offered(self, queries: pa.Table, items: pa.Table) -> np.ndarray:
        """offered_N2, sorted unique (query row, item row) of the best-scored items, whatever the output."""
        top = _run(self._hard).folder("scores").read_table("top.parquet", ["query_id", "item_id"])
        if not top.num_rows:
            raise ValueError(f"teacher.hard: {self._hard} names no best-scored item; use teacher.hard_fraction=0")
        query_row_N = pc.index_in(top["query_id"], value_set=queries["query_id"].combine_chunks()).to_numpy()
        item_row_N = pc.index_in(top["item_id"], value_set=items["item_id"].combine_chunks()).to_numpy()
        return np.unique(np.stack([query_row_N, item_row_N], axis=1).astype(np.int64), axis=0)


def _run(path: str) -> store.Run:
    """The run whose folder lies at a path or URI."""
    root, name = posixpath.split(store.located(path).rstrip("/"))
    return store.Run(root, name)


def _manifest(path: str, stage: str, key: str) -> dict[str, Any]:
    try:
        return _run(path).manifest(stage)
    except ValueError as error:
        raise ValueError(f"teacher.{key}: {error}") from error


def _check_corpus(manifest: dict[str, Any], path: str, corpus: str, key: str) -> None:
    """ValueError if a stage was made from another corpus: its train queries may be held out here."""
    theirs = manifest["inputs"]["corpus"]
    if theirs != corpus:
        raise ValueError(
            f"teacher.{key}: {path} was made from another corpus ({theirs[:8]}, here {corpus[:8]}), and may have "
            "learned from queries that are held out here; use the same source, clean, split and target as that run, "
            "or take its corpus over with reuse=<its name>"
        )
