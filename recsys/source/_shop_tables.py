"""Clean rows of the four raw tables, before any damage: each function makes the rows of the numbers it is given."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys.source._shop_chance import draw
from recsys.source._shop_engine import Engine, show
from recsys.source._shop_items import Catalogue
from recsys.source._shop_queries import INTENTS, Audience
from recsys.source._shop_text import item_texts, query_texts
from recsys.source._shop_truth import MAX_GRADE, attraction, conversion, examination, fit, grade_probability
from recsys.source._shop_vocabulary import NONE, vocabulary

SESSION_INTERVAL_S = 60
_POLICY_CHUNK = 512  # queries whose candidates are in memory at once


@dataclass(frozen=True, kw_only=True)
class World:
    """A shop, its audience, its engine and its judges."""

    catalogue: Catalogue
    audience: Audience
    engine: Engine
    locales: list[str]
    misspelling_rate: float
    judge_noise: float
    position_bias: float

    @property
    def seed(self) -> int:
        return self.catalogue.seed

    def items(self, number_N: np.ndarray) -> pa.Table:
        words, items = vocabulary(), self.catalogue.items(number_N)
        titles, descriptions = item_texts(items, self.seed)
        colour = words.attribute_names.index("colour")
        is_colour_NA = words.type_attribute_TA[items.type] == colour
        value_N = np.where(is_colour_NA, items.value_NA, NONE).max(axis=1)
        return pa.table(
            {
                "item_id": item_ids(number_N),
                "text": [f"{t}. {d}" if d else t for t, d in zip(titles, descriptions, strict=True)],
                "title": titles,
                "category": _named(words.category_names, words.type_category_T[items.type]),
                "brand": _named(words.brand_names, items.brand),
                "price": items.price,
                "locale": _named(self.locales, items.locale),
                "department": _named(words.department_names, words.type_department_T[items.type]),
                "colour": _named([names[0] for names in words.value_names], value_N),
            }
        )

    def queries(self, number_N: np.ndarray) -> pa.Table:
        words, queries = vocabulary(), self.audience.queries(number_N)
        return pa.table(
            {
                "query_id": self.query_ids(number_N),
                "text": query_texts(queries, self.seed, self.misspelling_rate),
                "kind": _named(["search", "user"], queries.is_user.astype(int)),
                "locale": _named(self.locales, queries.locale),
                "frequency": self.audience.frequency(number_N),
                "intent": _named(INTENTS, queries.intent),
                "segment": _named(words.segments, np.where(queries.is_user, queries.segment, NONE)),
                "age_band": _named(words.age_bands, np.where(queries.is_user, queries.age_band, NONE)),
            }
        )

    def judgments(self, query_Q: np.ndarray, num_judged: int) -> pa.Table:
        """One judge per pair; the grade is drawn from the true grade distribution."""
        item_QJ = self.engine.pool(query_Q, num_judged)
        query_P, item_P = np.repeat(query_Q, item_QJ.shape[1]), item_QJ.ravel()
        at_least_PG = np.cumsum(self.grade_probability(query_P, item_P)[:, ::-1], axis=1)[:, ::-1]
        chance_P = draw(self.seed, "judge", query_P, item_P)
        grade_P = (chance_P[:, None] < at_least_PG[:, 1 : MAX_GRADE + 1]).sum(axis=1)
        return pa.table(
            {
                "query_id": self.query_ids(query_P),
                "item_id": item_ids(item_P),
                "target": pa.array(["relevance"] * len(query_P), pa.string()),
                "label": grade_P.astype(np.float64),
            }
        )

    def impressions(self, session_S: np.ndarray, query_S: np.ndarray) -> pa.Table:
        """K rows per session, with the true probabilities in `p_click` and `p_purchase` (after a click)."""
        query_Q, row_S = np.unique(query_S, return_inverse=True)
        parts = []
        for start in range(0, len(query_Q), _POLICY_CHUNK):
            policy = self.engine.policy(query_Q[start : start + _POLICY_CHUNK])
            mine = np.flatnonzero((row_S >= start) & (row_S < start + _POLICY_CHUNK))
            shown = show(self.engine, session_S[mine], query_S[mine], policy, row_S[mine] - start)
            session_N = np.repeat(session_S[mine], self.engine.num_positions)
            attraction_N, conversion_N = self.outcomes(shown.query_N, shown.item_N)
            p_click_N = attraction_N * examination(shown.position_N, self.position_bias)
            click_N = draw(self.seed, "click", session_N, shown.position_N) < p_click_N
            bought_N = draw(self.seed, "purchase", session_N, shown.position_N) < conversion_N
            jitter_N = (draw(self.seed, "time", session_N) * SESSION_INTERVAL_S).astype(np.int64)
            number_N = session_N * self.engine.num_positions + shown.position_N - 1
            parts.append(
                pa.table(
                    {
                        "impression_id": _ids("m", number_N, 10),
                        "query_id": self.query_ids(shown.query_N),
                        "item_id": item_ids(shown.item_N),
                        "position": shown.position_N.astype(np.int32),
                        "propensity": shown.propensity_N,
                        "click": click_N.astype(np.int8),
                        "purchase": (click_N & bought_N).astype(np.int8),
                        "session_id": _ids("s", session_N, 9),
                        "time_s": session_N * SESSION_INTERVAL_S + jitter_N,
                        "p_click": p_click_N,
                        "p_purchase": conversion_N,
                        "number": number_N,
                    }
                )
            )
        return pa.concat_tables(parts).sort_by("number").combine_chunks()

    def grade_probability(self, query_P: np.ndarray, item_P: np.ndarray) -> np.ndarray:
        """probability_PG of each grade."""
        fit_P = fit(self.audience.queries(query_P), self.catalogue.items(item_P))
        return grade_probability(fit_P, self.judge_noise)

    def outcomes(self, query_P: np.ndarray, item_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(click | looked at), P(purchase | click)."""
        queries, items = self.audience.queries(query_P), self.catalogue.items(item_P)
        fit_P = fit(queries, items)
        return attraction(fit_P, queries, items), conversion(fit_P, queries, items)

    def query_ids(self, number_N: np.ndarray) -> pa.Array:
        letters = np.where(np.asarray(number_N) < self.audience.num_searches, "q", "u").tolist()
        return pa.array([f"{c}{n:08d}" for c, n in zip(letters, np.asarray(number_N).tolist(), strict=True)])


def item_ids(number_N: np.ndarray) -> pa.Array:
    return _ids("i", number_N, 8)


def numbers(ids: list[str] | np.ndarray | pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The numbers behind item or query ids."""
    listed = ids.to_pylist() if isinstance(ids, pa.Array | pa.ChunkedArray) else ids
    return np.array([int(one[1:]) for one in listed], np.int64)


def _ids(letter: str, number_N: np.ndarray, width: int) -> pa.Array:
    return pa.array([f"{letter}{n:0{width}d}" for n in np.asarray(number_N).tolist()], pa.string())


def _named(names: list[str] | tuple[str, ...], index_N: np.ndarray) -> pa.Array:
    """The names at `index_N`; -1 becomes null."""
    index_N = np.asarray(index_N)
    return pa.array(names, pa.string()).take(pa.array(index_N, mask=index_N < 0))
