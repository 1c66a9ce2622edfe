"""A tile's part is its commit; counters agree with a naive recount, whatever the cut, the order or the kill."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import grid, merge, part, tile
from recsys.store import Folder
from recsys.tile import Frozen
from tests.tiles import OUTPUTS, ids, labelled, scorer, totals, world


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_queries=st.integers(1, 6),
    num_items=st.integers(1, 12),
    num_labelled=st.integers(0, 20),
    cut=st.tuples(st.integers(1, 6), st.integers(1, 12)),
    order=st.randoms(use_true_random=False),
)
def test_counters_equal_a_naive_recount_for_any_cut_and_order(
    tmp_path_factory, seed, num_queries, num_items, num_labelled, cut, order
):
    score_TQI, truth_TQI, frozen = world(seed, num_queries, num_items, num_labelled)
    folder = Folder.open(str(tmp_path_factory.mktemp("tiles")))
    tiles = grid.plan([grid.Market(0, num_queries, 0, num_items)], *cut)
    shuffled = order.sample(tiles, len(tiles))
    work = scorer(folder, score_TQI, frozen)
    receipts = [work(t) for t in shuffled]
    assert sum(r.num_pairs for r in receipts) == num_queries * num_items
    histogram, ranks, top = totals(folder, frozen, order.sample(tiles, len(tiles)), num_queries, num_items)

    kept = pa.concat_tables([folder.read_table(f"{t.name}.parquet") for t in tiles])
    assert kept.num_rows == num_queries * num_items
    for q, i, *scores in zip(*(kept[n].to_pylist() for n in kept.column_names), strict=True):
        assert scores == truth_TQI[:, int(q[1:]), int(i[1:])].tolist()

    for q, t in itertools.product(range(num_queries), range(2)):
        row = truth_TQI[t, q]
        best = sorted(range(num_items), key=lambda i: (-row[i], i))[:3]
        mine = [r for r in top.to_pylist() if r["query_id"] == f"q{q:04d}" and r["output"] == OUTPUTS[t]]
        assert [(r["rank"], r["item_id"], r["score"], r["model"]) for r in mine] == [
            (k + 1, f"i{i:04d}", row[i], "table") for k, i in enumerate(best)
        ]
    assert ranks.num_rows == 2 * len(frozen.query_row_L)
    for r in ranks.to_pylist():
        q, i, t = int(r["query_id"][1:]), int(r["item_id"][1:]), OUTPUTS.index(r["output"])
        assert r["num_above"] == int((truth_TQI[t, q] > truth_TQI[t, q, i]).sum())
        assert r["num_tied"] == int((truth_TQI[t, q] == truth_TQI[t, q, i]).sum())
        assert r["num_items"] == num_items
    counts = np.zeros((num_queries, 2, tile.NUM_BINS), int)
    for r in histogram.to_pylist():
        counts[r["query_row"], OUTPUTS.index(r["output"]), r["bin"]] = r["count"]
    for q, t in itertools.product(range(num_queries), range(2)):
        np.testing.assert_array_equal(counts[q, t], np.bincount(tile.bin_of(truth_TQI[t, q]), minlength=tile.NUM_BINS))


def test_parts_have_the_same_bytes_in_any_order_and_after_any_loss(tmp_path):
    score_TQI, _, frozen = world(1, 6, 30, 25)
    tiles = grid.plan([grid.Market(0, 6, 0, 30)], 2, 7)
    first, second = Folder.open(str(tmp_path / "a")), Folder.open(str(tmp_path / "b"))
    one = scorer(first, score_TQI, frozen)
    assert all(one(t).scored for t in tiles)
    for t in reversed(tiles):
        scorer(second, score_TQI, frozen)(t)
    for name in (tiles[3].name, tiles[5].name):
        second.remove(f"{name}.parquet")
    again = [scorer(second, score_TQI, frozen)(t) for t in tiles]
    assert [r.tile for r in again if r.scored] == [3, 5]
    assert {n: first.read(n) for n in first.names()} == {n: second.read(n) for n in second.names()}


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "other run"])
def test_a_damaged_or_foreign_part_is_scored_again(tmp_path, damage):
    score_TQI, _, frozen = world(2, 3, 9, 5)
    folder = Folder.open(str(tmp_path))
    (only,) = grid.plan([grid.Market(0, 3, 0, 9)], 3, 9)
    work = scorer(folder, score_TQI, frozen)
    work(only)
    name = f"{only.name}.parquet"
    whole = folder.read(name)
    if damage == "truncated":
        folder.write(name, whole[: len(whole) // 2])
    elif damage == "empty":
        folder.write(name, b"")
    elif damage == "foreign":
        folder.write_table(name, pa.table({"x": [1]}))
    else:
        work.fingerprint = "0" * 32
        work(only)
        work.fingerprint = "f" * 32
    assert work(only).scored
    assert folder.read(name) == whole
    assert not work(only).scored


def test_an_altered_score_is_found_by_the_checksum(tmp_path):
    score_TQI, _, frozen = world(2, 3, 9, 5)
    folder = Folder.open(str(tmp_path))
    (only,) = grid.plan([grid.Market(0, 3, 0, 9)], 3, 9)
    scorer(folder, score_TQI, frozen)(only)
    assert part.verify(folder, f"{only.name}.parquet")
    name = f"{only.name}.parquet"
    table = folder.read_table(name)
    scores = table["score_click"].to_numpy().copy()
    scores[4] += 1
    folder.write_table(name, table.set_column(3, table.schema.field(3), pa.array(scores)))
    assert not part.verify(folder, f"{only.name}.parquet")


def test_items_are_encoded_once_per_block(tmp_path):
    score_TQI, _, frozen = world(3, 8, 20, 0)
    work = scorer(Folder.open(str(tmp_path)), score_TQI, frozen)
    for t in grid.plan([grid.Market(0, 8, 0, 20)], 2, 10):
        work(t)
    assert work.scorer.num_item_encodings == 2


@pytest.mark.parametrize(("keep", "rows"), [("every", 8 * 20), ("labelled", 15)])
def test_what_is_kept(tmp_path, keep, rows):
    score_TQI, truth_TQI, frozen = world(4, 8, 20, 15)
    folder = Folder.open(str(tmp_path))
    work = scorer(folder, score_TQI, frozen, keep=keep)
    tiles = grid.plan([grid.Market(0, 8, 0, 20)], 3, 6)
    assert sum(work(t).num_rows for t in tiles) == rows
    for q, i, *scores in zip(*(c.to_pylist() for c in folder.read_tables("part-").columns), strict=True):
        assert scores == truth_TQI[:, int(q[1:]), int(i[1:])].tolist()


def test_keep_top_holds_the_top_of_every_query(tmp_path):
    score_TQI, _, frozen = world(5, 8, 20, 15)
    folder = Folder.open(str(tmp_path))
    work = scorer(folder, score_TQI, frozen, keep="top")
    tiles = grid.plan([grid.Market(0, 8, 0, 20)], 3, 6)
    for t in tiles:
        work(t)
    parts = folder.read_tables("part-")
    kept = set(zip(parts["query_id"].to_pylist(), parts["item_id"].to_pylist(), strict=True))
    top = totals(folder, frozen, tiles, 8, 20)[2]
    assert kept >= set(zip(top["query_id"].to_pylist(), top["item_id"].to_pylist(), strict=True))


def test_names_are_handed_out_in_slices(tmp_path, monkeypatch):
    score_TQI, _, frozen = world(4, 5, 9, 12)
    folder = Folder.open(str(tmp_path))
    tiles = grid.plan([grid.Market(0, 5, 0, 9)], 2, 4)
    work = scorer(folder, score_TQI, frozen)
    for t in tiles:
        work(t)
    whole = totals(folder, frozen, tiles, 5, 9)
    monkeypatch.setattr(merge, "_SLICE", 4)
    sliced = totals(folder, frozen, tiles, 5, 9)
    assert sliced[2]["item_id"].num_chunks > 5
    assert all(a.equals(b) for a, b in zip(whole, sliced, strict=True))


def test_a_score_that_is_not_finite_names_tile_and_query(tmp_path):
    score_TQI, _, frozen = world(7, 2, 3, 0)
    score_TQI[0, 1, 2] = np.nan
    with pytest.raises(FloatingPointError, match=r"tile 0: .* not finite for query 'q0001'"):
        scorer(Folder.open(str(tmp_path)), score_TQI, frozen)(grid.Tile(0, 0, 0, 2, 0, 3))
    assert Folder.open(str(tmp_path)).names() == []


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2))
def test_bins_keep_the_order(scores):
    ordered = np.sort(np.array(scores, np.float32))
    assert (np.diff(tile.bin_of(ordered)) >= 0).all()
    assert 0 <= tile.bin_of(ordered).min() <= tile.bin_of(ordered).max() < tile.NUM_BINS


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.integers(1, 40))
def test_best_is_a_stable_sort(scores, k):
    score_I = np.array(scores, np.float32)
    assert tile.best(score_I, k).tolist() == sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]


def test_an_item_of_another_market_stands_behind_all_of_the_query_s_own(tmp_path):
    score_TQI, truth_TQI, _ = world(8, 4, 10, 0)
    pairs = [(0, 1), (0, 8), (3, 0), (3, 9)]
    query_row_L, item_row_L = np.array(pairs).T
    score_TL = score_TQI[:, query_row_L, item_row_L]
    frozen = Frozen(query_row_L=query_row_L, item_row_L=item_row_L, score_TL=score_TL, group_L=item_row_L)
    folder = Folder.open(str(tmp_path))
    markets = [grid.Market(0, 2, 0, 6), grid.Market(2, 4, 6, 10)]
    tiles = grid.plan(markets, 2, 3)
    work = scorer(folder, score_TQI, frozen)
    for t in tiles:
        work(t)
    merged = merge.merge((part.read_counters(folder, t) for t in tiles), 3)
    ranks = merged.ranks(
        labelled(frozen), ids("query", 4)["query_id"], ids("item", 10)["item_id"], merge.Grid(markets, None, 10)
    )
    first = {(r["query_id"], r["item_id"]): r for r in ranks.to_pylist() if r["output"] == OUTPUTS[0]}
    assert len(first) == 4
    for (q, i), other in zip(pairs, [False, True, True, False], strict=True):
        r = first[(f"q{q:04d}", f"i{i:04d}")]
        own = truth_TQI[0, q, :6] if q < 2 else truth_TQI[0, q, 6:]
        expected = (
            (len(own), 1, len(own) + 1)
            if other
            else ((own > truth_TQI[0, q, i]).sum(), (own == truth_TQI[0, q, i]).sum(), len(own))
        )
        assert (r["num_above"], r["num_tied"], r["num_items"]) == expected


@pytest.mark.parametrize(("cache_bytes", "encodings"), [(10**6, 3), (2 * 4 * 8, 2 + 4), (0, 12)])
def test_queries_are_encoded_once_as_far_as_they_fit(tmp_path, cache_bytes, encodings):
    """Three shards of 4 queries, 32 bytes each once encoded, meet four blocks of items."""
    score_TQI, _, frozen = world(0, 12, 20, 0)
    work = scorer(Folder.open(str(tmp_path)), score_TQI, frozen, cache_bytes=cache_bytes)
    for t in grid.plan([grid.Market(0, 12, 0, 20)], 4, 5):
        work(t)
    assert work.scorer.num_query_encodings == encodings  # type: ignore[attr-defined]


def test_half_the_space_changes_no_rank(tmp_path):
    """Scores that float16 cannot tell apart: kept they tie, ranked they do not."""
    score_TQI = np.tile(np.float32(4) + np.arange(8, dtype=np.float32) / 2048, (2, 1, 1))
    frozen = Frozen(
        query_row_L=np.zeros(8, np.int64),
        item_row_L=np.arange(8),
        score_TL=np.ascontiguousarray(score_TQI[:, 0]),
        group_L=np.arange(8),
    )
    tiles = grid.plan([grid.Market(0, 1, 0, 8)], 1, 3)
    results = []
    for score_type in ("float32", "float16"):
        folder = Folder.open(str(tmp_path / score_type))
        work = scorer(folder, score_TQI, frozen, score_type=score_type)
        for t in tiles:
            work(t)
            assert part.verify(folder, f"{t.name}.parquet")
        kept = folder.read_tables("part-")["score_click"]
        assert kept.type == score_type.replace("float16", "halffloat").replace("float32", "float")
        np.testing.assert_array_equal(kept.to_numpy(), score_TQI[1, 0].astype(score_type))
        results.append([t.to_pydict() for t in totals(folder, frozen, tiles, 1, 8)])
    assert results[0] == results[1]
    assert len(set(score_TQI[0, 0].astype("float16"))) < 8


def test_a_score_too_large_for_its_type_is_named(tmp_path):
    score_TQI, _, frozen = world(0, 2, 3, 0)
    score_TQI[0, 1, 2] = -70_000
    work = scorer(Folder.open(str(tmp_path)), score_TQI, frozen, score_type="float16")
    with pytest.raises(OverflowError, match=r"70000 does not fit into float16; use score_type=float32"):
        work(grid.plan([grid.Market(0, 2, 0, 3)], 2, 3)[0])
    assert not list(tmp_path.iterdir())
