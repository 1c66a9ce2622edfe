"""A small shop for tests: explicit values, each of which a test may change."""

import pyarrow as pa

from recsys.source.shop import Shop

DAMAGE = {
    "markup": 0.05,
    "whitespace": 0.05,
    "mojibake": 0.05,
    "null_text": 0.03,
    "empty_text": 0.03,
    "negative_price": 0.04,
    "nan_price": 0.04,
    "label_outside_range": 0.03,
    "click_outside_range": 0.01,
    "unknown_item": 0.02,
    "bot_session": 0.05,
    "duplicate_rows": 0.05,
}
INTACT = dict.fromkeys(DAMAGE, 0.0)


def small_shop(
    *,
    seed: int = 3,
    num_items: int = 1200,
    num_search_queries: int = 60,
    num_users: int = 20,
    locales: tuple[str, ...] = ("us",),
    num_judged_queries: int = 50,
    judge_noise: float = 0.35,
    num_sessions: int = 300,
    exploration: float = 0.2,
    position_bias: float = 0.7,
    corruption: dict[str, float] = INTACT,
    misspelling_rate: float = 0.12,
    rows_per_shard: int = 100_000,
) -> Shop:
    return Shop(
        seed=seed,
        num_items=num_items,
        num_search_queries=num_search_queries,
        num_users=num_users,
        locales=list(locales),
        frequency_exponent=0.8,
        misspelling_rate=misspelling_rate,
        num_judged_queries=num_judged_queries,
        judgments_per_query=20,
        judge_noise=judge_noise,
        num_sessions=num_sessions,
        slate_size=5,
        exploration=exploration,
        position_bias=position_bias,
        corruption=dict(corruption),
        rows_per_shard=rows_per_shard,
    )


def whole(shop: Shop, table: str) -> pa.Table:
    return pa.concat_tables(shop.read(table))
