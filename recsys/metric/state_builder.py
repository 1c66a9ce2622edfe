"""From labelled rows to a state: each shard of whole queries is counted once, for all slices.

Shapes: N rows, P pairs, Q queries of the shard, G groups, K coarse cells, B bins; W parts of queries, by cut.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from recsys import seed
from recsys.metric._sample import Sample
from recsys.metric.reliability import CLIP
from recsys.metric.state import (
    ADDED,
    EMPTY,
    FURTHER,
    LARGEST,
    MIXED,
    SUMS,
    VALUE_UNIT,
    WEIGHT_UNIT,
    Layout,
    State,
    check_size,
    check_whole,
    merge_single,
)
from recsys.metric.state_grid import order_key
from recsys.metric.state_ranking import PairSet, Ranked, rank, weighted_auc


def group_of(query_hash_Q: np.ndarray, num_groups: int) -> np.ndarray:
    """group_Q, int64: the group of each query, whose hash is `seed.hash_ids(query_ids, seed)`."""
    return (seed.mix(query_hash_Q, 1) % np.uint64(num_groups)).astype(np.int64)


PLACE = {name: number for number, name in enumerate(SUMS)}
MOST = 2.0**61 / VALUE_UNIT  # weighted loss of a shard: then no sum of it can overflow


@dataclass(eq=False)
class Builder:
    """Counts shard after shard into one state. Memory is that of the state and of one shard."""

    layout: Layout
    _state: State = field(init=False)
    _hashes: list[np.ndarray] = field(init=False, default_factory=list)
    _bound: float = field(init=False, default=0.0)  # of every sum

    def __post_init__(self) -> None:
        self._state = State.empty(self.layout)

    def state(self) -> State:
        """What has been counted so far. Raises ValueError if a query had rows in two shards."""
        hashes = np.sort(np.concatenate([np.zeros(0, np.uint64), *self._hashes]))
        check_whole(hashes)
        return replace(self._state, query_hash_Q=hashes)

    def add(self, sample: Sample, query_hash_Q: np.ndarray, codes: dict[str, np.ndarray]) -> None:
        """Counts a shard of whole queries.

        `query_hash_Q` is `seed.hash_ids(query_ids, layout.seed)`; `codes` has for each cut the index into its values,
        per query for a cut by query, per row otherwise. Rows of weight 0 are no rows. Raises ValueError for scores or
        weights that are not finite, probabilities outside [0, 1], weights that no fixed point holds, a code without a
        value, or a pair with two scores.
        """
        if not (sample.weight_N > 0).all():
            sample, codes = self._without_zeros(sample, codes)
        self._check(sample, codes)
        if not len(sample):
            return
        shard = _Shard.of(sample, self.layout, group_of(query_hash_Q, self.layout.num_groups))
        self._hashes.append(query_hash_Q[np.unique(sample.query_N)])
        self._note_single(shard)
        pairs, row_P = _pairs(sample, shard)
        plain = len(pairs.query_P) == len(sample) and (shard.unit_N == shard.unit_N[0]).all()
        everyone = np.zeros(sample.num_queries, np.int64)
        found = _measured(pairs, shard, None if plain else shard.query_N, sample.num_queries, self.layout.k)
        self._count_rows(shard, 0, 1, None)
        self._add_by_query(shard, 0, everyone)
        self._add_ranking(found, everyone * self.layout.num_groups + shard.group_Q)
        for cut in self.layout.cuts:
            code, start = codes[cut.column].astype(np.int64), self.layout.first[cut.column]
            if cut.axis == "query":
                self._count_rows(shard, start, len(cut.values), code[shard.query_N])
                self._add_by_query(shard, start, code)
                self._add_ranking(found, (start + code) * self.layout.num_groups + shard.group_Q)
                continue
            self._count_rows(shard, start, len(cut.values), code)
            self._add_by_row(shard, start, code)
            part_N = shard.query_N * len(cut.values) + code
            present_W = np.flatnonzero(np.bincount(part_N))
            number = np.zeros(int(present_W[-1]) + 1, np.int64)
            number[present_W] = np.arange(len(present_W))
            part_N = number[part_N]
            index_W = (start + present_W % len(cut.values)) * self.layout.num_groups
            index_W += shard.group_Q[present_W // len(cut.values)]
            if cut.axis == "label":
                self._add_counts(shard, part_N, index_W)
                continue
            regrouped = pairs.regrouped(part_N if row_P is None else part_N[row_P])
            part = _measured(regrouped, shard, None if plain else part_N, len(present_W), self.layout.k)
            self._add_ranking(part, index_W)
        self._bound += max(
            shard.unit_N.sum() * (VALUE_UNIT / WEIGHT_UNIT), float(shard.loss_N.sum()), len(sample) * VALUE_UNIT
        )
        if self._bound > LARGEST:  # no sum of anything is larger than that; else they are looked at
            for name in ADDED:
                check_size(name, getattr(self._state, name))

    def _without_zeros(self, sample: Sample, codes: dict[str, np.ndarray]) -> tuple[Sample, dict[str, np.ndarray]]:
        if not (sample.weight_N >= 0).all():
            row = int(np.flatnonzero(~(sample.weight_N >= 0))[0])
            raise ValueError(f"weight {sample.weight_N[row]} at row {row} is not a number of observations")
        kept_N = sample.weight_N > 0
        by_row = {cut.column for cut in self.layout.cuts if cut.axis != "query"}
        return sample.select(kept_N), {n: c[kept_N] if n in by_row else c for n, c in codes.items()}

    def _check(self, sample: Sample, codes: dict[str, np.ndarray]) -> None:
        for cut in self.layout.cuts:
            code = codes[cut.column]
            expected = sample.num_queries if cut.axis == "query" else len(sample)
            assert len(code) == expected, f"{cut.column}: {len(code)} codes for {expected}"
            if code.size and not (int(code.min()) >= 0 and int(code.max()) < len(cut.values)):
                raise ValueError(f"cut by {cut.column} has {len(cut.values)} values, but a row has number {code.max()}")
        probability_N, weight_N = sample.probability_N, sample.weight_N
        if not ((probability_N >= 0) & (probability_N <= 1)).all():
            row = int(np.flatnonzero(~((probability_N >= 0) & (probability_N <= 1)))[0])
            raise ValueError(f"probability {probability_N[row]} at row {row} must lie between 0 and 1")
        if weight_N.size and weight_N.min() < 1 / WEIGHT_UNIT:
            raise ValueError(f"weight {weight_N.min()} is below 2^-20, the unit of weights; multiply them all")
        if not float(weight_N.sum()) * -np.log(CLIP) < MOST:
            raise ValueError(
                f"weights of one shard add up to {weight_N.sum():g}; divide them all, or use smaller shards"
            )

    def _count_rows(self, shard: "_Shard", start: int, num_values: int, code_N: np.ndarray | None) -> None:
        """Histograms and bins of slices start ... start + num_values - 1."""
        grid, groups, state = self.layout.grid, self.layout.num_groups, self._state
        span = slice(start, start + num_values)
        offset_N = 0 if code_N is None else code_N
        np.add.at(state.fine_SC2[span].reshape(-1), offset_N * (2 * grid.num_cells) + shard.fine_N, shard.unit_N)
        group_N = shard.group_N if code_N is None else offset_N * groups + shard.group_N
        coarse_N = group_N * (2 * grid.num_coarse) + shard.coarse_N
        np.add.at(state.coarse_SGK2[span].reshape(-1), coarse_N, shard.unit_N)
        bin_N = group_N * self.layout.num_bins + shard.bin_N
        weight, positive, predicted = (state.bin_3SGB[i, span].reshape(-1) for i in range(3))
        np.add.at(weight, bin_N, shard.unit_N)
        np.add.at(positive, bin_N[shard.positive_X], shard.unit_N[shard.positive_X])
        np.add.at(predicted, bin_N, shard.predicted_N)

    def _add(self, name: str, index: np.ndarray, value: np.ndarray) -> None:
        np.add.at(self._state.sum_MSG[PLACE[name]].reshape(-1), index, value)

    def _add_by_query(self, shard: "_Shard", start: int, code_Q: np.ndarray) -> None:
        index_Q = (start + code_Q) * self.layout.num_groups + shard.group_Q
        self._add("loss", index_Q, shard.loss_Q)
        self._add("brier", index_Q, shard.brier_Q)

    def _add_by_row(self, shard: "_Shard", start: int, code_N: np.ndarray) -> None:
        index_N = (start + code_N) * self.layout.num_groups + shard.group_N
        self._add("loss", index_N, shard.loss_N)
        self._add("brier", index_N, shard.brier_N)

    def _add_counts(self, shard: "_Shard", part_N: np.ndarray, index_W: np.ndarray) -> None:
        """Queries of slices that have no ranking; rows stand for pairs."""
        rows_W = np.bincount(part_N, minlength=len(index_W))
        positive_W = np.bincount(part_N[shard.positive_X], minlength=len(index_W))
        self._add("queries", index_W, 1 * (rows_W > 0))
        self._add("positive", index_W, 1 * (positive_W > 0))
        self._add("both", index_W, 1 * ((positive_W > 0) & (positive_W < rows_W)))
        self._add("pairs", index_W, rows_W)

    def _add_ranking(self, found: "_Measured", index_Q: np.ndarray) -> None:
        ranked, both_Q = found.ranked, (found.positive_Q > 0) & (found.positive_Q < found.total_Q)
        counts = (found.total_Q > 0, ranked.num_gain > 0, ranked.num_positive > 0, both_Q)
        for name, has_Q in zip(("queries", "gaining", "positive", "both"), counts, strict=True):
            self._add(name, index_Q, has_Q.astype(np.int64))
        self._add("pairs", index_Q, ranked.num_pairs)
        values = (ranked.ndcg, ranked.ndcg_random, ranked.mrr, ranked.mrr_random, ranked.recall, ranked.recall_random)
        names = ("ndcg", "random ndcg", "mrr", "random mrr", "recall", "random recall", *FURTHER)
        further = (ranked.precision, ranked.hit_rate, ranked.map)
        for name, value_Q in zip(names, (*values, *further), strict=True):
            self._add(name, index_Q, _fixed(value_Q))
        total_Q, positive_Q = np.where(both_Q, found.total_Q, 0), np.where(both_Q, found.positive_Q, 0)
        self._add("auc by weight", index_Q, _fixed(total_Q / WEIGHT_UNIT * found.auc_Q))
        self._add("weight of auc", index_Q, total_Q)
        self._add("auc by positives", index_Q, _fixed(positive_Q / WEIGHT_UNIT * found.auc_Q))
        self._add("positives of auc", index_Q, positive_Q)
        self._add("auc by query", index_Q, _fixed(found.auc_Q * both_Q))

    def _note_single(self, shard: "_Shard") -> None:
        key_N, cell_N = shard.key_N.astype(np.int64), shard.fine_N >> 1
        single_C = np.full(self.layout.grid.num_cells, EMPTY, np.int64)
        single_C[cell_N] = key_N
        single_C[cell_N[single_C[cell_N] != key_N]] = MIXED
        self._state = replace(self._state, single_C=merge_single(self._state.single_C, single_C))


def _fixed(value: np.ndarray) -> np.ndarray:
    return np.rint(value * VALUE_UNIT).astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shard:
    """The rows of a shard as integers."""

    query_N: np.ndarray
    key_N: np.ndarray  # uint32
    fine_N: np.ndarray  # 2 cell + positive, likewise for coarse cells
    coarse_N: np.ndarray
    bin_N: np.ndarray
    unit_N: np.ndarray  # weight
    group_Q: np.ndarray
    group_N: np.ndarray
    positive_X: np.ndarray  # rows that are positive
    positive_N: np.ndarray  # bool
    loss_N: np.ndarray
    brier_N: np.ndarray
    predicted_N: np.ndarray
    loss_Q: np.ndarray
    brier_Q: np.ndarray

    @classmethod
    def of(cls, sample: Sample, layout: Layout, group_Q: np.ndarray) -> "_Shard":
        key_N = order_key(sample.score_N)
        cell_N = layout.grid.cell_of(key_N)
        positive_N, weight_N, probability_N = sample.positive_N, sample.weight_N, sample.probability_N
        clipped_N = np.clip(probability_N, CLIP, 1 - CLIP)
        loss_N = _fixed(-np.log(np.where(positive_N, clipped_N, 1 - clipped_N)) * weight_N)
        brier_N = _fixed((probability_N - positive_N) ** 2 * weight_N)
        start_Q = np.searchsorted(sample.query_N, np.arange(sample.num_queries + 1))
        group_Q = group_Q.astype(np.int64)
        return cls(
            query_N=sample.query_N,
            key_N=key_N,
            fine_N=cell_N.astype(np.int64) * 2 + positive_N,
            coarse_N=layout.grid.coarse_C[cell_N] * 2 + positive_N,
            bin_N=np.minimum((probability_N * layout.num_bins).astype(np.int64), layout.num_bins - 1),
            unit_N=np.rint(weight_N * WEIGHT_UNIT).astype(np.int64),
            group_Q=group_Q,
            group_N=group_Q[sample.query_N],
            positive_X=np.flatnonzero(positive_N),
            positive_N=positive_N,
            loss_N=loss_N,
            brier_N=brier_N,
            predicted_N=_fixed(probability_N * weight_N),
            loss_Q=np.diff(np.r_[0, np.cumsum(loss_N)][start_Q]),
            brier_Q=np.diff(np.r_[0, np.cumsum(brier_N)][start_Q]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Measured:
    ranked: Ranked
    auc_Q: np.ndarray
    positive_Q: np.ndarray  # weight in units, likewise the total
    total_Q: np.ndarray


def _measured(pairs: PairSet, shard: _Shard, query_N: np.ndarray | None, num_queries: int, k: int) -> _Measured:
    """Ranking of pairs; AUC of rows, which are `pairs` themselves where query_N is None."""
    ranked = rank(pairs, num_queries, k)
    if query_N is not None:
        auc_Q, positive_Q, total_Q = weighted_auc(query_N, shard.key_N, shard.positive_N, shard.unit_N, num_queries)
        return _Measured(ranked=ranked, auc_Q=auc_Q, positive_Q=positive_Q, total_Q=total_Q)
    most_Q = 2.0 * ranked.num_positive * (ranked.num_pairs - ranked.num_positive)
    auc_Q = np.divide(most_Q - ranked.auc_lost, most_Q, out=np.zeros(num_queries), where=most_Q > 0)
    unit = shard.unit_N[0]
    return _Measured(ranked=ranked, auc_Q=auc_Q, positive_Q=ranked.num_positive * unit, total_Q=ranked.num_pairs * unit)


def _pairs(sample: Sample, shard: _Shard) -> tuple[PairSet, np.ndarray | None]:
    """The pairs, and one row of each, or None where every row is a pair of its own.

    Several rows of a pair are merged: the gain is the weighted mean, it is positive if any row is.
    """
    item_N = sample.item_N
    if item_N.size and not (int(item_N.min()) >= 0 and int(item_N.max()) < 1 << 32):
        item_N = np.unique(item_N, return_inverse=True)[1]
    pair_N = (sample.query_N << 32) | item_N
    ordered = np.sort(pair_N)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(repeated):
        return PairSet.of(sample.query_N, shard.key_N, sample.gain_N, sample.positive_N), None
    again_N = np.isin(pair_N, repeated)
    row_A = np.flatnonzero(again_N)
    row_A = row_A[np.lexsort((sample.positive_N[row_A], shard.unit_N[row_A], sample.gain_N[row_A], pair_N[row_A]))]
    new_A = np.r_[True, pair_N[row_A][1:] != pair_N[row_A][:-1]]
    number_A, first_A = np.cumsum(new_A) - 1, row_A[new_A]
    if (shard.key_N[row_A] != shard.key_N[first_A][number_A]).any():
        at = int(np.flatnonzero(shard.key_N[row_A] != shard.key_N[first_A][number_A])[0])
        scores = sample.score_N[row_A[at]], sample.score_N[first_A[number_A[at]]]
        raise ValueError(f"a pair of a query and an item has the scores {scores[0]} and {scores[1]}; a pair has one")
    weight_A = shard.unit_N[row_A] / WEIGHT_UNIT
    gain_A = np.bincount(number_A, weight_A * sample.gain_N[row_A]) / np.bincount(number_A, weight_A)
    row_P = np.r_[np.flatnonzero(~again_N), first_A]
    once = len(row_P) - len(first_A)
    gain_P = np.r_[sample.gain_N[row_P[:once]], gain_A]
    positive_P = np.r_[sample.positive_N[row_P[:once]], np.bincount(number_A, sample.positive_N[row_A]) > 0]
    return PairSet.of(sample.query_N[row_P], shard.key_N[row_P], gain_P, positive_P), row_P
