"""What is no score, probability, weight or label is an error that names it, and one class alone is no silent number."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from recsys.report import Balanced, Fairness, Reliability, build
from recsys.report._rows import rows
from tests.report.synthetic import evaluation

REPORTS = {
    "balanced": Balanced(k=5, num_replicates=20, min_queries=2, min_size=1, slices=[], crosses=[], max_values=4),
    "reliability": Reliability(num_bins=5, num_replicates=20),
    "fairness": Fairness(
        columns=["category"], threshold=None, k=5, num_replicates=20, min_queries=2, max_values=4, level=0.05
    ),
}


def changed(column: str, value, *, rows_from: int = 0, rows_to: int | None = None):
    shop = evaluation(num_queries=10, num_items=40, judged=6, learned=False)
    values = shop.calibrated[column].to_pylist()
    values[rows_from:rows_to] = [value] * len(values[rows_from:rows_to])
    place = shop.calibrated.column_names.index(column)
    array = pa.array(values, shop.calibrated[column].type)
    return replace(shop, calibrated=shop.calibrated.set_column(place, column, array))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("score", float("nan")),
        ("score", float("inf")),
        ("score", -float("inf")),
        ("probability", 1.5),
        ("probability", float("nan")),
        ("weight", -1.0),
        ("weight", float("inf")),
        ("label", 4.0),
        ("label", float("nan")),
    ],
)
def test_what_is_none_is_named(column, value):
    with pytest.raises(
        ValueError, match=rf"{column} {value} of target 'relevance' \(query 'q0000', item .* 1 of 60 rows"
    ):
        rows(changed(column, value, rows_to=1), "relevance", "all")


@pytest.mark.parametrize("label", [0.0, 3.0])
def test_one_class_alone_has_no_figure_that_needs_both(label):
    found = json.loads(build(changed("label", label), REPORTS)[0])
    values = {}
    for record in found:
        values.setdefault(record["metric"], set()).add(record["value"])
        assert record["value"] is None or np.isfinite(record["value"])
    both = {"auc", "gauc", "ks", "balanced_accuracy", "g_mean", "mcc", "normalised_entropy", "gauc_by_positives"}
    for metric in both & set(values):
        assert values[metric] == {None}, metric
    assert {"auc", "gauc", "ks", "normalised_entropy"} <= set(values)
    if label == 0:
        for metric in ("ndcg@5", "mrr", "map", "recall@5", "hit_rate@5", "average_precision", "calibration_ratio"):
            assert values[metric] == {None}, metric
        assert values["precision@5"] == {0.0}
        assert values["threshold"] == {None}
        assert "f1" not in values
