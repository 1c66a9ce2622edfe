"""The time the plan line expects, against a scorer that tells its own clock what everything costs."""

import numpy as np
import pyarrow as pa
import pytest

from recsys.scorer import Scorer
from recsys.stage._estimate import COUNT_S, Speed, time_sample


class Timed(Scorer):
    """Takes the seconds it is told to: for each text and pair, for each item that queries share, for each listed pair,
    and at first."""

    outputs = ("relevance",)

    def __init__(self, *, first: float, text: float, pair: float, item: float = 0.0, listed: float = 0.0) -> None:
        self.first, self.text, self.pair, self.item, self.listed = first, text, pair, item, listed
        self.now = 0.0
        self.num_pairs = 0

    def _encode(self, table: pa.Table) -> np.ndarray:
        self.now += self.first + self.text * len(table)
        self.first = 0.0
        return np.zeros(len(table))

    encode_queries = encode_items = _encode

    def score(self, queries, items) -> np.ndarray:
        self.now += self.item * len(items) + self.pair * len(queries) * len(items)
        self.num_pairs += len(queries) * len(items)
        return np.zeros((1, len(queries), len(items)))

    def score_pairs(self, queries, items, pair_P2) -> np.ndarray:
        self.now += self.listed * len(pair_P2)
        assert (pair_P2.max(axis=0) < (len(queries), len(items))).all()
        return np.zeros((1, len(pair_P2)))


def ids(prefix: str, number: int) -> pa.Table:
    return pa.table({f"{prefix}_id": [str(i) for i in range(number)]})


def timed(scorer: Timed, num_queries: int, num_items: int) -> Speed:
    return time_sample(
        scorer, ids("query", num_queries), num_items, lambda rows: ids("item", len(rows)), lambda: scorer.now
    )


@pytest.mark.parametrize(
    "costs",
    [
        pytest.param({"first": 2.0, "text": 1e-3, "pair": 1e-4, "item": 1e-3}, id="items shared by queries"),
        pytest.param({"first": 2.0, "text": 1e-5, "pair": 5e-3}, id="a dear pair"),
        pytest.param({"first": 0.1, "text": 2e-3, "pair": 1e-8}, id="a cheap pair"),
    ],
)
def test_what_is_expected_is_what_it_takes(costs):
    scorer = Timed(**costs)
    speed = timed(scorer, 200, 5000)
    assert scorer.now < 12  # seconds until the plan line
    expected = speed.seconds(pairs=200 * 5000, queries=200, items=5000, listed=False) - 200 * 5000 * COUNT_S
    shared = costs.get("item", 0.0) * 5000 * (200 / 32)  # 32 queries a tile
    assert expected == pytest.approx(5200 * costs["text"] + 200 * 5000 * costs["pair"] + shared, rel=0.05)


def test_listed_pairs_have_a_speed_of_their_own():
    speed = timed(Timed(first=1.0, text=1e-5, pair=1e-7, listed=1e-5), 200, 5000)
    assert speed.seconds(pairs=1000, queries=0, items=0, listed=True) == pytest.approx(1000 * (1e-5 + COUNT_S))


def test_actors_share_items_and_pairs_and_each_meets_all_queries():
    speed = Speed(query_s=2.0, item_s=3.0, pair_s=5.0, listed_s=7.0, query_bytes=1, item_bytes=1, outputs=1, pairs=1)
    assert speed.seconds(pairs=8, queries=2, items=4, listed=False, actors=4) == 4 + 3 + 10
    assert speed.seconds(pairs=8, queries=2, items=4, listed=True, actors=4) == 4 + 3 + 14


@pytest.mark.parametrize(
    ("costs", "num_queries", "num_items", "most"),
    [
        pytest.param({"text": 1e-4, "pair": 1.0}, 1000, 10**6, 40.0, id="a second a pair"),
        pytest.param({"text": 1 / 150, "pair": 1e-8}, 1, 10**6, 30.0, id="one query and dear texts"),
        pytest.param({"text": 0.2, "pair": 1e-8}, 55_000, 10**6, 60.0, id="very dear texts"),
        pytest.param({"text": 1e-3, "pair": 1e-6}, 10**5, 1, 30.0, id="one item"),
    ],
)
def test_the_sample_is_small_whatever_is_dear(costs, num_queries, num_items, most):
    scorer = Timed(first=0.0, **costs)
    timed(scorer, num_queries, num_items)
    assert scorer.now < most


def test_a_small_corpus_is_timed_whole():
    speed = timed(Timed(first=1.0, text=1e-6, pair=1e-9), 3, 5)
    assert speed.pairs == 15
    assert speed.seconds(pairs=15, queries=3, items=5, listed=False) == pytest.approx(8e-6 + 15 * (1e-9 + COUNT_S))
