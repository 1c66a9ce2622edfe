"""A cascade ranks the whole catalogue as one sorted by hand from both models' scores; what does not fit is refused."""

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import grid, merge, part
from recsys.grid import Market
from recsys.pairs import Cascade
from recsys.store import Folder, Plan, Run
from recsys.tile import Frozen, TileScorer
from tests.tiles import Table, ids

THREE = ("relevance", "click", "purchase")
CORPUS = "c" * 32


class Shop:
    """Scores of one model with many ties, for two markets of queries and items, and some labelled pairs."""

    def __init__(self, rng, outputs: tuple[str, ...], markets: list[Market], labelled_P2: np.ndarray) -> None:
        num_queries, num_items = markets[-1].query_stop, markets[-1].item_stop
        self.outputs, self.markets, self.labelled_P2 = outputs, markets, labelled_P2
        self.query_ids, self.item_ids = ids("query", num_queries)["query_id"], ids("item", num_items)["item_id"]
        self.computed_TQI = rng.integers(-2, 3, (len(outputs), num_queries, num_items)).astype(np.float32)
        self.score_TQI = self.computed_TQI.copy()  # a labelled pair has its frozen score, whatever a tile computes
        moved_TL = rng.integers(-1, 2, (len(outputs), len(labelled_P2))).astype(np.float32)
        self.score_TQI[:, labelled_P2[:, 0], labelled_P2[:, 1]] += moved_TL

    def score(self, folder: Folder, tiles: list[grid.Tile], top_k: int, candidate_P2=None, listed=None, **more):
        """Scores all tiles; the merged counters, and the pairs in question."""
        scorer = Table(self.computed_TQI)
        scorer.outputs = self.outputs
        items = ids("item", len(self.item_ids))
        query_row_L, item_row_L = self.labelled_P2.T
        work = TileScorer(
            scorer=scorer,
            folder=folder,
            fingerprint="f" * 32,
            keep="every",
            score_type="float32",
            top_k=top_k,
            cache_bytes=0,
            queries=ids("query", len(self.query_ids)),
            read_items=lambda rows: items.take(pa.array(rows)),
            frozen=Frozen(
                query_row_L=query_row_L,
                item_row_L=item_row_L,
                score_TL=self.score_TQI[:, query_row_L, item_row_L],
                group_L=item_row_L,
            ),
            candidate_P2=candidate_P2,
            listed_TP=None if listed is None else np.stack([listed[o] for o in self.outputs]),
            **more,
        )
        for t in tiles:
            work(t)
        merged = merge.merge((part.read_counters(folder, t) for t in tiles), top_k)
        return merged, merge.Grid(self.markets, candidate_P2, len(self.item_ids))


def write_run(root: Path, shop: Shop, top_k: int, pairs: str = "Every") -> Path:
    """A finished run of the shop's scores, as the score stage leaves it."""
    tiles = grid.plan(shop.markets, 2, 3)
    merged, asked = shop.score(Folder.open(str(root / "parts")), tiles, top_k)
    run = Run(str(root), "first")
    plan = Plan(stage="scores", version=2, config={"pairs": {"type": pairs}, "top_k": top_k}, inputs={"corpus": CORPUS})
    folder = run.begin(plan)
    folder.write_table("ranks.parquet", merged.ranks(shop.labelled_P2, shop.query_ids, shop.item_ids, asked))
    folder.write_table("top.parquet", merged.top(shop.query_ids, shop.item_ids, "cheap"))
    run.close(folder, plan, {"outputs": list(shop.outputs), "learned": False, "model": "cheap"}, {})
    return root / "first"


def by_hand(first: Shop, second: Shop, size: int, top_k: int) -> tuple[dict, list]:
    """The places of all labelled pairs and the top K, from both full score matrices: a list of tied groups is built
    for each query and output, the shortlist's in front."""
    places, best = {}, []
    for q, (t, output) in itertools.product(range(len(second.query_ids)), enumerate(second.outputs)):
        market = next(m for m in second.markets if m.query_start <= q < m.query_stop)
        items = range(market.item_start, market.item_stop)
        cheap_I = first.score_TQI[first.outputs.index(output) if output in first.outputs else 0, q]
        dear_I = second.score_TQI[t, q]
        order = sorted(items, key=lambda i: (-cheap_I[i], i))
        groups = []
        for model, score_I, some in (("dear", dear_I, order[:size]), ("cheap", cheap_I, order[size:])):
            values = sorted({score_I[i] for i in some}, reverse=True)
            groups += [[(i, score, model) for i in some if score_I[i] == score] for score in values]
        above = 0
        for group in groups:
            places |= {(q, i, output): (above, len(group), len(items)) for i, _, _ in group}
            above += len(group)
        flat = [row for group in groups for row in sorted(group)]
        best += [(q, output, k + 1, i, float(s), model) for k, (i, s, model) in enumerate(flat[:top_k])]
    return places, best


