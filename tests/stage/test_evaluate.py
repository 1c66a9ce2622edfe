"""Scored rows in files -> a report, as the command makes it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit

from recsys.stage.evaluate import EvaluateJob, evaluate
from tests.compose import job

NUM_QUERIES, PER_QUERY = 120, 10


def table(**changed) -> pa.Table:
    """Rows of a model that is too sure of itself."""
    rng = np.random.default_rng(0)
    query_N = np.repeat(np.arange(NUM_QUERIES), PER_QUERY)
    logit_N = rng.normal(-1, 1.2, len(query_N))
    columns = {
        "query_id": [f"q{q}" for q in query_N],
        "item_id": [f"i{i}" for i in np.tile(np.arange(PER_QUERY), NUM_QUERIES)],
        "label": (rng.random(len(query_N)) < expit(logit_N)).astype(float),
        "score": (3 * logit_N + 2).astype(np.float32),
        "device": [("phone", "Tablet ü")[n % 2] for n in range(len(query_N))],
    }
    return pa.table(columns | changed)


def ready(root: Path, *overrides: str, rows: pa.Table | None = None) -> EvaluateJob:
    pq.write_table(table() if rows is None else rows, root / "rows.parquet")
    frequency = np.arange(NUM_QUERIES) + 1.0
    queries = pa.table({"query_id": [f"q{q}" for q in range(NUM_QUERIES)], "frequency": frequency})
    pq.write_table(queries, root / "queries.parquet")
    named = (f"store.root={root}/runs", "name=one", f"rows.path={root}/rows.parquet", "resources.actors=1")
    few = ("num_replicates=40", "calibrator=[identity,platt]", "precision.groups=40")
    return job("evaluate", *named, f"cuts.queries={root}/queries.parquet", "cuts.rows=[device]", *few, *overrides)


def records(root: Path) -> dict:
    made = json.loads((root / "runs/one/report/metrics.json").read_text())
    named = {(r["report"], r["metric"], r["slice"]): r for r in made}
    assert len(named) == len(made)
    return named


def test_rows_become_a_report(tmp_path):
    manifest = evaluate(ready(tmp_path))
    found, rows = records(tmp_path), table()
    assert manifest["rows"] == {"rows": NUM_QUERIES * PER_QUERY, "records": len(found)}
    folder = tmp_path / "runs/one/report"
    assert sorted(p.name for p in folder.iterdir()) == [
        *("_MANIFEST.json", "_RUN.json", "calibrator.json", "index.html", "metrics.json")
    ]
    calibrator = json.loads((folder / "calibrator.json").read_text())
    assert calibrator["chosen"] == "platt"
    assert calibrator["calibrator"]["slope"] == pytest.approx(1 / 3, rel=0.2)
    before, after = (found["reliability", f"log_loss{s}", "overall"]["value"] for s in (" uncalibrated", ""))
    assert after < before - 0.2
    assert found["balanced", "log_loss", "overall"]["value"] == pytest.approx(after, abs=1e-3)  # rows, not cells
    positive = np.asarray(rows["label"]) > 0
    phone = np.asarray(rows["device"]) == "phone"
    assert found["balanced", "positive_rate", "device=phone"]["value"] == pytest.approx(positive[phone].mean())
    assert {"device=Tablet ü", "frequency=tail"} <= {key[2] for key in found}
    page = (folder / "index.html").read_text()
    assert "given scores" in page
    assert "cannot be known here" in page
    assert evaluate(ready(tmp_path)) == manifest  # done before


@pytest.mark.long
def test_a_given_probability_is_judged_as_it_is(tmp_path):
    rows = table(stated=np.full(NUM_QUERIES * PER_QUERY, 0.25))
    evaluate(ready(tmp_path, "rows.probability=stated", rows=rows))
    found = records(tmp_path)
    assert found["balanced", "mean_probability", "overall"]["value"] == 0.25
    assert {key[0] for key in found} == {"balanced"}
    assert not (tmp_path / "runs/one/report/calibrator.json").exists()


@pytest.mark.long
def test_a_label_of_one_class_has_no_figure_that_needs_both(tmp_path):
    evaluate(ready(tmp_path, rows=table(label=np.zeros(NUM_QUERIES * PER_QUERY))))
    found = records(tmp_path)
    assert found["balanced", "auc", "overall"]["value"] is None
    assert found["balanced", "ndcg@10", "overall"]["num_queries"] == 0
    assert found["balanced", "positive_rate", "overall"]["value"] == 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["target=[click,purchase]"], r"target=\[click,purchase\]: rows have one label"),
        (["calibrator=[platt,segment]", "calibrator.segment.by=kind"], "calibrator=segment needs columns"),
        (["cuts.crosses=[[device,device]]"], "a cross is of two different cuts"),
        (["k=0"], "k=0 must be at least 1"),
        (["min_queries=1"], "min_queries=1 must be at least 2"),
        (["precision.groups=1"], "precision.groups=1 leaves nothing to resample"),
        (["precision.coarse=9", "precision.cells=8"], "precision.coarse=9 and cells=8"),
        (["precision.condensed=0"], "precision.condensed=0 must lie between"),
        (["precision.bins=1"], "precision.bins=1 must lie between"),
        (["num_folds=1"], "num_folds=1 must lie between 2 and"),
        (["num_replicates=3"], "num_replicates=3 is too few"),
        (["min_size=0"], "min_size=0 must be at least 1"),
    ],
)
def test_a_wrong_setting_is_refused_at_once(tmp_path, overrides, message):
    with pytest.raises(ValueError, match=message):
        ready(tmp_path, *overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["rows.path=/no/such/rows.parquet"], "no such file"),
        (["rows.score=logit"], "has no column 'logit'; it has"),
        (["cuts.rows=[colour]"], "has no column 'colour'; it has"),
        (["cuts.items={root}/queries.parquet"], "has no column 'item_id'"),
    ],
)
def test_what_is_not_there_is_named_before_ray_starts(tmp_path, overrides, message):
    given = [o.format(root=tmp_path) for o in overrides]
    with pytest.raises(ValueError, match=message):
        evaluate(ready(tmp_path, *given))


@pytest.mark.long
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("score", np.float32(np.inf), "score inf at row 7 is not finite"),
        ("label", 2.0, "label 2 is not possible for click"),
        ("label", None, "column 'label' is empty in 1 of"),
    ],
)
def test_a_row_that_cannot_be_judged_is_named(tmp_path, column, value, message):
    values = table()[column].to_pylist()
    values[7] = value
    kind = pa.float32() if column == "score" else pa.float64()
    with pytest.raises(ValueError, match=rf"rows\.parquet.*{message}"):
        evaluate(ready(tmp_path, rows=table(**{column: pa.array(values, kind)})))


def test_no_rows_are_named_before_ray_starts(tmp_path):
    with pytest.raises(ValueError, match=r"no labelled row in .*rows\.parquet"):
        evaluate(ready(tmp_path, rows=table().slice(0, 0)))
