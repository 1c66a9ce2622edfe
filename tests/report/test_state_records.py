"""A report from states says what the report from rows says; and slices that are too small or too many are not shown."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys.metric.state import State
from recsys.report import _state_build, _state_cuts
from recsys.report._labelled import spans
from recsys.report._slicing import OF_LABELS
from recsys.report._state_build import Dials, Survey, count_span, design, survey_span
from recsys.report._state_cuts import Places, cut_table, row_values
from recsys.report._state_records import fold_small, records
from tests.metric import states
from tests.metric.samples import draw
from tests.report.scored_files import dials, labelled
from tests.report.synthetic import TARGETS, evaluation
from tests.report.test_balanced import balanced, by_name

EVERY = evaluation(num_queries=60, judged=10)
OF_TEST = pc.and_(pc.equal(EVERY.calibrated["target"], "relevance"), pc.equal(EVERY.calibrated["split"], "test"))
SHOP = replace(EVERY, calibrated=EVERY.calibrated.filter(OF_TEST), targets={"relevance": TARGETS["relevance"]})
NAMES = {"query": "query_id", "item": "item_id"}
DIALS = dials(crosses=(("frequency", "category"),))


def state_of(folder, *, num_rows: int = 100, setting: Dials = DIALS) -> State:
    """As the stage makes it, in one process."""
    table = SHOP.calibrated.sort_by("query_id")
    table = table.append_column("device", pa.array([("phone", "tablet", None)[n % 3] for n in range(len(table))]))
    pq.write_table(table, folder / "rows.parquet", row_group_size=50)
    known = labelled(folder / "rows.parquet", **NAMES, probability="probability", weight="weight")
    pieces, target = spans(known, num_rows), TARGETS["relevance"]
    places = Places(SHOP.items["item_id"].combine_chunks(), "item", 3)
    found = Survey()
    for span in pieces:
        found.add(survey_span(known, span, target, setting.by_row, places))
    cutter, layout = design(found, setting, SHOP.queries, SHOP.items)
    return State.sum_of(layout, [count_span(known, span, target, cutter, layout, None) for span in pieces])


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> State:
    return state_of(tmp_path_factory.mktemp("rows"))


def told(state: State, **changed):
    values = {"num_replicates": 40, "min_queries": 5, "notes": {"popularity": OF_LABELS}}
    gain = TARGETS["relevance"].describe()
    return records(state, target="relevance", split="test", gain=gain, **(values | changed))


def test_it_says_what_the_rows_say(state):
    exact = {key: r for key, r in by_name(balanced().records(SHOP)).items() if key[0] == "test"}
    found = by_name(told(state))
    same = [key for key in exact if key in found and not key[1].startswith(("detectable", "worst", "gap"))]
    same = [key for key in same if not key[2].startswith("brand")]  # of many brands, those of most items are shown
    columns = {key[2].partition("=")[0] for key in same}
    assert {"overall", "frequency", "popularity", "category", "price", "query_locale"} <= columns
    assert {"ndcg@5", "mrr", "recall@5", "auc", "gauc", "log_loss", "brier", "ece"} <= {key[1] for key in same}
    assert found["test", "ndcg@5", "popularity=head"].definition.endswith(OF_LABELS)
    for key in same:
        one, other = exact[key], found[key]
        if one.value is None:
            assert other.value is None, key
            continue
        approximate = any(name in key[1] for name in ("auc", "average_precision"))  # from histograms
        assert other.value == pytest.approx(one.value, abs=2e-3 if approximate else 1e-8), key
        if "macro" not in key[1] and "vs" not in key[2]:
            assert (other.num_queries, other.num_pairs) == (one.num_queries, one.num_pairs), key
    overall = found["test", "ndcg@5", "overall"], exact["test", "ndcg@5", "overall"]
    widths = [(r.high or 0.0) - (r.low or 0.0) for r in overall]
    assert widths[0] == pytest.approx(widths[1], rel=0.5)  # 36 queries, other draws


def test_the_spans_make_no_difference(state, tmp_path):
    assert states.same_bits(state_of(tmp_path, num_rows=10**6), state)


def test_intervals_hold_what_is_certain(state):
    auc = by_name(told(state))["test", "auc", "overall"]
    assert "of these rows it lies in [" in auc.definition
    least, most = map(float, auc.definition.rpartition("[")[2].rstrip("].").split(", "))
    ends = [auc.low or 0.0, least, auc.value or 0.0, most, auc.high or 0.0]
    assert (np.diff(ends) >= 0).all()


def test_rows_and_crosses_are_slices_too(state):
    found = by_name(told(state))
    where = {key[2] for key in found}
    assert {"device=phone", "device=tablet", "device=(none)"} <= where
    assert "frequency × category=head × Drill" in where
    assert found["test", "ndcg@5", "frequency × category=head × Drill"].num_queries > 0
    assert ("test", "ndcg@5", "device=phone") not in found


def test_small_slices_of_queries_become_one_and_those_of_items_are_left_out():
    sample = draw(8)
    codes = states.codes(sample, 8) | {"kind": np.arange(sample.num_queries) % 3}
    state = states.count(sample, codes, states.layout())
    queries = {n: int(c) for n, c in zip(state.layout.slices, state.sum_MSG[0].sum(axis=1), strict=True)}
    least = max(queries[f"kind={v}"] for v in "abc")
    folded, gone = fold_small(state, least + 1)
    assert gone["kind"] == 3
    assert [n for n in folded.layout.slices if n.startswith("kind")] == ["kind=other"]
    other = folded.sum_MSG[:, folded.layout.slices.index("kind=other")]
    together = sum(state.sum_MSG[:, state.layout.slices.index(f"kind={v}")] for v in "abc")
    np.testing.assert_array_equal(other, together)
    assert fold_small(state, 1)[0].layout.slices == tuple(n for n in state.layout.slices if queries[n])
    assert all(int(count) > least for count in folded.sum_MSG[0, 1:].sum(axis=1))


def test_popularity_that_was_counted_says_so():
    table = pa.table({"item_id": ["a", "b", "c"], "brand": ["x", "x", "y"]})
    found = cut_table(table, "item", named=(), max_values=6, seed=0, observed_X=np.array([9.0, 2.0, 1.0]))
    assert found.notes == {"popularity": OF_LABELS}
    given = cut_table(table.append_column("popularity", pa.array([9, 2, 1])), "item", named=(), max_values=6, seed=0)
    assert given.notes == {}


def test_a_million_values_become_other_and_are_counted():
    num = 1_000_000
    table = pa.table({"item_id": np.arange(num), "brand": pa.array(np.arange(num)).cast(pa.string())})
    found = cut_table(table, "item", named=(), max_values=6, seed=0)
    brand = next(c for c in found.cuts if c.column == "brand")
    assert len(brand.values) == 7  # five, other, and (none) for items that are not in the table
    assert found.merged["brand"] == num - 5
    code_X = found.codes["brand"]
    assert (code_X == brand.values.index("other")).sum() == num - 5


def test_rare_values_of_the_rows_become_other():
    values, merged = row_values(Counter({"a": 5, "b": 4, "c": 1, "d": 1}), 3)
    assert (values, merged) == (("a", "b", "other"), 2)
    assert row_values(Counter({"a": 1, "other": 2}), 5) == (("a", "other", "any other"), 0)


def test_a_column_of_too_many_values_is_an_error_however_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(_state_cuts, "MOST_VALUES", 100)
    monkeypatch.setattr(_state_build, "SHARD_ROWS", 40)
    table = pa.table({"query": [f"q{n}" for n in range(150)], "item": ["i"] * 150, "label": [1.0] * 150})
    table = table.append_column("score", pa.array(np.zeros(150, np.float32)))
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=75)
    known, target = labelled(tmp_path / "rows.parquet"), TARGETS["click"]
    whole, halves = (spans(known, num) for num in (150, 75))
    about = "column 'query' of the rows has more than 100 values; leave it out of cuts.rows"
    with pytest.raises(ValueError, match=about):
        survey_span(known, whole[0], target, ("query",), None)
    first, second = (survey_span(known, span, target, ("query",), None) for span in halves)
    with pytest.raises(ValueError, match=about):
        first.add(second)


def test_ids_are_found_whatever_they_are():
    for ids in (pa.array([5, 9, 7]), pa.array([5, 1 << 40, 7]), pa.array(["5", "x", "7"])):
        places = Places(ids, "item", 0)
        unknown = pa.array([8]) if pa.types.is_integer(ids.type) else pa.array(["8"])
        asked = pa.concat_arrays([ids.take(pa.array([2, 0, 2])), unknown])
        assert places.of(asked).tolist() == [2, 0, 2, -1]
        assert places.of(asked.dictionary_encode()).tolist() == [2, 0, 2, -1]
    with pytest.raises(ValueError, match="1 ids stand twice in the table of the item slices"):
        Places(pa.array(["a", "a"]), "item", 0)


def test_a_cross_of_unknown_cuts_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="cannot cross frequency and colour: no cut by colour"):
        state_of(tmp_path, setting=replace(DIALS, crosses=(("frequency", "colour"),)))


def test_a_label_that_is_not_possible_names_the_file(tmp_path):
    setting, shop = DIALS, SHOP.calibrated
    table = shop.set_column(3, "label", pa.array(np.full(len(shop), 9.0))).append_column(
        "device", pa.array(["phone"] * len(shop))
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    known = labelled(tmp_path / "rows.parquet", **NAMES)
    (span,) = spans(known, 10**6)
    found = survey_span(known, span, TARGETS["relevance"], setting.by_row, None)
    cutter, layout = design(found, setting, SHOP.queries, SHOP.items)
    with pytest.raises(ValueError, match=r"rows\.parquet, row groups 0 to 0: label 9 is not possible for relevance"):
        count_span(known, span, TARGETS["relevance"], cutter, layout, None)
    assert pc.max(table["label"]).as_py() == 9
