"""A table of candidates becomes sorted row numbers; what cannot be used is counted by reason."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.pairs import Candidates

QUERIES, ITEMS = pa.chunked_array([["q0", "q1"]]), pa.chunked_array([["i0"], ["i1", "i2"]])


def write(path, **columns) -> Candidates:
    pq.write_table(pa.table(columns), path)
    return Candidates(path=str(path))


def test_pairs_are_sorted_unique_and_counted(tmp_path):
    option = write(
        tmp_path / "c.parquet",
        query_id=["q1", "q0", "q1", "q1", "q9", "q0", "q9"],
        item_id=["i2", "i1", "i0", "i2", "i0", "i9", "i9"],
        score=[1.0] * 7,
    )
    asked = option.candidates(QUERIES, ITEMS, ("match",))
    pair_P2, left_out = asked.pair_P2, asked.left_out
    assert pair_P2 is not None
    assert asked.shortlist is None
    assert pair_P2.tolist() == [[0, 1], [1, 0], [1, 2]]
    assert left_out == {"candidate_unknown_query": 2, "candidate_unknown_item": 1, "candidate_repeated": 1}
    assert len(pair_P2) + sum(left_out.values()) == 7


def test_identity_follows_the_content_and_not_the_path(tmp_path):
    one = write(tmp_path / "a.parquet", query_id=["q0"], item_id=["i0"])
    two = write(tmp_path / "b.parquet", query_id=["q0"], item_id=["i0"])
    other = write(tmp_path / "c.parquet", query_id=["q0"], item_id=["i1"])
    mine, same, changed = (option.identity(corpus="c", top_k=1) for option in (one, two, other))
    assert mine == same != changed


def test_a_table_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"pairs.path=.* has no column 'item_id'"):
        write(tmp_path / "a.parquet", query_id=["q0"]).identity(corpus="c", top_k=1)
    with pytest.raises(ValueError, match="is no readable Parquet"):
        Candidates(path=str(tmp_path / "absent.parquet")).identity(corpus="c", top_k=1)
    with pytest.raises(ValueError, match="none of its 1 pairs"):
        write(tmp_path / "b.parquet", query_id=["q9"], item_id=["i0"]).candidates(QUERIES, ITEMS, ("match",))
