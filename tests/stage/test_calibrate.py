"""calibrate over given scores: segments, inclusion probabilities, intervals, the order told, calibrated/ on request."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit

from recsys.calibrator import Multicalibration, Rows, Segments, from_json
from recsys.stage._weights import evidence, observations
from recsys.stage.calibrate import calibrate
from recsys.stage.prepare import prepare
from recsys.stage.report import report
from recsys.stage.score import score
from tests.compose import QUICK_REPORT, job

COUNTRIES = ("at", "de", "fr", "it")


def table(num: int = 3000, *, shift: float = -2.0) -> pa.Table:
    """Scores that are right but in 'fr', with a column of the labels that says where."""
    rng = np.random.default_rng(1)
    country_N = rng.integers(0, 4, num)
    logit_N = rng.normal(0, 1.5, num)
    label_N = rng.random(num) < expit(logit_N + shift * (country_N == 2))
    return pa.table(
        {
            "query": [f"q{n % 150}" for n in range(num)],
            "item": [f"i{n}" for n in range(num)],
            "label": label_N.astype(int),
            "score": logit_N,
            "country": [COUNTRIES[c] for c in country_N],
        }
    )


def scored(tmp_path, rows: pa.Table, *overrides: str):
    """The overrides of a run on given scores, prepared."""
    pq.write_table(rows, tmp_path / "scores.parquet")
    given = [f"store.root={tmp_path}/runs", "name=x", "source=scored", f"source.path={tmp_path}/scores.parquet"]
    given += ["source.target=click", "target=[click]"]
    prepare(job("prepare", *given, "split=by_query"))
    score(job("score", *given[:2]))
    return [*given[:2], "target=[click]", *overrides]


def calibration(tmp_path):
    return json.loads((tmp_path / "runs/x/calibration/click.json").read_text())


def test_a_segment_with_its_own_shift_is_found_and_repaired(tmp_path):
    given = scored(tmp_path, table(), "calibrator=[platt,segment]", "calibrator.segment.by=country")
    calibrate(job("calibrate", *given))
    told = calibration(tmp_path)
    assert told["chosen"] == "segment"
    assert told["order"] == "order kept within a segment, changed between segments"
    rows = pq.read_table(tmp_path / "runs/x/calibration/calibrated.parquet").to_pandas()
    mine = rows[rows.country == "fr"]
    assert mine.probability.mean() == pytest.approx(mine.label.mean(), abs=0.02)
    assert mine.uncalibrated.mean() > mine.label.mean() + 0.2
    fitted = from_json(told["calibrator"])
    shop = {"country": Segments.of(np.array(["fr", "de", "unheard of"]))}
    low, high, other = fitted.predict(np.zeros(3, np.float32), shop)
    assert low < other < high


def test_the_order_is_told_and_the_report_reads_the_rest(tmp_path):
    given = scored(tmp_path, table(), "calibrator=[isotonic]")
    manifest = calibrate(job("calibrate", *given))
    assert manifest["calibration"]["click"]["order"].startswith("ties made: 3000 distinct scores -> ")
    report(job("report", *given[:2], "target=[click]", *QUICK_REPORT))
    assert "robabilities" in (tmp_path / "runs/x/report/index.html").read_text()


def test_venn_abers_gives_the_interval_too(tmp_path):
    given = scored(tmp_path, table(), "calibrator=[venn_abers]", "materialise=true")
    calibrate(job("calibrate", *given))
    for name, prefix in (
        ("calibration/calibrated.parquet", "probability"),
        ("calibrated/labelled", "probability_click"),
    ):
        rows = pq.read_table(tmp_path / "runs/x" / name)
        low_N, point_N, high_N = (rows[f"{prefix}{suffix}"].to_numpy() for suffix in ("_low", "", "_high"))
        assert (low_N < point_N).all()
        assert (point_N < high_N).all()


def test_calibrated_holds_every_kept_score_by_the_map_fitted_on_all(tmp_path):
    given = scored(tmp_path, table(), "calibrator=[segment]", "calibrator.segment.by=item_category")
    with pytest.raises(ValueError, match="no table has a column"):
        calibrate(job("calibrate", *given[:-1], "calibrator.segment.by=nothing"))
    given[-1] = "calibrator.segment.by=kind"
    assert not (tmp_path / "runs/x/calibrated").exists()
    calibrate(job("calibrate", *given))
    calibrate(job("calibrate", *given, "materialise=true"))
    rows = pq.read_table(tmp_path / "runs/x/calibrated/labelled")
    assert rows.num_rows == 3000
    fitted = from_json(calibration(tmp_path)["calibrator"])
    expected_N = fitted.predict(rows["score_match"].to_numpy(), {"kind": Segments.of(np.array(["search"] * 3000))})
    assert rows["probability_click"].to_numpy().tobytes() == expected_N.tobytes()


def test_overlapping_segments_are_materialised_too(tmp_path):
    given = scored(
        tmp_path, table(shift=-3.0), "calibrator=[multicalibration]", "calibrator.multicalibration.by=[kind]"
    )
    calibrate(job("calibrate", *given, "materialise=true"))
    told = calibration(tmp_path)
    assert told["calibrator"]["value"] == [["search"]]
    assert told["without_segment"] == {}
    rows = pq.read_table(tmp_path / "runs/x/calibrated/labelled")
    fitted = from_json(told["calibrator"])
    expected_N = fitted.predict(rows["score_match"].to_numpy(), {"kind": Segments.of(np.array(["search"] * 3000))})
    assert rows["probability_click"].to_numpy().tobytes() == expected_N.tobytes()


def test_rows_kept_with_a_known_chance_count_for_those_that_were_not(tmp_path):
    whole = table(20_000, shift=0.0)
    rng = np.random.default_rng(5)
    label_N = whole["label"].to_numpy()
    chance_N = np.where(label_N == 1, 1.0, 0.1)
    kept_N = rng.random(20_000) < chance_N
    sample = whole.append_column("inclusion_probability", pa.array(chance_N)).filter(pa.array(kept_N))
    calibrate(job("calibrate", *scored(tmp_path, sample, "calibrator=[platt]")))
    rows = pq.read_table(tmp_path / "runs/x/calibration/calibrated.parquet")
    assert sorted(set(rows["weight"].to_pylist())) == [1.0, 10.0]
    told = calibration(tmp_path)["calibrator"]
    assert (told["slope"], told["intercept"]) == pytest.approx((1.0, 0.0), abs=0.1)
    assert label_N[kept_N].mean() > 0.85


@pytest.mark.parametrize(("value", "shown"), [(0.0, "0.0"), (1.5, "1.5"), (None, "None")])
def test_a_chance_outside_0_and_1_is_refused_with_its_value(tmp_path, value, shown):
    chance = pa.array([value] + [0.5] * 299, pa.float64())
    given = scored(tmp_path, table(300).append_column("inclusion_probability", chance), "calibrator=[platt]")
    with pytest.raises(ValueError, match=rf"inclusion_probability {shown} of query 'q0' and item 'i0'"):
        calibrate(job("calibrate", *given))


def test_grades_get_their_probabilities_on_queries_held_out(tmp_path):
    rng = np.random.default_rng(3)
    score_N = rng.normal(0, 2, 4000)
    at_least = expit(0.7 * score_N[:, None] - np.array([-1.0, 0.5, 2.0]))
    graded = pa.table(
        {
            "query": [f"q{n % 100}" for n in range(4000)],
            "item": [f"i{n}" for n in range(4000)],
            "label": (rng.random(4000)[:, None] < at_least).sum(axis=1),
            "score": score_N,
        }
    )
    pq.write_table(graded, tmp_path / "scores.parquet")
    given = [f"store.root={tmp_path}/runs", "name=x", "source=scored", f"source.path={tmp_path}/scores.parquet"]
    prepare(job("prepare", *given, "target=[relevance]"))
    score(job("score", *given[:2]))
    calibrate(job("calibrate", *given[:2], "target=[relevance]", "calibrator=[platt]"))
    rows = pq.read_table(tmp_path / "runs/x/calibration/calibrated.parquet")
    probability_NG = np.stack([rows[f"grade_{g}"].to_numpy() for g in range(4)], axis=1)
    np.testing.assert_allclose(probability_NG.sum(axis=1), 1, rtol=1e-9)
    truth_N = expit(0.7 * rows["score"].to_numpy() - 0.5)
    assert np.abs(probability_NG[:, 2:].sum(axis=1) - truth_N).mean() < 0.02
    told = json.loads((tmp_path / "runs/x/calibration/relevance.json").read_text())["grades"]
    assert (told["slope"], *told["cut"]) == pytest.approx((0.7, -1.0, 0.5, 2.0), abs=0.12)


def test_rows_that_stand_for_others_are_no_more_evidence_than_they_are():
    rng = np.random.default_rng(1)
    score_N, names = rng.normal(size=3000), np.array(list("abcdefgh"))[rng.integers(0, 8, 3000)]
    positive_N = rng.random(3000) < expit(score_N)
    ten = pa.table({"weight": np.full(3000, 1.0), "inclusion_probability": np.full(3000, 0.1)})
    weight_N = observations(ten)
    assert set(weight_N) == {10.0}
    np.testing.assert_allclose(evidence(ten, weight_N, positive_N), 1.0)
    counts = ten.drop_columns("inclusion_probability")
    assert evidence(counts, weight_N, positive_N) is weight_N
    setting = Multicalibration(by=["shop"], num_bins=5, max_steps=30)
    steps = []
    for given_N in (evidence(ten, weight_N, positive_N), weight_N):
        rows = Rows(
            score_N=score_N.astype(np.float32),
            positive_N=positive_N,
            weight_N=given_N,
            fold_N=np.zeros(3000, int),
            segment={"shop": Segments.of(names)},
        )
        steps.append(len(setting.fit(rows).shift_S))
    assert steps[0] == 0 < steps[1]
