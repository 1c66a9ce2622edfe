import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from recsys.report import Record, Reliability
from recsys.report._chart import ReliabilityDiagram
from recsys.report._sentences import sentences
from tests.report.synthetic import evaluation
from tests.report.test_balanced import balanced

CONF = Path(__file__).parents[2] / "conf" / "report"


def reliability(**changed) -> Reliability:
    return Reliability(**({"num_bins": 10, "num_replicates": 60} | changed))


@pytest.fixture(scope="module")
def shop():
    return evaluation(num_queries=120, judged=20, seed=1)


@pytest.fixture(scope="module")
def found(shop) -> dict[str, Record]:
    return {r.metric: r for r in reliability().records(shop)}


def columns(shop) -> dict[str, np.ndarray]:
    test = shop.calibrated.filter(pc.equal(shop.calibrated["split"], "test"))
    return {n: test[n].to_numpy() for n in ("label", "uncalibrated", "probability")}


def plain_ece(probability: np.ndarray, positive: np.ndarray, num_bins: int) -> float:
    total = 0.0
    for b in range(num_bins):
        inside = (probability >= b / num_bins) & ((probability < (b + 1) / num_bins) | (b == num_bins - 1))
        if inside.any():
            total += inside.sum() * abs(probability[inside].mean() - positive[inside].mean())
    return total / len(probability)


@pytest.mark.parametrize(("column", "suffix"), [("probability", ""), ("uncalibrated", " uncalibrated")])
def test_figures_agree_with_scikit_learn_and_hand_sums(shop, found, column, suffix):
    data = columns(shop)
    positive, probability = data["label"] >= 2, data[column]
    assert found[f"log_loss{suffix}"].value == pytest.approx(log_loss(positive, probability))
    assert found[f"brier{suffix}"].value == pytest.approx(brier_score_loss(positive, probability))
    assert found[f"ece{suffix}"].value == pytest.approx(plain_ece(probability, positive, 10))
    assert found[f"calibration_ratio{suffix}"].value == pytest.approx(probability.sum() / positive.sum())


def test_true_probabilities_look_calibrated_and_distorted_ones_do_not(found):
    assert found["calibration_ratio"].low < 1 < found["calibration_ratio"].high
    assert found["calibration_ratio uncalibrated"].low > 1
    assert found["log_loss change"].high < 0
    assert found["debiased_l2"].value < 0.05 < found["debiased_l2 uncalibrated"].low


def test_changes_are_paired(found):
    for name in ("log_loss", "brier", "ece"):
        after, before, change = found[name], found[f"{name} uncalibrated"], found[f"{name} change"]
        assert change.value == pytest.approx(after.value - before.value)
        assert change.high - change.low < (after.high - after.low) + (before.high - before.low)


def test_ece_is_one_number_with_one_interval(shop):
    setting = reliability(num_bins=15)
    made = setting.records(shop) + balanced(num_replicates=setting.num_replicates).records(shop)
    one, other = (r for r in made if (r.metric, r.slice, r.split) == ("ece", "overall", shop.split))
    assert {one.report, other.report} == {"balanced", "reliability"}
    assert (one.value, one.low, one.high) == (other.value, other.low, other.high)


def test_diagrams_count_every_label_once(shop):
    before, after = reliability().charts(shop)
    assert isinstance(before, ReliabilityDiagram)
    assert (before.column, after.column) == ("uncalibrated", "probability")
    for diagram in (before, after):
        assert diagram.bins.weight_B.sum() == len(columns(shop)["label"])
        assert np.all(
            (diagram.bins.low_B <= diagram.bins.observed_B) & (diagram.bins.observed_B <= diagram.bins.high_B)
        )


def test_rare_outcomes_get_narrow_bins():
    shop = evaluation(num_queries=60, judged=20, targets=("purchase",), signal=0.5)
    after = next(c for c in reliability().charts(shop) if c.column == "probability")
    assert len(after.bins.weight_B) >= 6
    assert after.bins.end_B[0] - after.bins.start_B[0] < 0.02


def test_sentence_is_believable_only_for_what_is(shop):
    report = reliability()
    (lead, rest), *_ = sentences(shop, [], report.charts(shop))
    assert lead == "Probabilities are believable:"
    said, seen, low, high = map(float, re.findall(r"[\d.]+", rest)[:4])
    assert low <= said <= high
    assert low <= seen <= high
    distorted = shop.calibrated.drop_columns("probability")
    distorted = distorted.append_column("probability", distorted["uncalibrated"])
    (lead, rest), *_ = sentences(shop, [], report.charts(replace(shop, calibrated=distorted)))
    assert lead == "Relevance probabilities are too high in places:"
    said, _, low, high = map(float, re.findall(r"[\d.]+", rest)[:4])
    assert said > high > low


def test_a_single_query_is_not_believed():
    shop = evaluation(num_queries=1, num_items=20, learned=False)
    (lead, _), *_ = sentences(shop, [], reliability().charts(shop))
    assert lead == "Relevance probabilities cannot be judged yet:"


def test_one_query_with_thousands_of_labels_is_not_believed():
    shop = evaluation(num_queries=1, num_items=2000, judged=1500, learned=False)
    diagrams = reliability().charts(shop)
    (lead, rest), *_ = sentences(shop, [], diagrams)
    assert (lead, rest) == (
        "Relevance probabilities cannot be judged yet:",
        "1 labelled query, and labels of one query may be alike.",
    )
    assert isinstance(diagrams[1], ReliabilityDiagram)
    bins = diagrams[1].bins
    assert bins.num_queries == 1
    assert bins.num_queries_B.sum() > 5  # the same query in every bin
    assert (bins.high_B - bins.low_B).min() > 0.6  # Wilson's of one query, not of its hundreds of rows


def test_losses_of_nearly_one_class_have_no_interval(shop):
    rare = pc.if_else(pc.equal(shop.calibrated["query_id"], "q0000"), shop.calibrated["label"], 0.0)
    place = shop.calibrated.column_names.index("label")
    records = reliability().records(replace(shop, calibrated=shop.calibrated.set_column(place, "label", rare)))
    assert all(r.low is None and r.definition.startswith("No interval: fewer than 5 queries") for r in records)
    assert {r.value is None for r in records if r.metric == "log_loss"} == {False}


@pytest.mark.parametrize(("field", "value"), [("num_bins", 1), ("num_bins", 101), ("num_replicates", 19)])
def test_wrong_values_are_named(field, value):
    with pytest.raises(ValueError, match=rf"report\.reliability\.{field}={value} "):
        reliability(**{field: value})


def test_yaml_gives_every_field_a_value():
    given = re.findall(r"^(\w+): \S+ +# \S", (CONF / "reliability.yaml").read_text(), re.MULTILINE)
    assert given == [f.name for f in fields(Reliability)]
