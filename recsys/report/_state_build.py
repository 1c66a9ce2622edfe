"""Passes over spans of labelled rows: a survey of the scores, which fixes the grid and the slices; rows condensed, to
which calibrators are fitted; then states.

The survey reads the score, the label, and columns of the rows that become slices; what it finds adds up as states do.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from recsys.calibrator import HeldOut
from recsys.metric.condensed import Condensed
from recsys.metric.state import WEIGHT_UNIT, Layout, State
from recsys.metric.state_builder import Builder, group_of
from recsys.metric.state_grid import NUM_PREFIXES, Grid, order_key, survey
from recsys.report._labelled import (
    SHARD_ROWS,
    Labelled,
    Span,
    check_full,
    floats,
    hashes,
    labels_of,
    query_hashes,
    shard_of,
    shards,
)
from recsys.report._state_cuts import Cutter, Places, check_values, count_values, cut_table, row_values
from recsys.target import Target


@dataclass(frozen=True, kw_only=True)
class Dials:
    """What a report from states is made with."""

    k: int  # places that count in nDCG and recall
    num_bins: int  # of equal width between probability 0 and 1
    num_cells: int  # of scores: how narrow the bracket of AUC is
    num_coarse: int  # of scores, by group of queries: behind the intervals of AUC
    num_groups: int  # of queries: what is resampled
    num_condensed: int  # cells of scores to which calibrators are fitted
    num_folds: int  # of the groups, by which calibrators are compared and probabilities held out
    max_values: int  # slices of a column: rarer values become 'other'
    named: tuple[str, ...]  # columns to cut by, whatever their type and number of values
    by_row: tuple[str, ...]  # columns of the labelled rows to cut by
    crosses: tuple[tuple[str, str], ...]  # pairs of cuts
    seed: int


@dataclass(eq=False)
class Survey:
    """What must be known before the first row is counted."""

    count_P2: np.ndarray = field(default_factory=lambda: np.zeros((NUM_PREFIXES, 2), np.int64))
    values: dict[str, Counter] = field(default_factory=dict)  # of columns of the rows
    weight_X: np.ndarray | None = None  # int64 units: observations of each item, where nothing else says its popularity

    def grid(self, num_cells: int, num_coarse: int = 1) -> Grid:
        """Cells that hold about equal shares of what was found."""
        return Grid.fitted(self.count_P2, num_cells, num_coarse)

    def count(self, name: str, counts: Counter) -> None:
        """Takes in how often each value of a column occurs. Raises ValueError where there are too many of them."""
        self.values.setdefault(name, Counter()).update(counts)
        check_values(name, self.values[name])

    def add(self, other: "Survey") -> None:
        """Takes in what another one found, in any order."""
        self.count_P2 += other.count_P2
        for name, counts in other.values.items():
            self.count(name, counts)
        if other.weight_X is not None:
            self.weight_X = other.weight_X + (0 if self.weight_X is None else self.weight_X)


def survey_span(
    labelled: Labelled, span: Span, target: Target, by_row: tuple[str, ...], items: Places | None
) -> Survey:
    """Surveys the row groups of a span. `items` where observations of items are to be counted."""
    found = Survey()
    names = [labelled.score, labelled.label, *by_row]
    names += [n for n in (labelled.item, labelled.weight) if items is not None and n is not None]
    file = labelled.open(span.path, [labelled.item, *by_row])
    groups = list(range(span.start, span.stop))
    for batch in file.iter_batches(
        SHARD_ROWS, row_groups=groups, columns=list(dict.fromkeys(names)), use_threads=False
    ):
        table = pa.Table.from_batches([batch])
        positive_N = np.asarray(target.positive(table[labelled.label].to_numpy().astype(np.float64)), bool)
        survey(order_key(table[labelled.score].to_numpy()), positive_N, found.count_P2)
        for name in by_row:
            found.count(name, count_values(table[name]))
        if items is not None:
            weight_N = 1.0 if labelled.weight is None else table[labelled.weight].to_numpy()
            unit_N = np.rint(np.broadcast_to(weight_N, len(table)) * WEIGHT_UNIT).astype(np.int64)
            place_N = items.of(table[labelled.item].combine_chunks())
            if found.weight_X is None:
                found.weight_X = np.zeros(items.num, np.int64)
            np.add.at(found.weight_X, place_N[place_N >= 0], unit_N[place_N >= 0])
    return found


def design(found: Survey, dials: Dials, queries: pa.Table | None, items: pa.Table | None) -> tuple[Cutter, Layout]:
    """The slices and the grid, from the survey of all rows: every worker counts on the same."""
    shared = {"named": dials.named, "max_values": dials.max_values, "seed": dials.seed}
    observed_X = None if found.weight_X is None else found.weight_X / WEIGHT_UNIT
    rows = {name: row_values(found.values[name], dials.max_values)[0] for name in dials.by_row}
    homes = [set(t.column_names) for t in (queries, items) if t is not None] + [set(dials.by_row)]
    twice = {n for home in homes for n in home if sum(n in names for names in homes) > 1}
    if clash := sorted(twice & set(dials.by_row)):
        raise ValueError(f"column {clash[0]!r} is in the rows and in a table of slices; rename one of them")
    shared["elsewhere"] = frozenset(twice)
    cutter = Cutter(
        queries=None if queries is None else cut_table(queries, "query", **shared),
        items=None if items is None else cut_table(items, "item", observed_X=observed_X, **shared),
        rows=rows,
        crosses=dials.crosses,
    )
    layout = Layout(
        cuts=cutter.cuts,
        grid=found.grid(dials.num_cells, dials.num_coarse),
        num_groups=dials.num_groups,
        num_bins=dials.num_bins,
        k=dials.k,
        seed=dials.seed,
    )
    return cutter, layout


def condense_span(labelled: Labelled, span: Span, target: Target, grid: Grid, dials: Dials) -> Condensed:
    """The rows of a span, condensed; of the files only query, score, label and weight are read."""
    found = Condensed.empty(grid, dials.num_groups)
    names = [n for n in (labelled.query, labelled.score, labelled.label, labelled.weight) if n is not None]
    file = labelled.open(span.path, [labelled.query])
    groups, columns = list(range(span.start, span.stop)), list(dict.fromkeys(names))
    for batch in file.iter_batches(SHARD_ROWS, row_groups=groups, columns=columns, use_threads=False):
        table = pa.Table.from_batches([batch])
        check_full(table, names)
        weight_N = np.ones(len(table)) if labelled.weight is None else floats(table[labelled.weight])
        found.count(
            order_key(table[labelled.score].to_numpy()),
            np.asarray(target.positive(labels_of(table, labelled, target)), bool),
            weight_N,
            group_of(query_hashes(table, labelled, dials.seed), dials.num_groups),
        )
    return found


def count_span(
    labelled: Labelled, span: Span, target: Target, cutter: Cutter, layout: Layout, held_out: HeldOut | None
) -> State:
    """The state of the queries that begin in a span. `held_out` gives the probabilities, where no column does."""
    builder = Builder(layout)
    try:
        for table in shards(labelled, span, tuple(cutter.rows)):
            shard = shard_of(table, labelled, target)
            sample, hash_Q = shard.sample, hashes(shard.query_Q, layout.seed)
            if held_out is not None:
                fold_Q = group_of(hash_Q, layout.num_groups) % len(held_out.fitted_F)
                sample = replace(sample, probability_N=held_out.predict(sample.score_N, fold_Q[sample.query_N]))
            builder.add(sample, hash_Q, cutter.codes(shard, hash_Q))
    except ValueError as error:
        raise ValueError(f"{span.path}, row groups {span.start} to {span.stop - 1}: {error}") from error
    return builder.state()
