"""Lessons of a teacher: its models score the pairs it drew, once, before a training begins.

Scored like candidate pairs: part by part, on as many actors as there are, so that a killed training scores only what is
missing. Shapes: P pairs that are taught, T outputs.
"""

import logging
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import expit

from recsys import grid
from recsys.scorer import output_for
from recsys.stage._cluster import check_actor, check_store, uses_gpu
from recsys.stage._corpus import Corpus
from recsys.stage._estimate import announce, measure, settled
from recsys.stage._job import Job
from recsys.stage._pairs import LESSONS
from recsys.stage._schedule import Cut, Work, run_tiles
from recsys.stage.score import HERE_S
from recsys.store import Folder
from recsys.teacher import Fitted, Lessons

log = logging.getLogger("recsys")
PARTS = "teacher"  # folder of the models' scores, while they are made
PART_PAIRS = (2048, 65_536)  # pairs per part: at least, at most
NUM_PARTS = 256  # about, within these
BLOCK_ITEMS = 2048  # that are encoded at once: fixed, so that a killed training finds the same parts
CACHE_BYTES = 2**29  # of encoded queries that an actor keeps, and of encoded items


@dataclass(kw_only=True)
class Teaching:
    """Where and with what a teacher's models score."""

    job: Job
    corpus: Corpus
    folder: Folder  # of the training's progress
    threads: int  # CPU threads per actor

    def write(self, lessons: Lessons, outputs: tuple[str, ...]) -> None:
        """Leaves the soft labels where the training workers find them; at once if they are there already."""
        if self.folder.exists(LESSONS):
            log.info("teacher     %s pairs were scored before", f"{len(lessons.pair_P2):,}")
            return
        log.info(
            "teacher     %s pairs of %d train queries, %s of them among the best, from %d model(s)",
            f"{len(lessons.pair_P2):,}",
            len(np.unique(lessons.pair_P2[:, 0])),
            f"{int(lessons.hard_P.sum()):,}",
            len(lessons.models),
        )
        logit_TP = np.zeros((len(outputs), len(lessons.pair_P2)))
        for fitted in lessons.models:
            logit_TP += self._logits(fitted, lessons.pair_P2, outputs)
        label_TP = expit(logit_TP / len(lessons.models))
        columns = {
            "query_row": lessons.pair_P2[:, 0],
            "item_row": lessons.pair_P2[:, 1],
            "hard": lessons.hard_P,
            "weight": np.full(len(lessons.pair_P2), lessons.weight),
        }
        soft = {f"label_{output}": label_P for output, label_P in zip(outputs, label_TP, strict=True)}
        self.folder.write_table(LESSONS, pa.table(columns | soft))
        self.folder.join(PARTS).delete()

    def _logits(self, fitted: Fitted, pair_P2: np.ndarray, outputs: tuple[str, ...]) -> np.ndarray:
        """logit_TP of one model."""
        gpu = uses_gpu(self.job, fitted.model)
        check_store(fitted.run.root)
        if not gpu:
            check_actor(self.job)
        work = Work(
            job=self.job,
            run=fitted.run,
            model=settled(fitted.model, "cuda" if gpu else "cpu"),
            keep="every",
            score_type="float32",
            top_k=1,
            threads=self.threads,
            cache_bytes=CACHE_BYTES,
            folder=self.folder.join(PARTS, fitted.fingerprint),
            fingerprint=fitted.fingerprint,
            verify=False,
        )
        least, most = PART_PAIRS
        size = min(most, max(least, len(pair_P2) // NUM_PARTS))
        tiles = grid.plan_pairs(pair_P2, size, self.corpus.num_rows("items"), BLOCK_ITEMS)
        cut = Cut(sub="tiles", tiles=tiles, pair_P2=pair_P2)
        speed = measure(work)
        announce(work, self.corpus, speed, pairs="teacher", cut=cut, num_labelled=0)
        num_items = min(len(pair_P2), self.corpus.num_rows("items"))
        num_queries = self.corpus.num_rows("queries")
        seconds = speed.seconds(pairs=len(pair_P2), queries=num_queries, items=num_items, listed=True)
        run_tiles(work, cut, here=seconds < HERE_S and not gpu)
        scores = work.folder.join("tiles").read_tables("part-")
        assert scores.num_rows == len(pair_P2)
        theirs = tuple(n.removeprefix("score_") for n in scores.column_names if n.startswith("score_"))
        logit_TP = np.empty((len(outputs), len(pair_P2)), np.float32)
        logit_TP[:, grid.tile_order(pair_P2, tiles)] = [scores[f"score_{output_for(o, theirs)}"] for o in outputs]
        return logit_TP
