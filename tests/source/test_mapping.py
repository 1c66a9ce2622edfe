"""Distinct rows, joined texts and grades, against plain Python."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.source._mapping import distinct, graded, joined

rows = st.lists(
    st.tuples(st.none() | st.sampled_from("abc"), st.none() | st.sampled_from("xy")), min_size=1, max_size=30
)
SCHEMA = pa.schema([("a", pa.string()), ("b", pa.string())])


def table(body: list[tuple]) -> pa.Table:
    return pa.table([pa.array([r[i] for r in body], pa.string()) for i in (0, 1)], schema=SCHEMA)


@settings(max_examples=80, deadline=None)
@given(rows, st.integers(1, 30))
def test_distinct_keeps_first_appearances_in_any_sharding(body: list[tuple], cut: int) -> None:
    (found,) = distinct([table(body[:cut]), table(body[cut:])])
    wanted = list(dict.fromkeys(r for r in body if r[0] is not None))
    assert list(zip(found["a"].to_pylist(), found["b"].to_pylist(), strict=True)) == wanted


def test_distinct_keeps_the_order_of_many_wide_rows() -> None:
    ids = [f"{'x' * (i % 40)}{i % 1500}" for i in range(5000)]
    (found,) = distinct([pa.table({"id": ids, "text": ids, "more": ids})])
    assert found["id"].to_pylist() == list(dict.fromkeys(ids))


def test_joined_skips_nulls() -> None:
    assert joined(table([("a", "x"), (None, "y"), ("b", None), (None, None)]), ["b", "a"]).to_pylist() == [
        "x a",
        "y",
        "b",
        "",
    ]


def test_graded_leaves_unknown_labels_null() -> None:
    labels = pa.chunked_array([["good", "bad"], ["?", None]])
    assert graded(labels, {"bad": 0.0, "good": 2.5}).to_pylist() == [2.5, 0.0, None, None]
