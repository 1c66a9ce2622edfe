"""The catalogue: item number n is a pure function of (seed, n), so any item can be had without the others.

Items run through a cycle of CYCLE slots, each of one product type, so the items of a type can be listed by arithmetic.
Four cycles make a block: in one slot of a block, some items are variants of one model (same brand, model code, price
level; another colour or size). Markets (locales) are interleaved: item n is sold in market n mod L.
N items, A attribute slots.
"""

import functools
from dataclasses import dataclass, fields

import numpy as np

from recsys.source._shop_chance import draw, draw_normal, hashed, pick, zipf_weights
from recsys.source._shop_vocabulary import NONE, NUM_SLOTS, vocabulary

CYCLE = 256
BLOCK = 4
VARIANT_SHARE = 0.4  # of the items of a block that are variants of one model
TYPE_EXPONENT, BRAND_EXPONENT = 0.6, 0.7  # Zipf


@dataclass(frozen=True, kw_only=True)
class Items:
    """What is known of each item, as arrays over N items."""

    number: np.ndarray
    locale: np.ndarray
    type: np.ndarray
    brand: np.ndarray
    value_NA: np.ndarray  # attribute values, -1 for none
    tier: np.ndarray
    quality: np.ndarray  # 0 plain, 1 good, 2 outstanding
    model: np.ndarray  # uint64, shared by the variants of one model
    price: np.ndarray
    appeal: np.ndarray  # log popularity, heavy-tailed to the right

    def take(self, index: np.ndarray) -> "Items":
        return Items(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True)
class Catalogue:
    """`num_items` items in `num_locales` markets."""

    seed: int
    num_items: int
    num_locales: int

    def size(self, locale: np.ndarray | int) -> np.ndarray:
        """Number of items of a market."""
        return (self.num_items - np.asarray(locale) + self.num_locales - 1) // self.num_locales

    def number(self, place: np.ndarray, locale: np.ndarray) -> np.ndarray:
        """Item number of the place-th item of a market."""
        return place * self.num_locales + locale

    def items(self, number_N: np.ndarray) -> Items:
        words = vocabulary()
        number_N = np.asarray(number_N, np.int64)
        place_N = number_N // self.num_locales
        slot_N = place_N % CYCLE
        locale_N = number_N % self.num_locales
        type_N = slot_types(self.seed)[slot_N]
        block_N = (place_N // (CYCLE * BLOCK) * CYCLE + slot_N) * self.num_locales + locale_N
        is_variant_N = draw(self.seed, "variant", number_N) < VARIANT_SHARE
        model_N = np.where(
            is_variant_N, hashed(self.seed, "model", block_N), hashed(self.seed, "single model", number_N)
        )
        per_department = words.brands_per_department
        ranks = pick(zipf_weights(per_department, BRAND_EXPONENT), draw(self.seed, "brand", model_N))
        brand_N = words.type_department_T[type_N] * per_department + ranks
        tier_N = words.brand_tier[brand_N]
        spread_N = draw_normal(self.seed, "price", model_N) * 0.3 + draw_normal(self.seed, "own price", number_N) * 0.02
        return Items(
            number=number_N,
            locale=locale_N,
            type=type_N,
            brand=brand_N,
            value_NA=self._values(number_N, model_N, type_N),
            tier=tier_N,
            quality=pick(np.array([0.3, 0.5, 0.2]), draw(self.seed, "quality", model_N)),
            model=model_N,
            price=np.round(words.type_price_T[type_N] * np.exp(0.45 * (tier_N - 1) + spread_N), 2),
            appeal=-np.log1p(-draw(self.seed, "appeal", number_N)),
        )

    def _values(self, number_N: np.ndarray, model_N: np.ndarray, type_N: np.ndarray) -> np.ndarray:
        """The first attribute differs among variants, the others belong to the model."""
        words = vocabulary()
        value_NA = np.full((len(number_N), NUM_SLOTS), NONE)
        for a in range(NUM_SLOTS):
            attribute_N = words.type_attribute_TA[type_N, a]
            own_N = number_N.astype(np.uint64) if a == 0 else model_N
            chance_N = draw(self.seed, f"value {a}", own_N) ** 1.3
            value_N = words.attribute_first[attribute_N] + (chance_N * words.attribute_size[attribute_N]).astype(int)
            value_NA[:, a] = np.where(attribute_N == NONE, NONE, value_N)
        return value_NA

    def of_types(self, slots: np.ndarray, locale: int, *, start: float, num: int) -> np.ndarray:
        """`num` distinct item numbers of a market in the given slots of the cycle, or as many as there are; -1 pads.

        Walks the slots' items with a stride coprime to their number, from the fraction `start`.
        """
        size = int(self.size(locale))
        cycles, rest = divmod(size, CYCLE)
        total = cycles * len(slots) + int((slots < rest).sum())
        number = np.full(num, NONE)
        if total == 0:
            return number
        ordered = slots[np.argsort(slots, kind="stable")]
        stride = _coprime(total, 0.381966)
        step = (int(start * total) + np.arange(min(num, total)) * stride) % total
        place = step // len(ordered) * CYCLE + ordered[step % len(ordered)]
        number[: len(step)] = self.number(place, np.asarray(locale))
        return number


@functools.lru_cache(maxsize=8)
def slot_types(shop_seed: int) -> np.ndarray:
    """Type of each slot of the cycle: every type at least once, popular types more often, in shuffled order."""
    num_types = len(vocabulary().type_names)
    rank_T = np.argsort(hashed(shop_seed, "type rank", np.arange(num_types)))
    share_T = np.empty(num_types)
    share_T[rank_T] = zipf_weights(num_types, TYPE_EXPONENT)
    spare = CYCLE - num_types
    count_T = 1 + np.floor(share_T * spare).astype(int)
    count_T[rank_T[: CYCLE - count_T.sum()]] += 1
    types = np.repeat(np.arange(num_types), count_T)
    return types[np.argsort(hashed(shop_seed, "slot", np.arange(CYCLE)))]


def _coprime(total: int, fraction: float) -> int:
    """The first number from fraction x total on that shares no divisor with it."""
    stride = max(1, int(total * fraction))
    while np.gcd(stride, total) != 1:
        stride += 1
    return stride
