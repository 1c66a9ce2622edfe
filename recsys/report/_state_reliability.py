"""Calibration of rows that are too many to keep: candidates are fitted to condensed rows, and so are errors measured.

Shapes: N condensed rows, G groups of queries.
"""

from dataclasses import dataclass, replace

import numpy as np

from recsys.calibrator import Calibrator, HeldOut, Identity, Rows, Selection, select
from recsys.metric._sample import Sample
from recsys.metric.bootstrap import poisson_weights
from recsys.metric.condensed import Condensed
from recsys.report._chart import Chart
from recsys.report._evaluation import Record
from recsys.report.reliability import Behind, Reliability


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrated:
    """The calibrator that was chosen, and the condensed rows it was fitted to."""

    condensed: Condensed
    selection: Selection
    held_out: HeldOut

    def samples(self) -> tuple[Sample, Sample]:
        """The condensed rows before and after calibration, each probability held out."""
        before = self.condensed.sample()
        fold_N = before.query_N % len(self.held_out.fitted_F)
        return before, replace(before, probability_N=self.held_out.predict(before.score_N, fold_N))


def choose(condensed: Condensed, candidates: dict[str, Calibrator], num_folds: int) -> Calibrated:
    """Chooses by cross-validation over folds of groups, as `select` does over queries."""
    before = condensed.sample()
    rows = Rows(
        score_N=before.score_N,
        positive_N=before.positive_N,
        weight_N=before.weight_N,
        fold_N=before.query_N % num_folds,
        segment={},
    )
    selection = select(candidates, rows, before.query_N)
    chosen = candidates.get(selection.chosen, Identity())
    held_out = HeldOut.of(chosen, rows, num_folds)
    return Calibrated(condensed=condensed, selection=selection, held_out=held_out)


def tell(
    calibrated: Calibrated, report: Reliability, *, target: str, num_queries: int, num_pairs: int, seed: int
) -> tuple[list[Record], list[Chart]]:
    """Records and diagrams of reliability."""
    before, after = calibrated.samples()
    num_groups = before.num_queries
    weight_GR = poisson_weights([f"group {g}" for g in range(num_groups)], report.num_replicates, seed)
    behind = Behind(
        target=target,
        split="all",
        num_queries=num_queries,
        num_pairs=num_pairs,
        num_groups=num_groups,
        note=_note(calibrated.condensed),
    )
    records = report.told(before, after, weight_GR, behind)
    return records, [*report.diagrams(before, after, weight_GR, target, counted="groups of queries")]


def _note(condensed: Condensed) -> str:
    """How wide the cells are that the numbers are read off."""
    unit_C = condensed.unit_GC2.sum(axis=(0, 2))
    order = np.argsort(condensed.width_C)
    share_C = np.cumsum(unit_C[order]) / max(int(unit_C.sum()), 1)
    width = float(condensed.width_C[order][np.searchsorted(share_C, 0.99)]) if len(order) else 0.0
    return (
        f" Rows of a cell of scores count as its middle: of {condensed.grid.num_cells:,} cells, those of 99 % of the "
        f"rows are at most {width:.2g} wide."
    )
