"""Multicalibration (Hébert-Johnson, Kim, Reingold & Rothblum, 2018): right on average in every segment and every bin of
what is said there, where segments of several columns overlap.

Shapes: N rows, C cells (equal score, fold and segments), J columns, B bins, S steps, F folds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from recsys.calibrator._calibrator import Calibrator, Fitted, Rows, gather
from recsys.calibrator._fitted import Logistic
from recsys.calibrator._segments import NOWHERE, Segments
from recsys.calibrator.platt import Platt

LEVEL = 0.05  # chance that a step is taken where nothing deviates, over all segments and bins together
RIDGE = 1.0  # prior precision of a step, in logits: a normal around 0


@dataclass(frozen=True, kw_only=True)
class Corrections(Fitted):
    """The logit of `whole`, then step after step: rows of a segment whose logit lies in a bin are moved.

    Bin b holds edge[b - 1] <= logit < edge[b]. A row without a known value in a step's column is not moved by it.
    """

    map: ClassVar[str] = "multicalibration"
    order: ClassVar[str] = "free"

    whole: Logistic
    by_J: tuple[str, ...]
    value_J: tuple[tuple[str, ...], ...]  # that occurred, column by column
    edge_E: tuple[float, ...]
    column_S: tuple[str, ...]  # of each step, as are the others
    segment_S: tuple[str, ...]
    bin_S: tuple[int, ...]
    shift_S: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (
            len(self.by_J) == len(self.value_J)
            and len(self.column_S) == len(self.segment_S) == len(self.bin_S) == len(self.shift_S)
            and (np.diff(self.edge_E) > 0).all()
            and all(0 <= b <= len(self.edge_E) for b in self.bin_S)
            and np.isfinite(self.shift_S).all()
        ):
            raise ValueError(
                f"{len(self.shift_S)} shifts of {len(self.bin_S)} bins, {len(self.column_S)} columns and "
                f"{len(self.segment_S)} values over {len(self.edge_E)} edges are no calibration: each step needs one "
                "of all, in a bin that exists, and edges must ascend"
            )

    @property
    def segments(self) -> Mapping[str, tuple[str, ...]]:
        return dict(zip(self.by_J, self.value_J, strict=True))

    def predict(self, score_N: np.ndarray, segment: Mapping[str, Segments] = NOWHERE) -> np.ndarray:
        logit_N = self.whole.logit(score_N)
        edge_E = np.array(self.edge_E)
        for column, value, bin_, shift in zip(self.column_S, self.segment_S, self.bin_S, self.shift_S, strict=True):
            if column in segment:
                inside_N = segment[column].codes((value,)) == 0
                logit_N[inside_N] += shift * (np.searchsorted(edge_E, logit_N[inside_N], "right") == bin_)
        return expit(logit_N)


@dataclass
class Multicalibration(Calibrator):
    """Starts from Platt's map. While a segment deviates in a bin by more than chance explains (Bonferroni over all of
    them), the one that deviates most is moved by one shrunken Newton step on its logits.

    How many of these steps are kept is chosen by log-loss on queries held out from them, fold by fold.
    """

    by: list[str]  # columns of queries, items or labels
    num_bins: int
    max_steps: int

    def __post_init__(self) -> None:
        if not self.by or len(set(self.by)) < len(self.by):
            raise ValueError(f"calibrator.multicalibration.by={list(self.by)} must name at least one column, each once")
        if not 1 <= self.num_bins <= 1000:
            raise ValueError(f"calibrator.multicalibration.num_bins={self.num_bins} must lie between 1 and 1000")
        if self.max_steps < 1:
            raise ValueError(f"calibrator.multicalibration.max_steps={self.max_steps} must be at least 1")

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.by)

    def fit(self, rows: Rows) -> Corrections:
        fold_F = np.unique(rows.fold_N[rows.weight_N > 0])
        num_steps = self.max_steps
        if len(fold_F) > 1:
            num_steps = int(np.argmin(sum(self._held_out(rows, fold) for fold in fold_F)))
        return self._boost(rows, num_steps)

    def _held_out(self, rows: Rows, fold: int) -> np.ndarray:
        """loss_S on the fold after 0, 1, ..., max_steps steps learnt on the others."""
        held = rows.take((rows.fold_N == fold) & (rows.weight_N > 0))
        fitted = self._boost(rows.take(rows.fold_N != fold), self.max_steps)
        cells = _Cells(held, self.by)
        logit_C = fitted.whole.logit(cells.score_C)
        edge_E = np.array(fitted.edge_E)
        loss_S = [cells.loss(logit_C)]
        for column, value, bin_, shift in zip(
            fitted.column_S, fitted.segment_S, fitted.bin_S, fitted.shift_S, strict=True
        ):
            inside_C = cells.inside(column, value)
            logit_C[inside_C] += shift * (np.searchsorted(edge_E, logit_C[inside_C], "right") == bin_)
            loss_S.append(cells.loss(logit_C))
        return np.array(loss_S + [loss_S[-1]] * (self.max_steps + 1 - len(loss_S)))

    def _boost(self, rows: Rows, num_steps: int) -> Corrections:
        whole = Platt().fit(rows)
        cells = _Cells(rows, self.by)
        logit_C = whole.logit(cells.score_C)
        edge_E = cells.edges(logit_C, self.num_bins)
        steps: list[tuple[str, str, int, float]] = []
        while len(steps) < num_steps and (found := cells.worst(logit_C, edge_E)):
            column, value, bin_, inside_C = found
            shift = cells.shift(logit_C, inside_C)
            logit_C[inside_C] += shift
            steps.append((column, value, bin_, shift))
        column_S, segment_S, bin_S, shift_S = zip(*steps, strict=True) if steps else ((), (), (), ())
        return Corrections(
            whole=whole,
            by_J=tuple(self.by),
            value_J=tuple(cells.values[name] for name in self.by),
            edge_E=tuple(edge_E.tolist()),
            column_S=column_S,
            segment_S=segment_S,
            bin_S=bin_S,
            shift_S=shift_S,
        )


class _Cells:
    """Rows of equal score and segments, in an order of their own: sums do not depend on the order of the rows."""

    def __init__(self, rows: Rows, by: list[str]) -> None:
        present = {name: np.unique(rows.segment[name].code_N[rows.weight_N > 0]) for name in by}
        self.values = {n: tuple(sorted(rows.segment[n].value_K[c] for c in present[n] if c >= 0)) for n in by}
        codes = [rows.segment[name].codes(self.values[name]) for name in by]
        keys, self._positive_C, negative_C = gather(rows, np.asarray(rows.score_N, np.float64), *codes)
        self.score_C, self._codes = keys[0], dict(zip(by, keys[1:], strict=True))
        self._weight_C = self._positive_C + negative_C

    def inside(self, column: str, value: str) -> np.ndarray:
        """Mask of a segment's cells."""
        values = self.values[column]
        return self._codes[column] == values.index(value) if value in values else np.zeros(len(self.score_C), bool)

    def loss(self, logit_C: np.ndarray) -> float:
        return float((self._weight_C * np.logaddexp(0, logit_C) - self._positive_C * logit_C).sum())

    def edges(self, logit_C: np.ndarray, num_bins: int) -> np.ndarray:
        """edge_E, distinct, at equal shares of the observations."""
        order = np.argsort(logit_C, kind="stable")
        share_C = np.cumsum(self._weight_C[order]) / self._weight_C.sum()
        place_E = np.searchsorted(share_C, np.arange(1, num_bins) / num_bins)
        return np.unique(logit_C[order][np.minimum(place_E, len(order) - 1)])

    def worst(self, logit_C: np.ndarray, edge_E: np.ndarray) -> tuple[str, str, int, np.ndarray] | None:
        """Column, value, bin and cells of what deviates most, in standard errors; None where nothing does clearly."""
        probability_C = expit(logit_C)
        residual_C = self._positive_C - self._weight_C * probability_C
        variance_C = self._weight_C * probability_C * (1 - probability_C)
        bin_C, num_bins = np.searchsorted(edge_E, logit_C, "right"), len(edge_E) + 1
        best, found, num_tested = 0.0, None, 0
        for column, code_C in self._codes.items():
            known = np.flatnonzero(code_C >= 0)
            group = code_C[known] * num_bins + bin_C[known]
            residual_G = np.bincount(group, weights=residual_C[known])
            variance_G = np.bincount(group, weights=variance_C[known])
            deviation_G = np.abs(residual_G) / np.sqrt(np.where(variance_G > 0, variance_G, np.inf))
            num_tested += int((variance_G > 0).sum())
            if len(deviation_G) and deviation_G.max() > best:
                worst = int(np.argmax(deviation_G))
                best, found = float(deviation_G[worst]), (column, worst // num_bins, worst % num_bins)
        if found is None or best <= norm.isf(LEVEL / 2 / num_tested):
            return None
        column, code, bin_ = found
        return column, self.values[column][code], bin_, (self._codes[column] == code) & (bin_C == bin_)

    def shift(self, logit_C: np.ndarray, inside_C: np.ndarray) -> float:
        """A common shift of these cells: one Newton step from 0, with a normal prior, of at most 1."""
        probability_C = expit(logit_C[inside_C])
        residual = float((self._positive_C[inside_C] - self._weight_C[inside_C] * probability_C).sum())
        curvature = float((self._weight_C[inside_C] * probability_C * (1 - probability_C)).sum())
        return float(np.clip(residual / (curvature + RIDGE), -1.0, 1.0))
