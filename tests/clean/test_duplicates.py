import math
import struct

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.clean import Duplicates
from tests.clean.tables import NONE_KNOWN, items, raw

OTHER_NAN = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_0001))[0]
cell = st.sampled_from([None, 0.0, -0.0, 1.0, math.nan, OTHER_NAN])


def same(value: float | None) -> object:
    """What a cell is compared by."""
    return "nan" if value is not None and math.isnan(value) else value


def test_null_nan_and_zero_agree_with_themselves_only() -> None:
    prices = [None, math.nan, 0.0, -0.0, OTHER_NAN, None, 1.0]
    table = items(*({"item_id": "a", "text": "x", "price": p} for p in prices))
    cleaned = Duplicates(observed=[]).apply("items", table, NONE_KNOWN)
    kept = cleaned.kept["price"].to_numpy()
    assert np.array_equal(kept, [np.nan, np.nan, 0.0, 1.0], equal_nan=True)
    assert cleaned.kept["price"].null_count == 1
    assert cleaned.merged == {"duplicate_row": 3}
    assert cleaned.quarantined is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), cell), min_size=1, max_size=40), st.integers(0, 40))
def test_the_first_of_equal_rows_is_kept_in_order(rows: list[tuple], cut: int) -> None:
    table = raw("items", [{"item_id": str(n), "text": t, "price": p} for n, (t, p) in enumerate(rows)])
    table = table.set_column(0, table.schema.field(0), pa.array(["same"] * len(rows)))
    numbered = [(n, t, same(p)) for n, (t, p) in enumerate(rows)]
    wanted = {(t, p): n for n, t, p in reversed(numbered)}
    cut_table = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    cleaned = Duplicates(observed=[]).apply("items", cut_table, NONE_KNOWN)
    kept = zip(cleaned.kept["text"].to_pylist(), map(same, cleaned.kept["price"].to_pylist()), strict=True)
    assert list(kept) == [numbered[n][1:] for n in sorted(wanted.values())]
    assert cleaned.merged.get("duplicate_row", 0) == len(rows) - len(wanted)


def test_order_is_kept_over_many_rows() -> None:
    ids = [f"{'x' * (n % 40)}{n % 1500}" for n in range(6000)]
    cleaned = Duplicates(observed=[]).apply("items", items(*({"item_id": i, "text": i} for i in ids)), NONE_KNOWN)
    assert cleaned.kept["item_id"].to_pylist() == list(dict.fromkeys(ids))


def test_observed_outcomes_are_counted_not_merged() -> None:
    rows = [{"query_id": "q", "item_id": "i", "target": t, "label": 0.0} for t in ("click", "relevance") * 3]
    cleaned = Duplicates(observed=["click", "purchase"]).apply("judgments", raw("judgments", rows), NONE_KNOWN)
    assert cleaned.kept["target"].to_pylist() == ["click", "relevance", "click", "click"]
    assert cleaned.merged == {"duplicate_row": 2}


def test_a_further_column_tells_raters_apart() -> None:
    rows = [{"query_id": "q", "item_id": "i", "target": "relevance", "label": 1.0, "rater": r} for r in "aba"]
    cleaned = Duplicates(observed=[]).apply("judgments", raw("judgments", rows, rater=pa.string()), NONE_KNOWN)
    assert cleaned.kept["rater"].to_pylist() == ["a", "b"]
