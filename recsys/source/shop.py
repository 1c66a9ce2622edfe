"""The built-in shop: a simulator of any size, a pure function of its configuration, whose truth is known.

Rows are made from their numbers alone (`_shop_chance`), so the shop streams in shards and any pair's truth can be had
at any time. The parts, in the order in which they build on each other: `_shop_vocabulary` (words), `_shop_items`,
`_shop_queries`, `_shop_text`, `_shop_truth` (what fits, and the probabilities), `_shop_engine` (what is judged and
logged, with exact propensities), `_shop_tables` (clean rows), `_shop_corruption` (damage, written down).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.source._shop_chance import draw
from recsys.source._shop_corruption import CORRUPTIONS, Corruptor, check_rates
from recsys.source._shop_engine import Engine, most_candidates
from recsys.source._shop_items import Catalogue
from recsys.source._shop_queries import Audience
from recsys.source._shop_tables import World, numbers
from recsys.source._shop_truth import POSITIVE_GRADE, examination
from recsys.source._source import Source
from recsys.tables import RAW

PROBABILITIES = pa.schema(
    [
        pa.field("query_id", pa.string(), False),
        pa.field("item_id", pa.string(), False),
        pa.field("target", pa.string(), False),
        pa.field("probability", pa.float64(), False),
    ]
)
_TRUE_TARGETS = ("relevance", "click", "purchase", "purchase_given_click")
_TRUTH_COLUMNS = ("p_click", "p_purchase", "number")


@dataclass
class Shop(Source):
    """A simulated shop with a catalogue, searches, users, judgments and an impression log."""

    not_semantic: ClassVar[tuple[str, ...]] = ("rows_per_shard",)

    seed: int
    num_items: int
    num_search_queries: int
    num_users: int
    locales: list[str]
    frequency_exponent: float
    misspelling_rate: float
    num_judged_queries: int
    judgments_per_query: int
    judge_noise: float
    num_sessions: int
    slate_size: int
    exploration: float
    position_bias: float
    corruption: dict[str, float]
    rows_per_shard: int

    def __post_init__(self) -> None:
        for name, least in (
            ("num_items", 1),
            ("num_search_queries", 0),
            ("num_users", 0),
            ("num_judged_queries", 0),
            ("judgments_per_query", 1),
            ("num_sessions", 0),
            ("slate_size", 1),
            ("rows_per_shard", 1),
            ("frequency_exponent", 0),
            ("judge_noise", 0),
            ("position_bias", 0),
        ):
            if not getattr(self, name) >= least:
                raise ValueError(f"source.{name}={getattr(self, name)} must be at least {least}")
        if self.num_search_queries + self.num_users == 0:
            raise ValueError("source.num_search_queries=0 and source.num_users=0: nobody asks; raise one of them")
        if self.num_judged_queries > self.num_search_queries + self.num_users:
            raise ValueError(
                f"source.num_judged_queries={self.num_judged_queries} exceeds the "
                f"{self.num_search_queries + self.num_users} queries and users; lower it"
            )
        if not self.locales or len(set(self.locales)) < len(self.locales):
            raise ValueError(f"source.locales={self.locales} must name at least one market, each once")
        per_market = self.num_items // len(self.locales)
        needed = max(most_candidates(self.slate_size), self.judgments_per_query)
        if per_market < needed:
            raise ValueError(
                f"source.num_items={self.num_items} leaves {per_market} items per market; slate_size={self.slate_size} "
                f"and judgments_per_query={self.judgments_per_query} need at least {needed}"
            )
        if self.judgments_per_query > 80:
            raise ValueError(f"source.judgments_per_query={self.judgments_per_query} must not exceed 80")
        for name in ("misspelling_rate", "exploration"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"source.{name}={getattr(self, name)} must lie in [0, 1]")
        check_rates(self.corruption)

    def tables(self) -> tuple[str, ...]:
        judged = ("judgments",) if self.num_judged_queries else ()
        return ("items", "queries", *judged, *(("impressions",) if self.num_sessions else ()))

    def identity(self) -> dict[str, str]:
        return {}

    def read(self, table: str) -> Iterator[pa.Table]:
        if table not in self.tables():
            raise ValueError(f"the shop has no table '{table}'; it has {self.tables()}")
        for shard in self._damaged(table, Corruptor(self.seed, self.corruption, table)):
            rows = shard.drop_columns([n for n in _TRUTH_COLUMNS if n in shard.column_names])
            yield RAW[table].conform(rows)

    def truth(self) -> dict[str, pa.Table]:
        """`probabilities` of every judged or logged pair and `corruptions`, every piece of injected damage.

        probabilities: query_id, item_id, target, probability, where probability is for target
        relevance             P(a judge's grade >= 2), for judged pairs;
        click                 P(click | shown), averaged over the pair's impressions, each at its logged position;
        purchase              P(purchase | shown), averaged likewise;
        purchase_given_click  P(purchase | click), which has no position.
        Rows whose item or outcome was damaged, and bot sessions, do not count as impressions here.
        corruptions: table, key, kind, column, before, after; see `_shop_corruption.CORRUPTIONS`.
        """
        corruptions, pairs = [], []
        for table in self.tables():
            corruptor = Corruptor(self.seed, self.corruption, table)
            for shard in self._damaged(table, corruptor):
                if table == "judgments":
                    pairs.append(self._judged_truth(shard))
                elif table == "impressions":
                    pairs.append(shard.select(["impression_id", "query_id", "item_id", "p_click", "p_purchase"]))
            corruptions.extend(corruptor.log)
        log = pa.Table.from_pylist(corruptions, schema=CORRUPTIONS)
        judged = [p for p in pairs if "target" in p.column_names]
        logged = [p for p in pairs if "impression_id" in p.column_names]
        parts = [PROBABILITIES.empty_table(), *judged]
        if logged:
            parts.extend(_logged_truth(pa.concat_tables(logged), log))
        return {"probabilities": pa.concat_tables(parts), "corruptions": log}

    def true_probability(
        self, query_ids: list[str], item_ids: list[str], target: str, *, position: np.ndarray | int = 1
    ) -> np.ndarray:
        """probability_P of a positive outcome for any aligned pairs, judged or not; targets as in `truth`.

        click and purchase are given that the item is shown at `position` (1 = top).
        """
        if target not in _TRUE_TARGETS:
            raise ValueError(f"target={target!r} has no true probability; use one of {_TRUE_TARGETS}")
        if target == "relevance":
            return self.true_grade_probability(query_ids, item_ids)[:, POSITIVE_GRADE:].sum(axis=1)
        attraction_P, conversion_P = self._world.outcomes(numbers(query_ids), numbers(item_ids))
        if target == "purchase_given_click":
            return conversion_P
        click_P = attraction_P * examination(np.asarray(position), self.position_bias)
        return click_P * conversion_P if target == "purchase" else click_P

    def true_grade_probability(self, query_ids: list[str], item_ids: list[str]) -> np.ndarray:
        """probability_PG that a judge gives each grade 0..3, for aligned pairs."""
        return self._world.grade_probability(numbers(query_ids), numbers(item_ids))

    def logging_policy(self, query_ids: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """item_QM (numbers of the candidates) and propensity_QMK = P(candidate m shown at position k + 1)."""
        policy = self._world.engine.policy(numbers(query_ids))
        return policy.candidate_QM, policy.propensity_QMK()

    @cached_property
    def _world(self) -> World:
        catalogue = Catalogue(self.seed, self.num_items, len(self.locales))
        audience = Audience(catalogue, self.num_search_queries, self.num_users, self.frequency_exponent)
        return World(
            catalogue=catalogue,
            audience=audience,
            engine=Engine(catalogue, audience, self.slate_size, self.exploration),
            locales=self.locales,
            misspelling_rate=self.misspelling_rate,
            judge_noise=self.judge_noise,
            position_bias=self.position_bias,
        )

    def _damaged(self, table: str, corruptor: Corruptor) -> Iterator[pa.Table]:
        for shard, number_N in self._clean(table):
            damaged = corruptor.damage(shard, number_N)
            if table == "impressions":
                damaged = self._bots(damaged, corruptor)
            yield corruptor.duplicate(damaged, number_N)

    def _clean(self, table: str) -> Iterator[tuple[pa.Table, np.ndarray]]:
        """Shards before damage, with the numbers of their rows."""
        if table in ("items", "queries"):
            make = self._world.items if table == "items" else self._world.queries
            total = self.num_items if table == "items" else self._world.audience.num_queries
            for number_N in _spans(total, self.rows_per_shard):
                yield make(number_N), number_N
        elif table == "judgments":
            for judged_N in _spans(self.num_judged_queries, self.rows_per_shard // self.judgments_per_query):
                shard = self._world.judgments(self._judged_queries(judged_N), self.judgments_per_query)
                yield shard, judged_N[0] * self.judgments_per_query + np.arange(shard.num_rows)
        else:
            for session_S in _spans(self.num_sessions, self.rows_per_shard // self.slate_size):
                shard = self._world.impressions(session_S, self._session_queries(session_S))
                yield shard, shard["number"].to_numpy()

    def _judged_queries(self, judged_N: np.ndarray) -> np.ndarray:
        """Spread evenly over all queries and users, one at random in each stratum."""
        num_queries = self._world.audience.num_queries
        first_N = judged_N * num_queries // self.num_judged_queries
        after_N = (judged_N + 1) * num_queries // self.num_judged_queries
        chance_N = draw(self.seed, "judged query", judged_N)
        return first_N + (chance_N * (after_N - first_N)).astype(np.int64)

    def _session_queries(self, session_S: np.ndarray) -> np.ndarray:
        """Who asks in each session: a draw in proportion to frequency."""
        return np.searchsorted(self._cumulative_Q, draw(self.seed, "session", session_S), side="right")

    @cached_property
    def _cumulative_Q(self) -> np.ndarray:
        total_Q = np.cumsum(self._world.audience.frequency(np.arange(self._world.audience.num_queries)))
        return total_Q / total_Q[-1]

    def _bots(self, shard: pa.Table, corruptor: Corruptor) -> pa.Table:
        """In a bot's session everything that can be clicked is clicked."""
        session_N = shard["number"].to_numpy() // self.slate_size
        click_N = shard["click"].to_numpy().copy()
        is_bot_N = draw(self.seed, "bot", session_N) < self.corruption["bot_session"]
        for row in np.flatnonzero(is_bot_N & (click_N >= 0)):
            corruptor.remember(shard["impression_id"][row].as_py(), "bot_session", "click", click_N[row], 1)
        click_N[is_bot_N & (click_N >= 0)] = 1
        place = shard.column_names.index("click")
        return shard.set_column(place, "click", pa.array(click_N, pa.int8()))

    def _judged_truth(self, shard: pa.Table) -> pa.Table:
        known = shard.filter(pc.starts_with(shard["item_id"], "i"))
        keys = known.select(["query_id", "item_id", "target"]).group_by(["query_id", "item_id", "target"]).aggregate([])
        probability_P = self.true_probability(keys["query_id"], keys["item_id"], "relevance")
        return keys.append_column(PROBABILITIES.field("probability"), pa.array(probability_P)).cast(PROBABILITIES)


def _logged_truth(shown: pa.Table, log: pa.Table) -> Iterator[pa.Table]:
    """Mean true probabilities of each logged pair over its undamaged impressions."""
    damaged = log.filter(pc.and_(pc.equal(log["table"], "impressions"), pc.not_equal(log["kind"], "duplicate_rows")))
    kept = shown.filter(pc.invert(pc.is_in(shown["impression_id"], value_set=damaged["key"].combine_chunks())))
    kept = kept.group_by("impression_id", use_threads=False).aggregate(
        [(n, "first") for n in ("query_id", "item_id", "p_click", "p_purchase")]
    )
    kept = kept.append_column("p_both", pc.multiply(kept["p_click_first"], kept["p_purchase_first"]))
    means = kept.group_by(["query_id_first", "item_id_first"], use_threads=False).aggregate(
        [("p_click_first", "mean"), ("p_both", "mean"), ("p_purchase_first", "mean")]
    )
    for target, column in (
        ("click", "p_click_first_mean"),
        ("purchase", "p_both_mean"),
        ("purchase_given_click", "p_purchase_first_mean"),
    ):
        columns = [means["query_id_first"], means["item_id_first"], pa.array([target] * means.num_rows, pa.string())]
        yield pa.table([*columns, means[column]], schema=PROBABILITIES)


def _spans(total: int, size: int) -> Iterator[np.ndarray]:
    """0 .. total - 1 in runs of at most `size` (at least 1)."""
    size = max(1, size)
    for start in range(0, total, size):
        yield np.arange(start, min(start + size, total))