def number(name: str) -> int:
    return int(name[1:])


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 8), st.integers(1, 8)),
    kept=st.integers(1, 9),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    outputs=st.sampled_from([(("match",), ("match",)), (("match",), THREE), (THREE, THREE), (THREE, THREE[1:])]),
    tile_pairs=st.integers(1, 12),
    block=st.sampled_from([None, 1, 3]),
)
def test_ranks_and_top_are_those_of_the_order_built_by_hand(
    tmp_path_factory, seed, sizes, kept, share, outputs, tile_pairs, block
):
    rng, root = np.random.default_rng(seed), tmp_path_factory.mktemp("runs")
    size, top_k = (1 + int(s * (kept - 1)) for s in share)
    queries, more_queries, items, more_items = sizes
    markets = [Market(0, queries, 0, items), Market(queries, queries + more_queries, items, items + more_items)]
    cells = np.sort(rng.choice((queries + more_queries) * (items + more_items), size=max(1, items), replace=False))
    labelled_P2 = np.stack(np.divmod(cells, items + more_items), axis=1)
    first, second = (Shop(rng, own, markets, labelled_P2) for own in outputs)
    option = Cascade(run=str(write_run(root, first, kept)), top=size)
    asked = option.candidates(second.query_ids, second.item_ids, second.outputs)
    assert asked.pair_P2 is not None
    assert asked.shortlist is not None
    listed = asked.shortlist.listed(asked.pair_P2)
    tiles = grid.plan_pairs(asked.pair_P2, tile_pairs, len(second.item_ids), block)
    folder = Folder.open(str(root / "second"))
    more: dict = {"model": "dear", "by_block": block is not None}
    merged, where = second.score(folder, tiles, top_k, asked.pair_P2, listed, **more)
    assert merged.num_pairs() == len(asked.pair_P2)

    places, best = by_hand(first, second, size, top_k)
    ranks = merged.ranks(labelled_P2, second.query_ids, second.item_ids, where, asked.shortlist)
    assert ranks.num_rows == len(labelled_P2) * len(second.outputs)
    for r in ranks.to_pylist():
        q, i = number(r["query_id"]), number(r["item_id"])
        own = items if q < queries else more_items
        of_another_market = (own, 1, own + 1)
        expected = places.get((q, i, r["output"]), of_another_market)
        assert (r["num_above"], r["num_tied"], r["num_items"]) == expected, r

    top = merged.top(second.query_ids, second.item_ids, "dear", asked.shortlist)
    found = [(number(q), o, k, number(i), s, m) for q, o, k, i, s, m in (tuple(r.values()) for r in top.to_pylist())]
    assert found == sorted(best), "each place once, best first"
    parts = folder.read_tables("part-")
    assert parts.num_rows == len(asked.pair_P2)
    assert all(folder.read_table(n).schema.metadata[b"recsys.model"] == b"dear" for n in folder.names())


def some(seed: int = 0, outputs: tuple[str, ...] = ("match",)) -> Shop:
    labelled_P2 = np.array([[0, 1], [2, 5]])
    return Shop(np.random.default_rng(seed), outputs, [Market(0, 4, 0, 9)], labelled_P2)


def test_an_item_of_another_output_s_shortlist_stays_where_the_first_model_put_it(tmp_path):
    """Three items, N = 1: relevance lists i0, click lists i2; both are scored, but each output moves its own alone."""
    first = some(outputs=("relevance", "click"))
    first.markets, first.labelled_P2 = [Market(0, 1, 0, 3)], np.array([[0, 2]])
    first.query_ids, first.item_ids = ids("query", 1)["query_id"], ids("item", 3)["item_id"]
    first.computed_TQI = first.score_TQI = np.array([[[3, 2, 1]], [[1, 2, 3]]], np.float32)
    option = Cascade(run=str(write_run(tmp_path, first, 3)), top=1)
    asked = option.candidates(first.query_ids, first.item_ids, first.outputs)
    assert asked.pair_P2 is not None
    assert asked.shortlist is not None
    assert asked.pair_P2.tolist() == [[0, 0], [0, 2]]
    listed = asked.shortlist.listed(asked.pair_P2)
    assert listed is not None
    assert {o: p.tolist() for o, p in listed.items()} == {"relevance": [True, False], "click": [False, True]}
    listed_N, above_N, tied_N = asked.shortlist.below(
        np.array([0, 0]), np.array([2, 2]), pa.chunked_array([["relevance", "click"]])
    )
    assert listed_N.tolist() == [False, True]
    assert (above_N[0], tied_N[0]) == (2, 1), "below i0 and i1, as with the first model, though its score is known"


