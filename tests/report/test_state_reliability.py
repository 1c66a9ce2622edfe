"""Calibration from counts beside calibration of the very rows."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from recsys.calibrator import Beta, HeldOut, Identity, Isotonic, Platt, Rows, Segment, select
from recsys.metric.condensed import Condensed
from recsys.metric.state_grid import Grid, order_key, survey
from recsys.report._state_reliability import choose, tell
from recsys.report.reliability import Reliability

NUM_GROUPS, NUM_FOLDS = 60, 5
CANDIDATES = {"identity": Identity(), "platt": Platt(), "beta": Beta(), "isotonic": Isotonic()}


def rows(num: int = 60_000) -> Rows:
    """Over-confident scores; a row's query is its group."""
    rng = np.random.default_rng(5)
    logit_N, group_N = rng.normal(-1, 1.5, num), rng.integers(0, NUM_GROUPS, num)
    return Rows(
        score_N=(3 * logit_N + 1).astype(np.float32),
        positive_N=rng.random(num) < expit(logit_N),
        weight_N=np.ones(num),
        fold_N=group_N,
        segment={},
    )


def condensed(of: Rows, num_cells: int = 1024) -> Condensed:
    key_N = order_key(of.score_N)
    found = Condensed.empty(Grid.fitted(survey(key_N, of.positive_N), num_cells, 1), NUM_GROUPS)
    found.count(key_N, of.positive_N, of.weight_N, of.fold_N)
    return found


def test_it_chooses_and_says_what_the_rows_would():
    table = rows()
    group_N = table.fold_N
    by_fold = replace(table, fold_N=group_N % NUM_FOLDS)
    exact = select(CANDIDATES, by_fold, group_N)
    found = choose(condensed(table), CANDIDATES, NUM_FOLDS)
    assert found.selection.chosen == exact.chosen == "platt"
    for ours, theirs in zip(found.selection.candidates, exact.candidates, strict=True):
        assert ours.log_loss == pytest.approx(theirs.log_loss, abs=2e-4)
    probability_N = found.held_out.predict(table.score_N, group_N % NUM_FOLDS)
    assert np.abs(probability_N - exact.probability_N).max() < 1e-3


def test_its_errors_are_those_of_the_rows():
    table = rows()
    calibrated = choose(condensed(table), CANDIDATES, NUM_FOLDS)
    report = Reliability(num_bins=15, num_replicates=50)
    records, diagrams = tell(calibrated, report, target="click", num_queries=900, num_pairs=len(table), seed=1)
    found = {r.metric: r for r in records}
    p_N = expit(table.score_N.astype(float))
    loss = -np.mean(np.log(np.where(table.positive_N, p_N, 1 - p_N)))
    assert found["log_loss uncalibrated"].value == pytest.approx(loss, abs=1e-4)
    bin_N = np.minimum((p_N * 15).astype(int), 14)
    gap_B = np.bincount(bin_N, p_N, 15) - np.bincount(bin_N, table.positive_N, 15)
    assert found["ece uncalibrated"].value == pytest.approx(np.abs(gap_B).sum() / len(table), abs=2e-3)
    after, before = (found[f"debiased_l2{when}"].value or 0.0 for when in ("", " uncalibrated"))
    assert after < 0.02 < 0.1 < before
    assert (found["log_loss"].num_queries, found["log_loss"].num_pairs) == (900, len(table))
    assert "cells, those of 99 % of the rows" in found["log_loss"].definition
    assert [d.counted for d in diagrams] == ["groups of queries"] * 2
    assert max(d.bins.num_queries_B.max() for d in diagrams) <= NUM_GROUPS


def test_a_probability_never_comes_from_its_own_fold():
    table = rows(4000)
    by_fold = replace(table, fold_N=table.fold_N % NUM_FOLDS)
    before = HeldOut.of(Platt(), by_fold, NUM_FOLDS)
    turned = np.where(by_fold.fold_N == 2, ~by_fold.positive_N, by_fold.positive_N)
    after = HeldOut.of(Platt(), replace(by_fold, positive_N=turned), NUM_FOLDS)
    same = [one == other for one, other in zip(before.fitted_F, after.fitted_F, strict=True)]
    assert same == [False, False, True, False, False]


def test_one_class_keeps_the_scores_and_says_why():
    table = rows(500)
    nothing = replace(table, positive_N=np.zeros(500, bool))
    found = choose(condensed(nothing), CANDIDATES, NUM_FOLDS)
    assert found.selection.chosen == "identity"
    assert "labelled rows are negative" in found.selection.reason


def test_segments_are_not_known_here():
    with pytest.raises(ValueError, match="Segment needs the columns"):
        HeldOut.of(Segment(by="kind"), rows(100), NUM_FOLDS)
