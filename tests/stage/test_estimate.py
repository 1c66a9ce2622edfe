"""The time the plan line expects, against a scorer that tells its own clock what everything costs."""

import numpy as np
import pyarrow as pa
import pytest

from recsys.scorer import Scorer
from recsys.stage._estimate import COUNT_S, time_sample


class Timed(Scorer):
    """Takes the seconds it is told to: for each text and pair, for each item that queries share, and at first."""

    outputs = ("relevance",)

    def __init__(self, *, first: float, text: float, pair: float, item: float) -> None:
        self.first, self.text, self.pair, self.item = first, text, pair, item
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
        raise NotImplementedError


def ids(prefix: str, number: int) -> pa.Table:
    return pa.table({f"{prefix}_id": [str(i) for i in range(number)]})


@pytest.mark.parametrize(
    "costs",
    [
        pytest.param({"first": 2.0, "text": 1e-3, "pair": 1e-4, "item": 1e-3}, id="items shared by queries"),
        pytest.param({"first": 2.0, "text": 1e-5, "pair": 5e-3, "item": 0.0}, id="a dear pair"),
        pytest.param({"first": 0.1, "text": 2e-3, "pair": 1e-8, "item": 0.0}, id="a cheap pair"),
    ],
)
def test_what_is_expected_is_what_it_takes(costs):
    scorer = Timed(**costs)
    speed = time_sample(scorer, ids("query", 200), 5000, lambda rows: ids("item", len(rows)), lambda: scorer.now)
    assert scorer.now < 12  # seconds until the plan line
    expected = speed.seconds(pairs=200 * 5000, queries=200, items=5000) - 200 * 5000 * COUNT_S
    taken = 5200 * costs["text"] + 200 * 5000 * costs["pair"] + costs["item"] * 5000 * (200 / 32)  # 32 queries a tile
    assert expected == pytest.approx(taken, rel=0.05)


def test_a_small_corpus_is_timed_whole():
    scorer = Timed(first=1.0, text=1e-6, pair=1e-9, item=0.0)
    speed = time_sample(scorer, ids("query", 3), 5, lambda rows: ids("item", len(rows)), lambda: scorer.now)
    assert speed.pairs == 15
    assert speed.seconds(pairs=15, queries=3, items=5) == pytest.approx(8e-6 + 15 * (1e-9 + COUNT_S))
