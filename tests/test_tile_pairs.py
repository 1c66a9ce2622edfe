"""Tiles of listed pairs, and pairs whose items read the same."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import grid
from recsys.store import Folder
from tests.tiles import OUTPUTS, Table, labelled, scorer, totals, world


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), num=st.integers(1, 25), size=st.integers(1, 12), block=st.sampled_from([None, 1, 5])
)
def test_candidates_rank_above_all_that_were_not_retrieved(tmp_path_factory, seed, num, size, block):
    """Queries without a candidate, inside a tile or between two, have ranks as well: all their items are tied."""
    score_TQI, truth_TQI, frozen = world(seed, 5, 12, 20)
    cells = np.sort(np.random.default_rng(seed).choice(60, num, replace=False))
    candidate_P2 = np.stack(np.divmod(cells, 12), axis=1)
    folder = Folder.open(str(tmp_path_factory.mktemp("tiles")))
    work = scorer(folder, score_TQI, frozen, candidate_P2=candidate_P2, by_block=block is not None)
    tiles = grid.plan_pairs(candidate_P2, size, 12, block)
    assert sum(work(t).num_pairs for t in tiles) == num
    _, ranks, _ = totals(folder, frozen, tiles, 5, 12, candidate_P2)
    mine = set(cells.tolist())
    assert ranks.num_rows == len(OUTPUTS) * len(labelled(frozen))
    for r in ranks.to_pylist():
        q, i, t = int(r["query_id"][1:]), int(r["item_id"][1:]), OUTPUTS.index(r["output"])
        scored = [truth_TQI[t, q, j] for j in range(12) if q * 12 + j in mine]
        if q * 12 + i in mine:
            above, tied = sum(s > truth_TQI[t, q, i] for s in scored), sum(s == truth_TQI[t, q, i] for s in scored)
        else:
            above, tied = len(scored), 12 - len(scored)
        assert (r["num_above"], r["num_tied"], r["num_items"]) == (above, tied, 12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_texts=st.integers(1, 8),
    num_labelled=st.integers(0, 20),
    cut=st.tuples(st.integers(1, 6), st.integers(1, 12)),
    listed=st.sampled_from([0, 1, 30]),
)
def test_items_that_read_the_same_tie(tmp_path_factory, seed, num_texts, num_labelled, cut, listed):
    """Rounding gives items of one text scores that differ; with a labelled one among them, all have its frozen score,
    whatever tile they are in."""
    rng = np.random.default_rng(seed)
    score_TQI, _, frozen = world(seed, 5, 12, num_labelled)
    group_I = rng.integers(0, num_texts, 12)
    labels = labelled(frozen).tolist()
    text_of = {g: f"text {g}" if g else "" for g in range(num_texts)}
    texts = sorted({text_of[int(group_I[i])] for _, i in labels})
    group_L = np.array([texts.index(text_of[int(group_I[i])]) for _, i in labels], np.int64)
    value = {(q, group_I[i]): score_TQI[:, q, i] for q, i in reversed(labels)}
    score_TL = np.array([value[q, group_I[i]] for q, i in labels], np.float32).reshape(-1, 2).T
    frozen = replace(frozen, score_TL=score_TL + np.float32(1e-3), group_L=group_L)
    truth_TQI = score_TQI.copy()
    for (q, g), score_T in value.items():
        truth_TQI[:, q, group_I == g] = score_T[:, None] + np.float32(1e-3)
    text_I = [text_of[g] or None for g in group_I.tolist()]
    folder = Folder.open(str(tmp_path_factory.mktemp("tiles")))
    more: dict[str, Any] = {"texts": pa.array(texts, pa.string()), "text_I": pa.array(text_I, pa.string())}
    tiles = grid.plan([grid.Market(0, 5, 0, 12)], *cut)
    if listed:
        more |= {"candidate_P2": np.stack(np.divmod(np.arange(60), 12), axis=1), "by_block": listed == 1}
        tiles = grid.plan_pairs(more["candidate_P2"], cut[0], 12, cut[1] if listed == 1 else None)
    work = scorer(folder, score_TQI, frozen, **more)
    for t in tiles:
        work(t)
    for r in totals(folder, frozen, tiles, 5, 12)[1].to_pylist():
        q, i, t = int(r["query_id"][1:]), int(r["item_id"][1:]), OUTPUTS.index(r["output"])
        above, tied = (truth_TQI[t, q] > truth_TQI[t, q, i]).sum(), (truth_TQI[t, q] == truth_TQI[t, q, i]).sum()
        assert (r["num_above"], r["num_tied"]) == (above, tied)
        assert tied >= (group_I == group_I[i]).sum()


def test_candidates_of_a_block_are_encoded_once(tmp_path):
    """200 of 240 pairs in tiles of about 10 pairs, three blocks of four items: three encodings, not some twenty."""
    score_TQI, _, frozen = world(3, 20, 12, 0)
    cells = np.sort(np.random.default_rng(3).choice(240, 200, replace=False))
    candidate_P2 = np.stack(np.divmod(cells, 12), axis=1)
    tiles = grid.plan_pairs(candidate_P2, 10, 12, 4)
    assert len(tiles) > 15
    work = scorer(Folder.open(str(tmp_path)), score_TQI, frozen, candidate_P2=candidate_P2, by_block=True)
    for t in tiles:
        work(t)
    assert isinstance(work.scorer, Table)
    assert work.scorer.num_item_encodings == 3
