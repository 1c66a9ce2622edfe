"""What is taken over from a base and what is scored anew add up to what scoring all at once gives, exactly."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import delta, grid, merge, part
from recsys.delta import Delta, TakeOver
from recsys.scorer import Scorer
from recsys.store import MANIFEST, Folder
from recsys.tile import Frozen, TileScorer

OUTPUTS = ("relevance", "click")
KEEP, TOP_K = "top", 3


def draw(*names: str) -> np.ndarray:
    """Scores of two outputs, with many ties: a function of what it is asked for alone."""
    seed = int.from_bytes(hashlib.sha256("|".join(names).encode()).digest()[:8], "little")
    return np.random.default_rng(seed).integers(-3, 4, 2).astype(np.float32) / 2


class Contents(Scorer):
    """Scores by ids and texts, and counts the pairs."""

    outputs = OUTPUTS

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def encode_queries(self, table: pa.Table) -> Any:
        return [tuple(row.values()) for row in table.select(["query_id", "text"]).to_pylist()]

    def encode_items(self, table: pa.Table) -> Any:
        return [tuple(row.values()) for row in table.select(["item_id", "text"]).to_pylist()]

    def score(self, queries: Any, items: Any) -> np.ndarray:
        self.pairs += [(q[0], i[0]) for q in queries for i in items]
        return np.array([[draw(*q, *i) for i in items] for q in queries]).transpose(2, 0, 1)

    def score_pairs(self, queries: Any, items: Any, pair_P2: np.ndarray) -> np.ndarray:
        raise AssertionError("a whole grid is scored tile by tile")


@dataclass(frozen=True)
class World:
    """id -> (text, locale), and labelled pairs of ids."""

    queries: dict[str, tuple[str, str | None]]
    items: dict[str, tuple[str, str | None]]
    labels: frozenset[tuple[str, str]]

    def table(self, side: str) -> pa.Table:
        rows = sorted((locale or "", id_, text) for id_, (text, locale) in getattr(self, side).items())
        singular = {"queries": "query_id", "items": "item_id"}[side]
        columns = {singular: [r[1] for r in rows], "text": [r[2] for r in rows], "locale": [r[0] or None for r in rows]}
        return pa.table(columns, schema=pa.schema([(n, pa.string()) for n in columns]))

    def markets(self) -> list[grid.Market]:
        return grid.markets(*(self.table(side)["locale"].to_pylist() for side in ("queries", "items")))

    def frozen(self) -> Frozen:
        """Scores of labelled pairs, which differ from those that a tile computes."""
        query_ids, item_ids = self.table("queries")["query_id"].to_pylist(), self.table("items")["item_id"].to_pylist()
        pair_L2 = np.array(sorted((query_ids.index(q), item_ids.index(i)) for q, i in self.labels)).reshape(-1, 2)
        found = [(query_ids[q], item_ids[i]) for q, i in pair_L2]
        scores = [draw(q, self.queries[q][0], i, self.items[i][0]) + draw(q, i) / 8 for q, i in found]
        score_TL = np.array(scores, np.float32).reshape(-1, 2).T
        query_row_L, item_row_L = pair_L2.astype(int).T
        return Frozen(query_row_L=query_row_L, item_row_L=item_row_L, score_TL=score_TL, group_L=item_row_L)


def pairs(frozen: Frozen) -> np.ndarray:
    return np.stack([frozen.query_row_L, frozen.item_row_L], axis=1)


@dataclass
class Scored:
    """A world, scored into a folder."""

    world: World
    folder: Folder  # scores/
    plan: Delta  # without a base in rows
    scorer: Contents
    receipts: list[part.Receipt]

    def tables(self) -> list[pa.Table]:
        """Histogram, ranks and top."""
        world, frozen = self.world, self.world.frozen()
        counters = (self.plan.rows(part.read_counters(self.folder.join("tiles"), t)) for t in self.plan.tiles)
        merged = merge.merge(counters, TOP_K)
        query_ids, item_ids = world.table("queries")["query_id"], world.table("items")["item_id"]
        asked = merge.Grid(world.markets(), None, len(item_ids))
        keys = [(n, "ascending") for n in ("query_row", "output", "bin")]
        return [
            merged.histogram.sort_by(keys),
            merged.ranks(pairs(frozen), query_ids, item_ids, asked),
            merged.top(query_ids, item_ids, "contents"),
        ]


def whole(world: World, *, cut: tuple[int, int]) -> Delta:
    """The plan without a base."""
    queries, items = (delta.untouched(len(world.table(side))) for side in ("queries", "items"))
    return Delta(queries=queries, items=items, tiles=grid.plan(world.markets(), *cut), taken={})


def line_up(base: Scored, world: World, *, cut: tuple[int, int]) -> Delta:
    old_N = {s: delta.unchanged(base.world.table(s), world.table(s)) for s in ("queries", "items")}
    at_L, settled_N = delta.known_labels(pairs(world.frozen()), pairs(base.world.frozen()), *old_N.values())
    np.testing.assert_array_equal(
        world.frozen().score_TL[:, at_L >= 0], base.world.frozen().score_TL[:, at_L[at_L >= 0]]
    )
    return delta.plan(
        world.markets(),
        base.plan,
        query_old_N=np.where(settled_N, old_N["queries"], -1),
        item_old_N=old_N["items"],
        tile_queries=cut[0],
        tile_items=cut[1],
    )


def score(path: Path, world: World, plan: Delta, base: Scored | None = None) -> Scored:
    folder, scorer = Folder.open(str(path)), Contents()
    items, row_N = world.table("items"), plan.items.row_N
    work = TileScorer(
        scorer=scorer,
        folder=folder.join("tiles"),
        fingerprint=path.name * 32,
        keep=KEEP,
        score_type="float32",
        top_k=TOP_K,
        cache_bytes=10**6,
        queries=plan.queries.permuted(world.table("queries")),
        read_items=lambda position_I: items.take(pa.array(row_N[position_I])),
        frozen=delta.by_position(world.frozen(), plan.queries, plan.items),
    )
    call = work
    if base is not None:
        fingerprint = base.folder.path.rpartition("/")[2] * 32
        call = TakeOver(score=work, base=base.folder, base_fingerprint=fingerprint, delta=plan)
    receipts = [call(t) for t in plan.tiles]
    folder.write_json(MANIFEST, {})
    return Scored(world, folder, plan, scorer, receipts)


def expected_new(base: Scored, world: World) -> set[tuple[str, str]]:
    """The pairs that have to be scored, told query by query and block by block."""
    old = base.world

    def labelled(w: World, q: str) -> set[tuple]:
        return {(i, *w.items[i]) for p, i in w.labels if p == q}

    settled = {
        q for q, row in world.queries.items() if old.queries.get(q) == row and labelled(old, q) == labelled(world, q)
    }
    item_ids = base.world.table("items")["item_id"].to_pylist()
    query_ids = base.world.table("queries")["query_id"].to_pylist()
    free = set()
    for t in base.plan.tiles:
        block = [item_ids[base.plan.items.row_N[p]] for p in range(t.item_start, t.item_stop)]
        asked = [query_ids[base.plan.queries.row_N[p]] for p in range(t.query_start, t.query_stop)]
        if all(world.items.get(i) == old.items[i] for i in block):
            free |= {(q, i) for q in asked for i in block if q in settled}
    return grid_of(world) - free


def grid_of(world: World) -> set[tuple[str, str]]:
    query_ids, item_ids = world.table("queries")["query_id"].to_pylist(), world.table("items")["item_id"].to_pylist()
    return {
        (q, i)
        for m in world.markets()
        for q in query_ids[m.query_start : m.query_stop]
        for i in item_ids[m.item_start : m.item_stop]
    }


def some_world(rng: np.random.Generator, locales: list[str | None], num_queries: int, num_items: int) -> World:
    """Ids leave gaps, so that what is added later comes between, before and after."""

    def side(prefix: str, number: int) -> dict[str, tuple[str, str | None]]:
        ids = rng.choice(40, number, replace=False)
        return {f"{prefix}{i:02d}": (f"text {i % 5}", locales[rng.integers(len(locales))]) for i in ids}

    queries, items = side("q", num_queries), side("i", num_items)
    return World(queries, items, some_labels(rng, queries, items, 2 * num_queries))


def some_labels(rng: np.random.Generator, queries: dict, items: dict, number: int) -> frozenset[tuple[str, str]]:
    return frozenset((str(rng.choice(list(queries))), str(rng.choice(list(items)))) for _ in range(number))


def later(rng: np.random.Generator, world: World, locales: list[str | None]) -> World:
    """Some rows are added, some changed (a text or a locale), some removed; labels come and go."""

    def side(rows: dict[str, tuple[str, str | None]], prefix: str) -> dict[str, tuple[str, str | None]]:
        kept = {k: v for k, v in rows.items() if rng.random() > 0.1}
        changed = {k: (f"{v[0]}!", v[1]) for k, v in kept.items() if rng.random() < 0.1}
        moved = {k: (v[0], locales[rng.integers(len(locales))]) for k, v in kept.items() if rng.random() < 0.05}
        added = {f"{prefix}{i:02d}": ("new", locales[0]) for i in rng.choice(40, rng.integers(4), replace=False)}
        return added | kept | changed | moved if rng.random() < 0.8 else rows

    queries = side(world.queries, "q") or world.queries
    items = side(world.items, "i") or world.items
    labels = {(q, i) for q, i in world.labels if q in queries and i in items and rng.random() > 0.1}
    return World(queries, items, frozenset(labels) | some_labels(rng, queries, items, 2))


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_queries=st.integers(1, 12),
    num_items=st.integers(1, 25),
    cut=st.tuples(st.integers(1, 6), st.integers(1, 9)),
    locales=st.sampled_from([[None], ["de"], ["de", "en"]]),
)
def test_taken_over_and_scored_is_all_at_once(tmp_path_factory, seed, num_queries, num_items, cut, locales):
    """Three days in a row, each on the base of the one before."""
    rng, root = np.random.default_rng(seed), tmp_path_factory.mktemp("scores")
    world = some_world(rng, locales, num_queries, num_items)
    base = score(root / "a", world, whole(world, cut=cut))
    for day in "bcd":
        world = later(rng, world, locales)
        if not world.markets() or not base.plan.tiles:
            return
        plan = line_up(base, world, cut=cut)
        mine = score(root / day, world, plan, base)
        count_QI = np.zeros((len(world.queries), len(world.items)), int)
        for t in plan.tiles:
            query_row_N, item_row_N = plan.queries.row_N[t.query_start : t.query_stop], plan.items.row_N
            count_QI[np.ix_(query_row_N, item_row_N[t.item_start : t.item_stop])] += 1
        assert count_QI.max() == 1
        assert count_QI.sum() == len(grid_of(world)) == sum(r.num_pairs for r in mine.receipts)
        assert sorted(mine.scorer.pairs) == sorted(expected_new(base, world))
        assert sum(r.num_pairs for r in mine.receipts if r.taken) == len(grid_of(world)) - len(mine.scorer.pairs)
        anew = score(root / f"{day}-anew", world, plan)
        assert [r.checksum for r in mine.receipts] == [r.checksum for r in anew.receipts]
        at_once = score(root / f"{day}-whole", world, whole(world, cut=cut))
        for ours, expected in zip(mine.tables(), at_once.tables(), strict=True):
            assert ours.equals(expected)
        base = mine


@pytest.fixture
def days(tmp_path) -> tuple[Scored, World, Delta]:
    """A base of 3 x 4 tiles, and a day on which one item and one query came."""
    rng = np.random.default_rng(5)
    world = some_world(rng, [None], 12, 20)
    base = score(tmp_path / "a", world, whole(world, cut=(4, 5)))
    more = World(world.queries | {"q99": ("new", None)}, world.items | {"i99": ("new", None)}, world.labels)
    return base, more, line_up(base, more, cut=(4, 5))


def test_one_item_and_one_query_cost_a_row_and_a_column(days, tmp_path):
    base, world, plan = days
    assert len(plan.taken) == len(base.plan.tiles) == 12
    mine = score(tmp_path / "b", world, plan, base)
    assert {(q, i) for q, i in mine.scorer.pairs} == {p for p in grid_of(world) if "q99" in p or "i99" in p}


@pytest.mark.parametrize("damage", ["truncated", "missing", "altered", "of other work", "another tile"])
def test_a_damaged_part_of_the_base_is_scored_not_believed(days, tmp_path, damage):
    base, world, plan = days
    folder, (first, second) = base.folder.join("tiles"), list(plan.taken.values())[:2]
    name = f"{first.name}.parquet"
    data = bytearray(folder.read(name))
    if damage == "truncated":
        folder.write(name, bytes(data[:500]))
    elif damage == "missing":
        folder.remove(name)
    elif damage == "altered":
        table = folder.read_table(name)
        scores = table["score_click"].to_numpy().copy()
        scores[0] += 1
        folder.write_table(name, table.set_column(3, table.schema.field(3), pa.array(scores)))
    elif damage == "another tile":
        folder.write(name, folder.read(f"{second.name}.parquet"))
    else:
        folder.write(name, bytes(data).replace(b"a" * 32, b"x" * 32))
    mine = score(tmp_path / "b", world, plan, base)
    assert len([r for r in mine.receipts if r.taken]) == 11
    anew = score(tmp_path / "anew", world, plan)
    assert [r.checksum for r in mine.receipts] == [r.checksum for r in anew.receipts]


def test_a_base_that_is_gone_stops_the_scoring(days, tmp_path):
    base, world, plan = days
    base.folder.delete()
    with pytest.raises(FileNotFoundError, match="scores to take over are gone"):
        score(tmp_path / "b", world, plan, base)


def test_what_was_taken_over_is_known_when_the_same_command_goes_on(days, tmp_path):
    base, world, plan = days
    mine = score(tmp_path / "b", world, plan, base)
    lost = next(r for r in mine.receipts if not r.taken)
    mine.folder.join("tiles").remove(f"{plan.tiles[lost.tile].name}.parquet")
    again = score(tmp_path / "b", world, plan, base)
    assert [r.tile for r in again.receipts if r.scored] == [lost.tile]
    assert [r.taken for r in again.receipts] == [r.taken for r in mine.receipts]


def test_an_order_is_read_as_it_was_written(days):
    _, _, plan = days
    side = delta.Side.from_table(plan.items.to_table())
    np.testing.assert_array_equal(side.row_N, plan.items.row_N)
    np.testing.assert_array_equal(side.base_N, plan.items.base_N)
