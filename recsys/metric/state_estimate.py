"""From a state to metrics: the value of every slice, its replicates under resampled queries, and what is proven.

Queries are resampled by groups: a hash puts each into one of G, and a group's Poisson weight counts for all its
queries (random groups; Wolter, 2007). The weighted sums are those of integers and come out exactly.
Shapes: S slices, R weightings (column 0: all ones), G groups, B bins, C fine and K coarse cells.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys.metric import state_bracket
from recsys.metric.bootstrap import poisson_weights
from recsys.metric.state import COUNTS, SUMS, VALUE_UNIT, WEIGHT_UNIT, State

MEANS = {"ndcg": "gaining"} | dict.fromkeys(("mrr", "recall", "hit_rate", "map"), "positive")  # value -> who has one
MEANS["precision"] = "queries"
HISTOGRAM = ("auc", "average_precision", "ks")  # metrics with a bracket
LOW_BITS = 26  # of an integer: so that weighted sums of its two halves are exact in float64


@dataclass(frozen=True, kw_only=True)
class SliceEstimate:
    """A metric of every slice."""

    value_SR: np.ndarray  # NaN where it is not defined
    low_S: np.ndarray  # the exact value of these rows certainly lies between low and high
    high_S: np.ndarray


@dataclass(frozen=True)
class Estimates:
    """All metrics of a state under the same resampled queries."""

    state: State
    num_replicates: int

    @property
    def names(self) -> tuple[str, ...]:
        """Every metric that `of` knows."""
        random = tuple(f"random {name}" for name in ("ndcg", "mrr", "recall"))
        gauc = ("gauc", "gauc_by_positives", "gauc_unweighted")
        rates = ("mean_probability", "positive_rate", "calibration_ratio", "ece", "log_loss", "brier")
        return (*MEANS, *random, *gauc, *HISTOGRAM, *rates, "normalised_entropy")

    @cached_property
    def num_groups_S(self) -> np.ndarray:
        """Groups with a row, or queries where there are fewer: what an interval of a slice rests on."""
        queries_SG = self.state.sum_MSG[SUMS.index("queries")]
        return (queries_SG > 0).sum(axis=1)

    def count(self, name: str) -> np.ndarray:
        """count_S: queries with a row, gaining, positive, both; 'classes', with the rarer class; pairs."""
        if name == "classes":
            positive_S = self.count("positive")
            return np.minimum(positive_S, self.count("queries") - positive_S + self.count("both"))
        return self.state.sum_MSG[SUMS.index(name)].sum(axis=1)

    def of(self, name: str) -> SliceEstimate:
        """The metric. Raises ValueError for one that a state does not have."""
        if name in HISTOGRAM:
            return self._histogram(name)
        if name not in self.names:
            raise ValueError(f"metric {name!r} is not known of a state; there are {', '.join(self.names)}")
        value_SR = self._ratio(name)
        return SliceEstimate(value_SR=value_SR, low_S=value_SR[:, 0], high_S=value_SR[:, 0])

    @cached_property
    def _weight_GR(self) -> np.ndarray:
        layout = self.state.layout
        return poisson_weights([f"group {g}" for g in range(layout.num_groups)], self.num_replicates, layout.seed)

    def _sum(self, name: str) -> np.ndarray:
        unit = 1.0
        if name not in COUNTS:
            unit = WEIGHT_UNIT if name in ("weight of auc", "positives of auc") else VALUE_UNIT
        return weighted(self.state.sum_MSG[SUMS.index(name)], self._weight_GR) / unit

    @cached_property
    def _bins(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(weight, positives, sum of probabilities) by slice, bin and weighting."""
        units = (WEIGHT_UNIT, WEIGHT_UNIT, VALUE_UNIT)
        sums = (weighted(part_SGB.swapaxes(1, 2), self._weight_GR) for part_SGB in self.state.bin_3SGB)
        weight, positive, predicted = (total / unit for total, unit in zip(sums, units, strict=True))
        return weight, positive, predicted

    def _ratio(self, name: str) -> np.ndarray:
        if name.removeprefix("random ") in MEANS:
            return _over(self._sum(name), self._sum(MEANS[name.removeprefix("random ")]))
        match name:
            case "gauc":
                return _over(self._sum("auc by weight"), self._sum("weight of auc"))
            case "gauc_by_positives":
                return _over(self._sum("auc by positives"), self._sum("positives of auc"))
            case "gauc_unweighted":
                return _over(self._sum("auc by query"), self._sum("both"))
        weight, positive, predicted = (total.sum(axis=1) for total in self._bins)
        match name:
            case "mean_probability":
                return _over(predicted, weight)
            case "positive_rate":
                return _over(positive, weight)
            case "calibration_ratio":
                return _over(predicted, positive)
            case "ece":
                _, positive_SBR, predicted_SBR = self._bins
                return _over(np.abs(predicted_SBR - positive_SBR).sum(axis=1), weight)
            case "log_loss":
                return _over(self._sum("loss"), weight)
            case "brier":
                return _over(self._sum("brier"), weight)
        rate = _over(positive, weight)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
        return _over(_over(self._sum("loss"), weight), np.nan_to_num(entropy))

    def _histogram(self, name: str) -> SliceEstimate:
        """The value of fine cells; replicates differ from it as they do on coarse cells."""
        state = self.state
        prove = {
            "auc": state_bracket.auc,
            "average_precision": state_bracket.average_precision,
            "ks": state_bracket.ks,
        }[name]
        tied_C = state.single_C >= 0
        bracket_S3 = np.array([prove(cells_C2[:, 0], cells_C2[:, 1], tied_C) for cells_C2 in state.fine_SC2])
        value_SR = np.stack([_RESAMPLED[name](weighted_cells(c, self._weight_GR)) for c in state.coarse_SGK2])
        value_SR += bracket_S3[:, 1:2] - value_SR[:, :1]
        value_SR[:, 0] = bracket_S3[:, 1]
        return SliceEstimate(value_SR=np.clip(value_SR, 0.0, 1.0), low_S=bracket_S3[:, 0], high_S=bracket_S3[:, 2])


