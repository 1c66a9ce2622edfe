"""The labelled pairs that several runs share: the same rows once for each run, so that queries pair up.

Shapes: N shared rows, P pairs.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import seed
from recsys.report._evaluation import Evaluation, Other
from recsys.report._rows import TargetRows, rows

PAIR = ["query_id", "item_id"]
ROW = [*PAIR, "label"]
KEPT = ("split", "score", "uncalibrated", "probability")  # the same in all rows of a pair


class NothingShared(ValueError):
    """Runs that have no labelled pair in common."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """One target of this run and others. Queries, items, labels and weights are the same in all, row by row."""

    split: str  # test where a model saw labels, else all
    ours: TargetRows
    others: dict[str, TargetRows]  # name of the run -> its rows
    num_shared: int  # labelled pairs that all have
    left_out: dict[str, int]  # why -> labelled pairs of this run or of another
    same_catalogue: bool  # ranks among all scored items mean the same


def paired(evaluation: Evaluation, others: list[Other], target: str) -> Paired:
    """The pairs with the same labels in all runs, of queries that no model has learnt from.

    Raises NothingShared, naming the run, where a run has no such pair.
    """
    split = "test" if evaluation.learned or any(o.learned for o in others) else "all"
    mine = _fair(evaluation.calibrated, target, learned=evaluation.learned)
    shared = _pairs(mine)
    left_out: dict[str, int] = {}
    for other in sorted(others, key=lambda o: o.run):
        shared = _shared(shared, _pairs(_fair(other.calibrated, target, learned=other.learned)), other, left_out)
        if not shared.num_rows:
            raise NothingShared(
                f"report.compare: run '{other.run}' has no labelled pair of '{target}' in common with "
                f"'{evaluation.run}' ({_said(left_out)}); compare runs on the same corpus and the same split"
            )
    tables = {evaluation.run: mine} | {o.run: _fair(o.calibrated, target, learned=o.learned) for o in others}
    made = {
        name: rows(
            replace(evaluation, calibrated=_restricted(table, shared), ranks=ranks, outputs=outputs), target, "all"
        )
        for (name, table), (ranks, outputs) in zip(
            tables.items(),
            [(evaluation.ranks, evaluation.outputs), *((o.ranks, o.outputs) for o in others)],
            strict=True,
        )
    }
    ours = made.pop(evaluation.run)
    return Paired(
        split=split,
        ours=ours,
        others=dict(sorted(made.items())),
        num_shared=shared.num_rows,
        left_out=left_out,
        same_catalogue=all(_same_totals(ours, theirs) for theirs in made.values()),
    )


def _fair(calibrated: pa.Table, target: str, *, learned: bool) -> pa.Table:
    """The target's rows that may be looked at: one per pair and label, further columns summed over."""
    table = calibrated.filter(pc.equal(calibrated["target"], target))
    if learned:
        table = table.filter(pc.equal(table["split"], "test"))
    summed = table.group_by([*ROW, "target"], use_threads=False).aggregate(
        [("weight", "sum"), *((name, "first") for name in KEPT)]
    )
    return summed.rename_columns({"weight_sum": "weight"} | {f"{name}_first": name for name in KEPT})


def _pairs(table: pa.Table) -> pa.Table:
    """One row per pair with a hash of its labels and weights."""
    bits = [np.ascontiguousarray(table[n].to_numpy(), np.float64).view(np.uint64) for n in ("label", "weight")]
    hash_N = seed.mix(seed.mix(bits[0], 0), seed.mix(bits[1], 1))
    half_N = [(hash_N >> np.uint64(32)).astype(np.int64), (hash_N & np.uint64(2**32 - 1)).astype(np.int64)]
    hashed = table.select(PAIR).append_column("high", pa.array(half_N[0])).append_column("low", pa.array(half_N[1]))
    made = hashed.group_by(PAIR, use_threads=False).aggregate([("high", "sum"), ("low", "sum")])
    return made.rename_columns({"high_sum": "high", "low_sum": "low"})


def _shared(ours: pa.Table, theirs: pa.Table, other: Other, left_out: dict[str, int]) -> pa.Table:
    both = ours.join(theirs, keys=PAIR, join_type="inner", right_suffix="_theirs")
    same = pc.and_(pc.equal(both["high"], both["high_theirs"]), pc.equal(both["low"], both["low_theirs"]))
    alike = both.filter(same)
    counted = {
        f"not in {other.run}": ours.num_rows - both.num_rows,
        f"only in {other.run}": theirs.num_rows - both.num_rows,
        f"labelled otherwise in {other.run}": both.num_rows - alike.num_rows,
    }
    left_out |= {reason: number for reason, number in counted.items() if number}
    return alike.select([*PAIR, "high", "low"])


def _said(left_out: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {reason}" for reason, number in left_out.items()) or "there is none"


def _restricted(table: pa.Table, shared: pa.Table) -> pa.Table:
    return table.join(shared.select(PAIR), keys=PAIR, join_type="left semi")


def _same_totals(ours: TargetRows, theirs: TargetRows) -> bool:
    one, other = ours.sample.total_N, theirs.sample.total_N
    return one is not None and other is not None and bool(np.array_equal(one, other))
