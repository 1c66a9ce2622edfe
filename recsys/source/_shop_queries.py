"""Who asks: typed searches and users, each a pure function of (seed, query number).

Queries 0 .. S-1 are searches in order of frequency, S .. S+U-1 are users. A search wants a product type and, unless it
is a broad one, some of brand, attribute values, price tier or one model of an item that exists. A user is a segment, an
age band and three items bought before. N queries, A attribute slots, H items of history.
"""

from dataclasses import dataclass, fields

import numpy as np

from recsys.source._shop_chance import draw, draw_normal, pick
from recsys.source._shop_items import CYCLE, Catalogue, slot_types
from recsys.source._shop_vocabulary import NONE, NUM_SLOTS, vocabulary

NUM_HISTORY = 3
MIDDLE_TIER = 1
INTENTS = ("broad", "specific", "model")
_WANTS = 0.42  # chance that a specific search names the brand, and each attribute of the item it has in mind
_WANTS_TIER = 0.2
_MODEL_SEARCH = 0.06  # share of specific searches for one model


@dataclass(frozen=True, kw_only=True)
class Queries:
    """What each query wants, as arrays over N queries; -1 for nothing in particular."""

    number: np.ndarray
    is_user: np.ndarray
    locale: np.ndarray
    type: np.ndarray
    brand: np.ndarray
    value_NA: np.ndarray
    tier: np.ndarray
    model_known: np.ndarray  # bool: one model is meant
    model: np.ndarray
    intent: np.ndarray  # index of INTENTS, -1 for users
    seed_item: np.ndarray  # number of the item the query was made from
    history_type_NH: np.ndarray
    history_brand_NH: np.ndarray
    history_value_NHA: np.ndarray
    segment: np.ndarray
    age_band: np.ndarray
    click_taste: np.ndarray  # added to the logit of a click: some people click more

    def take(self, index: np.ndarray) -> "Queries":
        return Queries(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True)
class Audience:
    """`num_searches` typed queries and `num_users` users of a catalogue."""

    catalogue: Catalogue
    num_searches: int
    num_users: int
    exponent: float  # Zipf, of frequency

    @property
    def num_queries(self) -> int:
        return self.num_searches + self.num_users

    def frequency(self, number_N: np.ndarray) -> np.ndarray:
        """How often each query is asked: Zipf over its rank among searches, or among users; at least 1."""
        rank_N = 1 + np.where(number_N < self.num_searches, number_N, number_N - self.num_searches)
        return np.maximum(1.0, np.round(1000.0 * rank_N**-self.exponent))

    def queries(self, number_N: np.ndarray) -> Queries:
        shop_seed, words = self.catalogue.seed, vocabulary()
        number_N = np.asarray(number_N, np.int64)
        is_user_N = number_N >= self.num_searches
        locale_N = number_N % self.catalogue.num_locales
        streams = np.arange(NUM_HISTORY)[None, :]
        place_NH = draw(shop_seed, "history", number_N[:, None], streams) * self.catalogue.size(locale_N)[:, None]
        seen_NH = self.catalogue.number(place_NH.astype(np.int64), locale_N[:, None])
        item = self.catalogue.items(seen_NH.ravel())
        first = item.take(np.arange(len(number_N)) * NUM_HISTORY)

        present = self._present_types()
        turn_N = number_N // self.catalogue.num_locales
        is_broad_N = ~is_user_N & (turn_N % 2 == 0) & (turn_N // 2 < len(present))
        type_N = np.where(is_broad_N, present[np.minimum(turn_N // 2, len(present) - 1)], first.type)
        model_known_N = (draw(shop_seed, "model search", number_N) < _MODEL_SEARCH) & ~is_broad_N & ~is_user_N
        free_N = ~is_broad_N & ~is_user_N & ~model_known_N
        wants_N5 = draw(shop_seed, "wants", number_N[:, None], np.arange(NUM_SLOTS + 2)[None, :])
        wants_value_NA = (wants_N5[:, :NUM_SLOTS] < _WANTS) & (first.value_NA != NONE)
        wants_brand_N = wants_N5[:, NUM_SLOTS] < _WANTS
        wants_tier_N = (wants_N5[:, NUM_SLOTS + 1] < _WANTS_TIER) & (first.tier != MIDDLE_TIER) & ~wants_brand_N
        wants_value_NA[:, 0] |= ~(wants_value_NA.any(axis=1) | wants_brand_N | wants_tier_N)
        segment_N = (draw(shop_seed, "segment", number_N) * len(words.segments)).astype(int)
        age_N = pick(np.array([0.18, 0.28, 0.27, 0.18, 0.09]), draw(shop_seed, "age", number_N))
        shape = (len(number_N), NUM_HISTORY)
        return Queries(
            number=number_N,
            is_user=is_user_N,
            locale=locale_N,
            type=type_N,
            brand=np.where((free_N & wants_brand_N) | model_known_N, first.brand, NONE),
            value_NA=np.where(free_N[:, None] & wants_value_NA, first.value_NA, NONE),
            tier=np.where(is_user_N, words.segment_tier[segment_N], np.where(free_N & wants_tier_N, first.tier, NONE)),
            model_known=model_known_N,
            model=first.model,
            intent=np.where(is_user_N, NONE, np.where(is_broad_N, 0, np.where(model_known_N, 2, 1))),
            seed_item=first.number,
            history_type_NH=item.type.reshape(shape),
            history_brand_NH=item.brand.reshape(shape),
            history_value_NHA=item.value_NA.reshape(*shape, NUM_SLOTS),
            segment=segment_N,
            age_band=age_N,
            click_taste=0.3 * draw_normal(shop_seed, "click taste", number_N) - 0.2 * (age_N - 2) * is_user_N,
        )

    def _present_types(self) -> np.ndarray:
        """Types that every market sells, the most frequent first."""
        slots = slot_types(self.catalogue.seed)[: min(CYCLE, self.catalogue.num_items // self.catalogue.num_locales)]
        types, counts = np.unique(slots, return_counts=True)
        return types[np.argsort(-counts, kind="stable")]
