"""Rows are read in whole queries, whatever the row groups, the spans, and the shards."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.report import _labelled
from recsys.report._labelled import Span, shard_of, shards, spans
from tests.metric.samples import each
from tests.report.scored_files import labelled
from tests.report.synthetic import TARGETS

CLICK = TARGETS["click"]


def rows(seed: int, *, text: bool, queries: int = 20) -> pa.Table:
    rng = np.random.default_rng(seed)
    size_Q = rng.integers(1, 12, queries)
    query_N = np.repeat(rng.permutation(queries), size_Q)
    num = len(query_N)
    return pa.table(
        {
            "query": [f"q{q}" for q in query_N] if text else query_N,
            "item": [f"i{n}" for n in range(num)] if text else np.arange(num),
            "label": rng.integers(0, 2, num).astype(float),
            "score": rng.normal(size=num).astype(np.float32),
        }
    )


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(_labelled, "SHARD_ROWS", 7)


def test_every_query_is_whole_and_every_row_comes_once(tmp_path):
    for seed in range(30):
        table = rows(seed, text=seed % 2 == 0)
        rng = np.random.default_rng(seed)
        pq.write_table(table, tmp_path / "rows.parquet", row_group_size=int(rng.integers(3, 20)))
        known = labelled(tmp_path / "rows.parquet")
        pieces = spans(known, int(rng.integers(1, 60)))
        found = [shard for span in pieces for shard in shards(known, span)]
        ids = [query for shard in found for query in dict.fromkeys(shard["query"].to_pylist())]
        assert len(ids) == len(set(ids)) == len(set(table["query"].to_pylist()))
        assert [i for shard in found for i in shard["item"].to_pylist()] == table["item"].to_pylist()


@each(range(10))
def test_a_shard_is_the_sample_of_its_rows(seed):
    table = rows(seed, text=seed % 2 == 0)
    shard = shard_of(table, labelled("x"), CLICK)
    ids = shard.query_Q.to_pylist()
    assert [ids[q] for q in shard.sample.query_N] == table["query"].to_pylist()
    np.testing.assert_array_equal(shard.sample.score_N, table["score"].to_numpy())
    np.testing.assert_allclose(shard.sample.probability_N, 1 / (1 + np.exp(-table["score"].to_numpy().astype(float))))
    assert len(np.unique(shard.sample.item_N)) == len(table)


def test_rows_of_a_query_that_lie_apart_in_one_shard_are_brought_together():
    table = rows(1, text=True)
    mixed = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    shard = shard_of(mixed, labelled("x"), CLICK)
    assert (np.diff(shard.sample.query_N) >= 0).all()
    assert shard.sample.num_queries == len(set(table["query"].to_pylist()))
    ids = shard.query_Q.to_pylist()
    found = {
        (ids[q], i): s
        for q, i, s in zip(shard.sample.query_N, shard.table["item"].to_pylist(), shard.sample.score_N, strict=True)
    }
    given = zip(table["query"].to_pylist(), table["item"].to_pylist(), table["score"].to_numpy(), strict=True)
    assert found == {(q, i): s for q, i, s in given}


def test_what_is_wrong_is_named(tmp_path):
    table = rows(1, text=True)
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=r"has no column 'click'; it has \['query'"):
        spans(labelled(tmp_path / "rows.parquet", label="click"), 10)
    with pytest.raises(ValueError, match="label 7 is not possible for click"):
        shard_of(table.set_column(2, "label", pa.array(np.full(len(table), 7.0))), labelled("x"), CLICK)
    empty = pa.array([None] + table["score"].to_pylist()[1:], pa.float32())
    with pytest.raises(ValueError, match=f"column 'score' is empty in 1 of {len(table)} rows"):
        shard_of(table.set_column(3, "score", empty), labelled("x"), CLICK)


def test_spans_are_row_groups(tmp_path):
    pq.write_table(rows(3, text=False), tmp_path / "rows.parquet", row_group_size=10)
    found = spans(labelled(tmp_path / "rows.parquet"), 25)
    assert found[0] == Span(path=str(tmp_path / "rows.parquet"), start=0, stop=3, num_rows=30)
    assert [s.start for s in found[1:]] == [s.stop for s in found[:-1]]
