"""Groups by hand sums, a group that is treated otherwise and found, and groups that are alike and left alone."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from recsys.report import Evaluation, Fairness, Record, build
from recsys.report._chart import Table
from tests.report.synthetic import evaluation


def fair(**changed) -> Fairness:
    values = {
        "columns": ["category", "locale"],
        "threshold": 0.5,
        "k": 5,
        "num_replicates": 100,
        "min_queries": 5,
        "max_values": 6,
        "level": 0.05,
    }
    return Fairness(**(values | changed))


@pytest.fixture(scope="module")
def shop() -> Evaluation:
    """Sofas are stated far too high; everything else is right."""
    shop = evaluation(num_queries=150, judged=12)
    category = dict(zip(shop.items["item_id"].to_pylist(), shop.items["category"].to_pylist(), strict=True))
    probability = [
        1 - (1 - r["probability"]) * 0.5 if category[r["item_id"]] == "Sofa" else r["probability"]
        for r in shop.calibrated.to_pylist()
    ]
    place = shop.calibrated.column_names.index("probability")
    return replace(shop, calibrated=shop.calibrated.set_column(place, "probability", pa.array(probability)))


@pytest.fixture(scope="module")
def found(shop) -> dict[tuple[str, str], Record]:
    records = fair().records(shop)
    named = {(r.metric, r.slice): r for r in records}
    assert len(named) == len(records)
    return named


def own(shop: Evaluation, category: str) -> tuple[list[dict], list[dict]]:
    """The test rows of a category, and all others."""
    of = dict(zip(shop.items["item_id"].to_pylist(), shop.items["category"].to_pylist(), strict=True))
    rows = shop.calibrated.filter(pc.equal(shop.calibrated["split"], "test")).to_pylist()
    return [r for r in rows if of[r["item_id"]] == category], [r for r in rows if of[r["item_id"]] != category]


def test_figures_of_a_group_by_hand(shop, found):
    sofas, others = own(shop, "Sofa")
    said = [np.mean([r["probability"] >= 0.5 for r in side]) for side in (sofas, others)]
    assert found["selection_rate", "category=Sofa"].value == pytest.approx(said[0])
    assert found["difference selection_rate", "category=Sofa"].value == pytest.approx(said[0] - said[1])
    positive = [r for r in sofas if r["label"] >= 2]
    reached = np.mean([r["probability"] >= 0.5 for r in positive])
    assert found["recall", "category=Sofa"].value == pytest.approx(reached)
    assert found["recall", "category=Sofa"].num_queries == len({r["query_id"] for r in positive})
    gap = np.mean([r["probability"] - (r["label"] >= 2) for r in sofas])
    assert found["calibration_difference", "category=Sofa"].value == pytest.approx(gap)
    auc = roc_auc_score([r["label"] >= 2 for r in sofas], [r["score"] for r in sofas])
    assert found["auc", "category=Sofa"].value == pytest.approx(auc)


def test_exposure_by_hand(shop, found):
    of = dict(zip(shop.items["item_id"].to_pylist(), shop.items["category"].to_pylist(), strict=True))
    shown = [of[r["item_id"]] for r in shop.top.to_pylist() if r["rank"] <= 5]
    share = shown.count("Rug") / len(shown)
    size = list(of.values()).count("Rug") / len(of)
    record = found["exposure_ratio", "category=Rug"]
    assert record.value == pytest.approx(share / size)
    assert found["difference exposure_ratio", "category=Rug"].value == pytest.approx(share / size - 1)
    assert record.split == "all"


def test_the_gap_is_that_of_the_ends(found):
    values = [found["calibration_difference", f"category={c}"].value for c in ("Drill", "Lamp", "Rug", "Sofa")]
    gap = found["gap calibration_difference", "category=*"]
    assert gap.value == pytest.approx(max(values) - min(values))
    assert 0 < gap.low < gap.value < gap.high


def test_the_group_that_is_stated_too_high_is_called_and_the_locales_are_not(found):
    assert found["adjusted p calibration_difference", "category=Sofa"].value < 0.001
    assert found["adjusted p selection_rate", "category=Sofa"].value < 0.05
    locales = [r.value for (metric, where), r in found.items() if metric.startswith("adjusted") and "locale" in where]
    assert len(locales) == 8
    assert min(locales) > 0.05
    assert all(r.low is None and r.high is None for (metric, _), r in found.items() if metric.startswith("adjusted"))


def test_small_groups_are_merged_or_left_out(shop):
    rare = ["x" if i < 2 else "y" if i < 5 else "z" for i in range(shop.queries.num_rows)]
    cut = replace(shop, queries=shop.queries.append_column("age", pa.array(rare)))
    slices = {r.slice for r in fair(columns=["age"], min_queries=3).records(cut)}
    assert slices == {"age=z", "age=small groups together"}  # three queries have no standard error, hence no gap
    assert fair(columns=["age"], min_queries=50).records(cut) == []


def test_no_positives_are_marked_and_no_numbers(shop):
    label = pa.array(np.zeros(shop.calibrated.num_rows))
    place = shop.calibrated.column_names.index("label")
    none = replace(shop, calibrated=shop.calibrated.set_column(place, "label", label))
    records = fair(threshold=None).records(none)
    assert {r.metric.split()[-1] for r in records} == {"calibration_difference", "auc", "exposure_ratio"}
    assert {r.value for r in records if r.metric.endswith("auc")} == {None}
    assert not any(r.value is not None and math.isnan(r.value) for r in records)


def test_the_page_names_what_differs(shop):
    report = fair()
    tables = report.tables(shop, report.records(shop))
    assert all(isinstance(t, Table) for t in tables)
    by_category = next(t for t in tables if t.title == "By category")
    assert by_category.rows[0].name == "Sofa"
    assert "stated less observed" in by_category.rows[0].tag
    html = build(shop, {"fairness": report})[1]
    assert "Are groups treated alike?" in html
    assert "differ when at most 5 %" in html


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": 1.2}, "threshold=1.2"),
        ({"k": 0}, "k=0"),
        ({"num_replicates": 5}, "num_replicates=5"),
        ({"min_queries": 1}, "min_queries=1"),
        ({"max_values": 1}, "max_values=1"),
        ({"max_values": 101}, "max_values=101 must lie between 2 and 100"),
        ({"level": 0}, "level=0"),
    ],
)
def test_nonsense_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        fair(**change)


def test_an_unknown_column_is_named(shop):
    with pytest.raises(ValueError, match=r"report\.fairness\.columns names 'gender'"):
        fair(columns=["gender"]).records(shop)
