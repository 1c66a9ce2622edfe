"""`benchmarks.real_reports`: scores that did not see their own labels, and peers on the folds of the run itself."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from benchmarks.bench_calibration import of_run
from benchmarks.real_reports import SETS, online_shoppers, overrides, read, womens_reviews
from recsys import seed as seeds
from recsys.calibrator import folds
from recsys.stage.calibrate import calibrate
from recsys.stage.prepare import prepare
from recsys.stage.score import score
from tests.compose import job
from tests.data import data_folder


def visits(num: int = 200) -> pa.Table:
    """Sessions at random, each of them there twice; new visitors in November buy more often."""
    rng = np.random.default_rng(0)
    columns = {
        "PageValues": rng.random(num),
        "Month": rng.choice(["Feb", "Nov"], num),
        "VisitorType": rng.choice(["New_Visitor", "Returning_Visitor"], num),
        "Weekend": rng.random(num) < 0.3,
    }
    columns |= {n: rng.integers(1, 5, num) for n in ("OperatingSystems", "Browser", "Region", "TrafficType")}
    columns |= {n: rng.integers(0, 9, num) for n in ("Administrative", "Informational", "ProductRelated")}
    columns |= {f"{n}_Duration": rng.integers(-1, 90, num) for n in ("Administrative", "Informational")}
    columns |= {"ProductRelated_Duration": [None, *rng.random(num - 1)]}
    columns |= {n: rng.random(num) for n in ("BounceRates", "ExitRates", "SpecialDay")}
    often = (columns["Month"] == "Nov") & (columns["VisitorType"] == "New_Visitor")
    columns["Revenue"] = rng.random(num) < np.where(often, 0.7, 0.2)
    return pa.concat_tables([pa.table(columns)] * 2)


def test_a_session_is_scored_without_what_it_or_its_like_bought():
    raw = visits()
    made, logit_N = online_shoppers(raw), online_shoppers(raw)["logit"].to_numpy()
    assert made["bought"].to_pylist() == [float(b) for b in raw["Revenue"].to_pylist()]
    leaking = raw.set_column(0, "PageValues", raw["Revenue"].cast(pa.float64()))
    assert np.array_equal(online_shoppers(leaking)["logit"].to_numpy(), logit_N)
    flipped_N = raw["Revenue"].to_numpy().copy()
    flipped_N[[7, 207]] = ~flipped_N[[7, 207]]  # the seventh session, which is there twice
    other_N = online_shoppers(raw.set_column(raw.num_columns - 1, "Revenue", pa.array(flipped_N)))["logit"].to_numpy()
    assert logit_N[7] == logit_N[207] == other_N[7] == other_N[207]
    assert (logit_N != other_N).mean() > 0.5


def reviews(num: int = 400) -> pa.Table:
    rng = np.random.default_rng(1)
    likes = rng.random(num) < 0.7
    words = np.where(likes, "love the fit", "returned it, too small")
    return pa.table(
        {
            "": np.arange(num),
            "Clothing ID": rng.integers(0, 40, num),
            "Age": rng.permutation(np.r_[[18, 29, 30, 59, 60, 99], rng.integers(18, 99, num - 6)]),
            "Title": ["" if n % 2 else "Dress" for n in range(num)],
            "Review Text": np.where(rng.random(num) < 0.1, "", words),
            "Recommended IND": likes.astype(int),
            "Class Name": ["" if n == 0 else "Dresses" for n in range(num)],
            "Department Name": ["" if n == 0 else "Dresses" for n in range(num)],
        }
    )


def test_a_review_is_scored_without_the_reviews_of_its_garment():
    raw = reviews()
    made, garment_N = womens_reviews(raw), raw["Clothing ID"].to_numpy()
    texts = set(made["text"].to_pylist())
    assert texts == {f"{a}{b}" for a in ("Dress: ", "") for b in ("love the fit", "returned it, too small", "")}
    groups = zip(raw["Age"].to_pylist(), made["age"].to_pylist(), strict=True)
    assert all((int(group[:2]) <= age) and (group[3:] == "and more" or age <= int(group[-2:])) for age, group in groups)
    assert made["department"][0].as_py() == made["class"][0].as_py() == "unknown"
    mine_N, before_N = garment_N == garment_N[0], made["logit"].to_numpy()
    flipped_N = np.where(mine_N, 1 - raw["Recommended IND"].to_numpy(), raw["Recommended IND"].to_numpy())
    after_N = womens_reviews(raw.set_column(5, "Recommended IND", pa.array(flipped_N)))["logit"].to_numpy()
    assert np.array_equal(before_N[mine_N], after_N[mine_N])
    assert (before_N != after_N).mean() > 0.5


def test_scores_of_real_sessions_do_not_leak():
    raw = read(data_folder("uci_online_shoppers").parent, "uci_online_shoppers")
    made = online_shoppers(raw)
    assert 0.7 < roc_auc_score(made["bought"].to_numpy(), made["logit"].to_numpy()) < 0.8  # PageValues: 0.94


def test_scores_of_real_reviews_tell_something():
    made = womens_reviews(read(data_folder("womens_reviews").parent, "womens_reviews").slice(0, 2000))
    assert 0.85 < roc_auc_score(made["recommended"].to_numpy(), made["logit"].to_numpy()) < 0.96


@pytest.mark.parametrize("name", SETS)
def test_the_pipeline_of_a_set_composes(name, tmp_path):
    made = job("pipeline", *overrides(name, tmp_path, tmp_path, "/models/MiniLM"))
    assert made.name == name
    assert list(made.report) == ["balanced", "reliability", "fairness"]


def test_peers_are_compared_on_the_folds_and_the_scale_of_the_run(tmp_path):
    rng = np.random.default_rng(2)
    logit_N, query_N = rng.normal(0, 2, 600), rng.integers(0, 60, 600)
    grade_N = (rng.random(600) < 1 / (1 + np.exp(1 - logit_N))) * rng.integers(2, 4, 600)  # 0, 2 or 3
    columns = {"query": query_N, "item": np.arange(600), "label": grade_N, "score": logit_N}
    pq.write_table(
        pa.table({n: c.astype(str) if n in ("query", "item") else c for n, c in columns.items()}),
        tmp_path / "s.parquet",
    )
    base = (f"store.root={tmp_path}/runs", "name=graded", "seed=5")
    scale = ("target=[relevance]", "target.relevance.positive_label=3")
    prepare(job("prepare", *base, *scale, "source=scored", f"source.path={tmp_path}/s.parquet"))
    score(job("score", *base))
    calibrate(job("calibrate", *base, *scale, "num_folds=4", "calibrator=[platt]"))
    told = {r["name"]: r for r in of_run(tmp_path / "runs/graded")}
    assert told["graded, relevance/positives"]["value"] == (grade_N == 3).sum()
    manifest = json.loads((tmp_path / "runs/graded/calibration/relevance.json").read_text())
    ours = told["graded, relevance/log_loss of platt"]["value"]
    assert math.isclose(ours, manifest["candidates"][0]["log_loss"], rel_tol=1e-9)
    fold_N = folds([str(q) for q in query_N], 4, seeds.seed(5, "calibration", "folds"))
    positive_N, theirs_N = grade_N == 3, np.empty(600)
    score_N1 = logit_N.astype(np.float32)[:, None].astype(float)
    for fold in range(4):
        here = fold_N == fold
        target_N = np.where(
            positive_N,
            (positive_N[~here].sum() + 1) / (positive_N[~here].sum() + 2),
            1 / ((~positive_N[~here]).sum() + 2),
        )[~here]  # of Platt
        model = LogisticRegression(C=np.inf, tol=1e-10)
        model.fit(
            np.r_[score_N1[~here], score_N1[~here]],
            np.r_[np.ones((~here).sum()), np.zeros((~here).sum())],
            np.r_[target_N, 1 - target_N],
        )
        theirs_N[here] = model.predict_proba(score_N1[here])[:, 1]
    difference = told["graded, relevance/platt less scikit-learn sigmoid"]["value"]
    assert math.isclose(ours - difference, log_loss(positive_N, theirs_N), rel_tol=1e-6)
