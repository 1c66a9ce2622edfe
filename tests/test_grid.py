"""Every pair of a market is in exactly one tile, whatever the sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recsys import grid

locales = st.lists(st.sampled_from(["de", "en", "ja", None]), min_size=1, max_size=20).map(
    lambda values: sorted(values, key=lambda v: (v is None, v or ""))
)


@given(queries=locales, items=locales, tile_queries=st.integers(1, 7), tile_items=st.integers(1, 7))
def test_every_pair_of_a_market_is_in_exactly_one_tile(queries, items, tile_queries, tile_items):
    tiles = grid.plan(grid.markets(queries, items), tile_queries, tile_items)
    count_QI = np.zeros((len(queries), len(items)), int)
    for t in tiles:
        count_QI[t.query_start : t.query_stop, t.item_start : t.item_stop] += 1
        assert t.query_stop - t.query_start <= tile_queries
        assert t.item_stop - t.item_start <= tile_items
    one_market = all(v is None for v in queries) or all(v is None for v in items)
    expected_QI = [[int(one_market or q == i) for i in items] for q in queries]
    np.testing.assert_array_equal(count_QI, expected_QI)
    assert [t.index for t in tiles] == list(range(len(tiles)))
    assert sum(t.num_pairs for t in tiles) == np.sum(expected_QI)


def test_tiles_of_a_block_share_their_items():
    tiles = grid.plan([grid.Market(0, 10, 0, 100)], 4, 30)
    assert {(t.block, t.item_start, t.item_stop) for t in tiles} == {(0, 0, 25), (1, 25, 50), (2, 50, 75), (3, 75, 100)}
    assert len(tiles) == 4 * 3


@given(start=st.integers(0, 50), length=st.integers(0, 200), size=st.integers(1, 60))
def test_spans_are_near_equal_and_cover(start, length, size):
    spans = grid.spans(start, start + length, size)
    assert [x for a, b in spans for x in range(a, b)] == list(range(start, start + length))
    sizes = [b - a for a, b in spans]
    assert len(spans) == -(-length // size)
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_a_tile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="0 queries x 5 items"):
        grid.plan([grid.Market(0, 1, 0, 1)], 0, 5)


@given(
    num_queries=st.integers(1, 10**7),
    num_items=st.integers(1, 10**9),
    pair_s=st.floats(1e-9, 10),
    seconds=st.floats(0.1, 100),
    item_bytes=st.floats(0, 1e6),
    outputs=st.integers(1, 4),
    workers=st.integers(1, 1000),
)
@example(108, 19_406, 1 / 9000, 5.0, 120_000.0, 1, 2)
def test_a_tile_keeps_its_limits(num_queries, num_items, pair_s, seconds, item_bytes, outputs, workers):
    queries, items = grid.shape(
        num_queries,
        num_items,
        pair_s=pair_s,
        seconds=seconds,
        item_bytes=item_bytes,
        cache_bytes=2**29,
        outputs=outputs,
        workers=workers,
    )
    assert queries & (queries - 1) == 0 == items & (items - 1)
    assert items <= num_items
    assert queries < 2 * num_queries
    assert items == 1 or items * item_bytes <= 2**29
    assert queries * items * outputs <= grid.MOST_PAIRS
    assert queries * items == 1 or queries * items * pair_s <= seconds


def test_the_shape_of_a_tile_by_hand():
    """45,000 pairs in 5 s; 19,406 items for two workers of four blocks each are 2,425, of which 32 queries allow 1,406:
    1,024 items, and 45,000 / 1,024 = 43 queries."""
    case: Any = {
        "pair_s": 1 / 9000,
        "seconds": 5.0,
        "item_bytes": 1e5,
        "cache_bytes": 2**29,
        "outputs": 1,
        "workers": 2,
    }
    assert grid.shape(108, 19_406, **case) == (32, 1024)
    assert grid.shape(108, 19_406, **case | {"item_bytes": 1e6}) == (64, 512)  # the cache holds 536 items
    assert grid.shape(108, 19_406, **case | {"pair_s": 5e-8, "item_bytes": 1536}) == (
        128,
        16384,
    )  # cheap: long rows, all queries
    assert grid.shape(108, 19_406, **case | {"pair_s": 1.0}) == (4, 1)


def test_a_side_that_is_given_stays_and_the_other_is_fitted_to_it():
    """2^23 scores at most: 131,072 items leave room for 64 queries, or for 32 if the model has two outputs."""
    case: Any = {"pair_s": 2e-8, "seconds": 5.0, "item_bytes": 1536, "cache_bytes": 2**29, "workers": 2}
    assert grid.shape(10**6, 10**6, **case, outputs=1, items=131_072) == (64, 131_072)
    assert grid.shape(10**6, 10**6, **case, outputs=2, items=131_072) == (32, 131_072)
    assert grid.shape(10**6, 10**6, **case, outputs=1, queries=1000) == (1000, 8192)
    assert grid.shape(10**6, 10**6, **case, outputs=1, queries=10, items=30) == (10, 30)
    dear = case | {"pair_s": 1 / 3000}
    assert grid.shape(108, 19_406, **dear, outputs=1, items=1024) == (32, 1024), "items are encoded for so many queries"


@pytest.mark.parametrize(
    ("pair_s", "item_bytes", "more", "told"),
    [
        (69e-9, 1536, {}, "{tiles:,} of {queries:,} × {items:,} |"),
        (1 / 13_250, 61_440, {}, "{tiles:,} of {queries:,} × {items:,};"),
        (1 / 13_250, 61_440, {"seconds": 60.0}, "with `tiles.seconds=60` {tiles:,} of {queries:,} × {items:,} |"),
        (1 / 13_250, 61_440, {"items": 16_384}, "with `tiles.items=16384 tiles.cache_mib=4096` {blocks} |"),
    ],
)
def test_what_docs_tell_of_1e12_pairs(pair_s, item_bytes, more, told):
    case: Any = {"seconds": 5.0, "cache_bytes": 2**29, "outputs": 1, "workers": 100} | more
    queries, items = grid.shape(10**6, 10**6, pair_s=pair_s, item_bytes=item_bytes, **case)
    blocks = -(-(10**6) // items)
    text = told.format(tiles=blocks * -(-(10**6) // queries), queries=queries, items=items, blocks=blocks)
    assert text in (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")


@given(
    cells=st.sets(st.integers(0, 79), min_size=1),
    size=st.integers(1, 12),
    block=st.one_of(st.none(), st.integers(1, 12)),
)
def test_every_listed_pair_is_in_exactly_one_tile(cells, size, block):
    pair_P2 = np.stack(np.divmod(sorted(cells), 10), axis=1)
    tiles = grid.plan_pairs(pair_P2, size, 10, block)
    found = [
        [(q, i) for q, i in pair_P2.tolist() if t.query_start <= q < t.query_stop and t.item_start <= i < t.item_stop]
        for t in tiles
    ]
    assert sorted(pair for tile in found for pair in tile) == [tuple(p) for p in pair_P2.tolist()]
    assert grid.count_pairs(pair_P2, tiles).tolist() == [len(tile) for tile in found]
    ordered = [tuple(p) for p in pair_P2[grid.tile_order(pair_P2, tiles)].tolist()]
    if block is not None or len(tiles) == 1:
        assert ordered == [pair for tile in found for pair in tile]
    assert all(t.item_stop - t.item_start <= (block or 10) for t in tiles)
    assert [t.index for t in tiles] == list(range(len(tiles)))
