"""Rates by position by hand, on the page, and without a log."""

from dataclasses import replace

import pyarrow as pa
import pytest

from recsys.report import Position, build
from tests.report.synthetic import evaluation

LOG = pa.table(
    {
        "query_id": ["q0000", "q0000", "q0001", "q0001", "q0002", "q0002"],
        "position": pa.array([1, 2, 1, 2, 1, 3], pa.int32()),
        "click": pa.array([1, 0, 1, 1, 0, 0], pa.int8()),
        "purchase": pa.array([1, 0, 0, 0, 0, 0], pa.int8()),
    }
)
REPORT = Position(deepest=3, num_replicates=50)


def test_by_hand():
    shop = replace(evaluation(num_queries=5, targets=("click", "purchase")), impressions=LOG)
    found = {(r.metric, r.slice): r for r in REPORT.records(shop)}
    assert found["ctr", "position=1"].value == pytest.approx(2 / 3)
    assert found["ctr", "position=2"].value == 0.5
    assert found["ctr", "position=3 and below"].value == 0
    assert found["cvr", "position=1"].value == 0.5
    assert found["cvr", "position=2"].value == 0
    assert found["cvr_per_impression", "position=1"].value == pytest.approx(1 / 3)
    never = found["cvr", "position=3 and below"]
    assert (never.value, never.num_pairs, never.num_queries) == (None, 0, 0)
    assert (found["ctr", "position=1"].num_pairs, found["ctr", "position=1"].num_queries) == (3, 3)
    low, high = found["ctr", "position=1"].low, found["ctr", "position=1"].high
    assert low is not None
    assert high is not None
    assert low < 2 / 3 < high
    assert {r.target for (metric, _), r in found.items() if metric == "ctr"} == {"click"}
    html = build(shop, {"position": REPORT})[1]
    assert "What happens at each position?" in html
    assert "Nothing was exposed here" in html


def test_without_a_log_or_a_target_there_are_none():
    shop = evaluation(num_queries=5, targets=("click",))
    assert REPORT.records(shop) == []
    assert "No log of impressions" in build(shop, {"position": REPORT})[1]
    assert REPORT.records(replace(evaluation(num_queries=5), impressions=LOG)) == []


@pytest.mark.parametrize(
    ("change", "words"), [({"deepest": 0}, "deepest=0"), ({"num_replicates": 3}, "num_replicates=3")]
)
def test_nonsense_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Position(**({"deepest": 3, "num_replicates": 50} | change))
