"""Grades: positives, gains by hand, mean over judges, range."""

import numpy as np
import pyarrow as pa
import pytest

from recsys.tables import IMPRESSIONS, LABELS
from recsys.target import Relevance

GRADED = Relevance(name="relevance", max_label=3, positive_label=2, gain_map="exponential")


def test_gains_and_positives_by_hand():
    grades = np.array([0.0, 1, 2, 3, 1.5])
    assert GRADED.gain(grades).tolist() == [0, 1, 3, 7, 2**1.5 - 1]
    assert GRADED.positive(grades).tolist() == [False, False, True, True, False]
    np.testing.assert_allclose(GRADED.unit(grades), [0, 1 / 3, 2 / 3, 1, 0.5])
    linear = Relevance(name="relevance", max_label=3, positive_label=1, gain_map="linear")
    assert linear.gain(grades).tolist() == grades.tolist()


def test_gains_of_esci_as_the_paper_and_as_the_script_has_them():
    paper, script, own = (
        Relevance(name="relevance", max_label=3, positive_label=2, gain_map=gains)
        for gains in ("esci_paper", "esci_script", "0, 0.5,0.25, 4")
    )
    irrelevant_complement_substitute_exact = np.array([0.0, 1, 2, 3])
    assert paper.gain(irrelevant_complement_substitute_exact).tolist() == [0, 0.01, 0.1, 1]
    assert script.gain(irrelevant_complement_substitute_exact).tolist() == [0, 0.1, 0.01, 1]
    assert own.gain(np.array([0.0, 1, 2, 3, 2.5])).tolist() == [0, 0.5, 0.25, 4, 2.125]
    assert paper.describe().endswith("gain = 0, 0.01, 0.1, 1 for the grades 0–3 (esci_paper)")
    assert own.describe().endswith("gain = 0, 0.5, 0.25, 4 for the grades 0–3")
    assert "; 2 and above count as relevant;" in own.describe()
    exact = Relevance(name="relevance", max_label=3, positive_label=3, gain_map="linear")
    assert exact.describe() == "judged grade 0–3; only 3 counts as relevant; gain = the grade"


def test_judgments_of_a_pair_are_averaged_and_other_targets_left_alone():
    judgments = pa.table(
        {
            "query_id": ["q", "q", "q", "r"],
            "item_id": ["a", "a", "b", "a"],
            "target": ["relevance", "relevance", "relevance", "click"],
            "label": [3.0, 2.0, 0.0, 1.0],
            "rater": ["x", "y", "x", "x"],
        }
    )
    labels = LABELS.conform(GRADED.observe(judgments, IMPRESSIONS.schema.empty_table())).sort_by("item_id")
    assert labels["label"].to_pylist() == [2.5, 0.0]
    assert labels["weight"].to_pylist() == [1.0, 1.0]


def test_labels_outside_the_range():
    assert GRADED.outside(np.array([0, 3, -1, 3.1, np.nan])).tolist() == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gain_map": "cubic"}, "gain_map='cubic' is unknown; use exponential, linear, esci_paper"),
        ({"gain_map": "0, 1, 2"}, "gain_map='0, 1, 2' must give 4 gains"),
        ({"gain_map": "0, -1, 2, 3"}, "none of them negative"),
        ({"gain_map": "0, nan, 2, 3"}, "none of them negative"),
        ({"gain_map": "0, 0, 0, 0"}, "not all 0"),
        ({"gain_map": "esci_paper", "max_label": 5}, "must give 6 gains"),
        ({"positive_label": 4}, "positive_label=4"),
        ({"positive_label": 0}, "=0"),
    ],
)
def test_nonsense_is_refused(change, words):
    values = {"name": "relevance", "max_label": 3, "positive_label": 2, "gain_map": "linear"} | change
    with pytest.raises(ValueError, match=words):
        Relevance(**values)


def test_a_further_column_is_null_where_the_judgments_of_a_pair_differ_in_it():
    judged = pa.table(
        {
            "query_id": ["q"] * 5,
            "item_id": ["a", "a", "b", "b", "c"],
            "target": ["relevance"] * 5,
            "label": [1.0, 3.0, 0.0, 1.0, 2.0],
            "rater": ["ann", "bob", "ann", "ann", None],
        }
    )
    labels = GRADED.observe(judged, IMPRESSIONS.schema.empty_table()).sort_by("item_id")
    assert labels["label"].to_pylist() == [2.0, 0.5, 2.0]
    assert labels["rater"].to_pylist() == [None, "ann", None]
