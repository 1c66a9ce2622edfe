"""From labelled rows to the units of an experiment: who was in which arm, and what was observed of each.

Shapes: N labelled rows, U units.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.metric.experiment import Arm
from recsys.report._evaluation import Evaluation

KEY = "report.experiment"


@dataclass(frozen=True, kw_only=True)
class Assigned:
    """The units of one target. Units ascend by id."""

    names: tuple[str, ...]  # of the arms, the control first
    arm_U: np.ndarray  # int64: index into names
    positive_U: np.ndarray  # float64: observations that are positive
    observed_U: np.ndarray  # float64: observations
    rows_U: np.ndarray  # int64
    covariate_U: np.ndarray | None

    def arm(self, name: str, *, per_unit: bool) -> Arm:
        """Positives per observation, or per unit."""
        mask_U = self.arm_U == self.names.index(name)
        observed_U = self.observed_U[mask_U]
        return Arm(
            amount_U=self.positive_U[mask_U],
            chance_U=np.ones(len(observed_U)) if per_unit else observed_U,
            covariate_U=None if self.covariate_U is None else self.covariate_U[mask_U],
        )

    def num_units(self, name: str) -> int:
        return int((self.arm_U == self.names.index(name)).sum())

    def num_rows(self, name: str) -> int:
        return int(self.rows_U[self.arm_U == self.names.index(name)].sum())

    def num_positive(self, name: str) -> float:
        return float(self.positive_U[self.arm_U == self.names.index(name)].sum())


def assigned(
    evaluation: Evaluation, target: str, *, arm: str, unit: str, covariate: str | None, control: str
) -> Assigned | None:
    """The units of a target, or None where it has no labels.

    Raises ValueError for a column that is not there, a row without arm or unit, a unit in two arms, a covariate that is
    missing or differs within a unit, and where there is no other arm than the control.
    """
    rows = evaluation.calibrated.filter(pc.equal(evaluation.calibrated["target"], target))
    if not rows.num_rows:
        return None
    arm_N, unit_N = _texts(rows, arm, "arm"), _texts(rows, unit, "unit")
    weight_N = rows["weight"].to_numpy().astype(np.float64)
    positive_N = np.asarray(evaluation.targets[target].positive(rows["label"].to_numpy()), bool)
    name_U, first_U, code_N = np.unique(unit_N, return_index=True, return_inverse=True)
    arm_U = arm_N[first_U]
    if len(torn := np.flatnonzero(arm_N != arm_U[code_N])):
        row, num = torn[0], len(np.unique(code_N[torn]))
        one, other = str(arm_U[code_N[row]]), str(arm_N[row])
        raise ValueError(
            f"{KEY}: unit {str(unit_N[row])!r} is in the arms {one!r} and {other!r} ({num:,} units are in several); a "
            f"unit belongs to one arm: check the columns {arm} and {unit}, or take these units out of both"
        )
    names = np.unique(arm_U).tolist()
    if control not in names or len(names) < 2:
        raise ValueError(
            f"{KEY}: the column {arm} has the arms {names} for {target}; the control '{control}' and another must have "
            f"units: set {KEY}.control to one of them"
        )
    names = [control, *(n for n in names if n != control)]
    order = np.lexsort((weight_N, code_N))

    def total(value_N: np.ndarray) -> np.ndarray:
        return np.bincount(code_N[order], weights=value_N[order], minlength=len(name_U))

    return Assigned(
        names=tuple(names),
        arm_U=np.array([names.index(a) for a in arm_U.tolist()], np.int64),
        positive_U=total(weight_N * positive_N),
        observed_U=total(weight_N),
        rows_U=np.bincount(code_N, minlength=len(name_U)),
        covariate_U=None if covariate is None else _covariate(rows, covariate, unit_N, first_U, code_N),
    )


def _texts(rows: pa.Table, column: str, key: str) -> np.ndarray:
    _check_column(rows, column, key)
    if num := rows[column].null_count:
        row = pc.index(pc.is_null(rows[column]), True).as_py()
        raise ValueError(
            f"{KEY}.{key}={column} is null in {num:,} of {rows.num_rows:,} rows (first: row {row}, query "
            f"{rows['query_id'][row].as_py()!r}); give every row one, or leave these rows out"
        )
    return rows[column].cast(pa.string()).to_numpy().astype(object).astype(str)


def _covariate(rows: pa.Table, column: str, unit_N: np.ndarray, first_U: np.ndarray, code_N: np.ndarray) -> np.ndarray:
    _check_column(rows, column, "covariate")
    if not (pa.types.is_floating(rows[column].type) or pa.types.is_integer(rows[column].type)):
        raise ValueError(
            f"{KEY}.covariate={column} holds {rows[column].type}; it must hold numbers: name it in source.numeric"
        )
    value_N = rows[column].to_numpy(zero_copy_only=False).astype(np.float64)
    value_U = value_N[first_U]
    if len(wrong := np.flatnonzero(~np.isfinite(value_N))):
        raise ValueError(
            f"{KEY}.covariate={column} is {value_N[wrong[0]]} for unit {str(unit_N[wrong[0]])!r} ({len(wrong):,} "
            "rows); give every unit a number, such as 0 for those without a past"
        )
    if len(torn := np.flatnonzero(value_N != value_U[code_N])):
        row = torn[0]
        raise ValueError(
            f"{KEY}.covariate={column} is {value_U[code_N[row]]:g} and {value_N[row]:g} for unit {str(unit_N[row])!r}; "
            "it must be known before the experiment, and so be one number per unit"
        )
    return value_U


def _check_column(rows: pa.Table, column: str, key: str) -> None:
    if column not in rows.column_names:
        raise ValueError(
            f"{KEY}.{key}={column} is no column of the labels; there are {rows.column_names}: name it in "
            "source.further, so that it travels along"
        )