def weighted(sum_G: np.ndarray, weight_GR: np.ndarray) -> np.ndarray:
    """sum over the last axis of int64 sums times whole weights: the same bits on every machine and for any library.

    The upper and the lower bits are multiplied apart: all their partial sums are whole numbers below 2^53.
    """
    upper, lower = sum_G >> LOW_BITS, sum_G & ((1 << LOW_BITS) - 1)
    return (upper.astype(np.float64) @ weight_GR) * 2.0**LOW_BITS + lower.astype(np.float64) @ weight_GR


def weighted_cells(cells_GK2: np.ndarray, weight_GR: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(negative_KR, positive_KR) of one slice's coarse cells."""
    return weighted(cells_GK2[:, :, 0].T, weight_GR), weighted(cells_GK2[:, :, 1].T, weight_GR)


def _auc(cells: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    negative_KR, positive_KR = cells
    below_KR = np.cumsum(negative_KR, axis=0) - negative_KR / 2
    return _over((positive_KR * below_KR).sum(axis=0), positive_KR.sum(axis=0) * negative_KR.sum(axis=0))


def _average_precision(cells: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    negative_KR, positive_KR = (cell_KR[::-1] for cell_KR in cells)
    above_KR = np.cumsum(positive_KR, axis=0) - positive_KR / 2
    all_KR = above_KR + np.cumsum(negative_KR, axis=0) - negative_KR / 2
    precise_KR = np.divide(above_KR, all_KR, out=np.zeros_like(all_KR), where=all_KR > 0)
    return _over((positive_KR * precise_KR).sum(axis=0), positive_KR.sum(axis=0))


def _ks(cells: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    below = [np.cumsum(cell_KR, axis=0) for cell_KR in cells]
    share = [_over(below_KR, np.broadcast_to(below_KR[-1], below_KR.shape)) for below_KR in below]
    return np.abs(share[0] - share[1]).max(axis=0)


_RESAMPLED = {"auc": _auc, "average_precision": _average_precision, "ks": _ks}


def _over(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)