def test_where_all_outputs_have_one_shortlist_nothing_is_marked(tmp_path):
    first = some()
    option = Cascade(run=str(write_run(tmp_path, first, 5)), top=3)
    shortlist = option.candidates(first.query_ids, first.item_ids, THREE).shortlist
    assert shortlist is not None
    assert len(shortlist.pairs()) == 4 * 3
    assert shortlist.listed(shortlist.pairs()) is None


def test_identity_is_the_first_run_s_fingerprint_wherever_it_lies(tmp_path):
    one, moved = write_run(tmp_path / "a", some(), 5), write_run(tmp_path / "b", some(), 5)
    known = json.loads((one / "scores" / "_MANIFEST.json").read_text())["fingerprint"]
    for run in (str(one), f"{moved}/", f"file://{moved}"):
        assert Cascade(run=run, top=3).identity(corpus=CORPUS, top_k=5) == {"first": known}
    other = write_run(tmp_path / "c", some(), 6)
    assert Cascade(run=str(other), top=3).identity(corpus=CORPUS, top_k=5) != {"first": known}


def test_a_first_run_that_was_taken_over_is_followed(tmp_path):
    first = write_run(tmp_path, some(), 5)
    identity = Cascade(run=str(first), top=3).identity(corpus=CORPUS, top_k=5)
    Folder.open(str(tmp_path)).join("again", "scores").write_json("_REUSED.json", {"run": "first"})
    again = Cascade(run=str(tmp_path / "again"), top=3)
    assert again.identity(corpus=CORPUS, top_k=5) == identity
    assert again.candidates(some().query_ids, some().item_ids, ("match",)).shortlist is not None


def test_two_models_of_one_name_are_told_apart(tmp_path):
    first = some()
    shortlist = (
        Cascade(run=str(write_run(tmp_path, first, 5)), top=3)
        .candidates(first.query_ids, first.item_ids, ("match",))
        .shortlist
    )
    assert shortlist is not None
    assert shortlist.told("dear") == {"first": "cheap", "second": "dear", "top": 3}
    assert shortlist.told("cheap") == {"first": "first cheap", "second": "cheap", "top": 3}


@pytest.mark.parametrize(
    ("top", "corpus", "top_k", "words"),
    [
        (6, CORPUS, 5, r"pairs.top=6 is more than pairs.run=.* kept of each query \(top_k=5\)"),
        (5, CORPUS, 6, r"top_k=6 is more than pairs.run=.* kept of each query \(top_k=5\)"),
        (5, "d" * 32, 5, r"scored another corpus \(cccccccc, not dddddddd\); .* with reuse="),
    ],
)
def test_what_does_not_go_with_the_first_run_is_refused(tmp_path, top, corpus, top_k, words):
    first = str(write_run(tmp_path, some(), 5))
    with pytest.raises(ValueError, match=words):
        Cascade(run=first, top=top).identity(corpus=corpus, top_k=top_k)


@pytest.mark.parametrize(("pairs", "named"), [("Candidates", "pairs=candidates"), ("Cascade", "pairs=cascade")])
def test_a_first_run_of_some_pairs_is_refused(tmp_path, pairs, named):
    first = str(write_run(tmp_path, some(), 5, pairs))
    with pytest.raises(ValueError, match=f"did not score every pair \\({named}\\)"):
        Cascade(run=first, top=2).identity(corpus=CORPUS, top_k=5)


def test_a_first_run_that_is_absent_unfinished_or_of_given_scores_is_refused(tmp_path):
    option = Cascade(run=str(tmp_path / "given"), top=2)
    with pytest.raises(ValueError, match=r"pairs.run=.*given has no finished scores/"):
        option.identity(corpus=CORPUS, top_k=5)
    run, plan = (
        Run(str(tmp_path), "given"),
        Plan(stage="scores", version=2, config={"given": True}, inputs={"corpus": CORPUS}),
    )
    folder = run.begin(plan)
    with pytest.raises(ValueError, match="has no finished scores/"):
        option.identity(corpus=CORPUS, top_k=5)
    run.close(folder, plan, {}, {})
    with pytest.raises(ValueError, match="its scores were given"):
        option.identity(corpus=CORPUS, top_k=5)
    with pytest.raises(ValueError, match=r"pairs\.top=0"):
        Cascade(run="runs/first", top=0)


def test_an_output_that_no_output_of_the_first_model_serves_is_refused(tmp_path):
    first = some(outputs=("relevance", "click"))
    option = Cascade(run=str(write_run(tmp_path, first, 5)), top=2)
    for outputs, lost in ((THREE, "purchase"), (("match",), "match")):
        with pytest.raises(ValueError, match=f"outputs relevance, click, none of which this model's output '{lost}'"):
            option.candidates(first.query_ids, first.item_ids, outputs)
