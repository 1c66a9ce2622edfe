"""From impressions to logged decisions, and what each policy would have made of them.

Shapes: N impressions, U units, I items, M markets, P positions (0 = top), F folds.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import seed
from recsys.metric._reward import fit_rewards
from recsys.metric.policy import Log, check_propensity
from recsys.report._evaluation import Evaluation
from recsys.scorer import output_for

MAX_UNITS = 10_000  # units resampled one by one; more fall into that many groups, drawn by a hash
FOLDS = 5  # of units, by which rewards are predicted
POLICIES = ("logging", "uniform", "ranker")


@dataclass(frozen=True, kw_only=True)
class Logged:
    """The impressions of one target with a reward, ordered by id."""

    evaluation: Evaluation
    target: str
    shown: pa.Table
    unit: str | None  # column of what was randomised; None: the impression
    prior: float
    salt: int

    @cached_property
    def reward_N(self) -> np.ndarray:
        return self.shown[self.target].to_numpy().astype(np.float64)

    @cached_property
    def position_N(self) -> np.ndarray:
        return self.shown["position"].to_numpy().astype(np.int64) - 1

    @cached_property
    def item_N(self) -> np.ndarray:
        items = self.evaluation.items["item_id"].combine_chunks()
        return pc.index_in(self.shown["item_id"], value_set=items).to_numpy().astype(np.int64)

    @cached_property
    def unit_ids(self) -> list[str]:
        """Ids of what is resampled, ascending."""
        return np.unique(self._named_N).astype(str).tolist()

    @cached_property
    def unit_N(self) -> np.ndarray:
        return np.unique(self._named_N, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def _named_N(self) -> np.ndarray:
        ids_N = self.shown["impression_id" if self.unit is None else self.unit].cast(pa.string())
        ids_N = ids_N.to_numpy().astype(object).astype(str)
        name_U, name_N = np.unique(ids_N, return_inverse=True)
        if len(name_U) <= MAX_UNITS:
            return ids_N
        group_U = seed.hash_ids(name_U, self.salt) % np.uint64(MAX_UNITS)
        return np.char.add("group ", group_U.astype(str))[name_N]

    def log(self, policy: str) -> Log:
        """What the policy would have done: 'logging' itself, 'uniform' over the market, 'ranker': the run's own top."""
        propensity_N = self._propensities()
        fold_N = (seed.hash_ids(self.unit_ids, self.salt + 1) % np.uint64(FOLDS)).astype(np.int64)[self.unit_N]
        code_I = self._codes()
        rewards = fit_rewards(
            reward_N=self.reward_N,
            position_N=self.position_N,
            item_N=code_I[self.item_N],
            fold_N=fold_N,
            prior=self.prior,
            num_items=int(code_I.max(initial=0)) + 1,
        )
        predicted_N = rewards.of_shown(fold_N, self.position_N, code_I[self.item_N])
        match policy:
            case "logging":
                chance_N, expected_N = propensity_N, predicted_N
            case "uniform":
                num_MI, market_N = self._markets(code_I)
                chance_N = 1.0 / num_MI.sum(axis=1)[market_N]
                expected_N = rewards.of_groups(num_MI)[fold_N, self.position_N, market_N]
            case _:
                top_N = self._top()
                chance_N = (top_N == self.item_N).astype(np.float64)
                known_N = code_I[np.maximum(top_N, 0)]
                expected_N = np.where(top_N >= 0, rewards.of_shown(fold_N, self.position_N, known_N), 0.0)
        hash_N = seed.hash_ids(self.shown["impression_id"].to_pylist(), self.salt + 2)
        return Log(
            num_units=len(self.unit_ids),
            unit_N=self.unit_N,
            reward_N=self.reward_N,
            propensity_N=propensity_N,
            chance_N=chance_N,
            predicted_N=predicted_N,
            expected_N=expected_N,
            draw_N=seed.uniform(hash_N),
        )

    def _propensities(self) -> np.ndarray:
        """propensity_N. Raises ValueError, naming the impression, where one is missing or not in (0, 1]."""
        propensity_N = self.shown["propensity"].to_numpy(zero_copy_only=False).astype(np.float64)
        try:
            check_propensity(propensity_N)
        except ValueError as error:
            row = int(np.flatnonzero(~((propensity_N > 0) & (propensity_N <= 1)))[0])
            named = self.shown["impression_id"][row].as_py()
            raise ValueError(
                f"report.policy: impression {named!r}: {error}; prepare makes nan of what is not from 0 to 1: map the "
                "right column to propensity, or leave report=policy out"
            ) from error
        return propensity_N

    def _codes(self) -> np.ndarray:
        """code_I of the catalogue: one for each item that was shown, and the last one for all others."""
        shown = np.unique(self.item_N)
        code_I = np.full(self.evaluation.items.num_rows, len(shown))
        code_I[shown] = np.arange(len(shown))
        return code_I

    def _markets(self, code_I: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(num_MI, market_N): items of each code that could be shown, as the grid has it: those of the query's locale
        where both have one."""
        item_I = pc.fill_null(self.evaluation.items["locale"], "").to_numpy(zero_copy_only=False).astype(str)
        asked = pc.index_in(self.shown["query_id"], value_set=self.evaluation.queries["query_id"].combine_chunks())
        query_N = (
            pc.fill_null(self.evaluation.queries["locale"].take(asked), "").to_numpy(zero_copy_only=False).astype(str)
        )
        name_M, market_N = np.unique(query_N, return_inverse=True)
        near_MI = [(item_I == name) | (item_I == "") | (name == "") for name in name_M]
        num_codes = int(code_I.max(initial=0)) + 1
        return np.array([np.bincount(code_I[near_I], minlength=num_codes) for near_I in near_MI], float), market_N

    def _top(self) -> np.ndarray:
        """top_N: the run's item at the impression's place, -1 where it has none."""
        top = self.evaluation.top
        top = top.filter(pc.equal(top["output"], output_for(self.target, self.evaluation.outputs)))
        items = self.evaluation.items["item_id"].combine_chunks()
        top = pa.table(
            {"query_id": top["query_id"], "position": top["rank"], "top": pc.index_in(top["item_id"], items)}
        )
        asked = self.shown.select(["query_id", "position"]).append_column("row", pa.array(np.arange(len(self.item_N))))
        found = asked.join(top, keys=["query_id", "position"], join_type="left outer").sort_by("row")
        return pc.fill_null(found["top"], -1).to_numpy().astype(np.int64)


def logged(evaluation: Evaluation, target: str, *, unit: str | None, prior: float, salt: int) -> Logged | str:
    """The decisions of a target, or why there are none.

    Raises ValueError for a unit that no column names.
    """
    shown = evaluation.impressions
    if shown is None or target not in shown.column_names:
        return f"the log does not say whether there was a {target}"
    if unit is not None and unit not in shown.column_names:
        raise ValueError(f"report.policy.unit={unit} is no column of the impressions; there are {shown.column_names}")
    return Logged(
        evaluation=evaluation,
        target=target,
        shown=shown.sort_by("impression_id").combine_chunks(),
        unit=unit,
        prior=prior,
        salt=salt,
    )
