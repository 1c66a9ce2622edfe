"""The choice among calibrators, judged by truth that the choice does not see."""

import re

import numpy as np
import pytest
from scipy.special import expit
from sklearn.model_selection import GroupKFold

from recsys.calibrator import Calibrator, Identity, Isotonic, Logistic, Platt, Temperature, folds, select
from tests.calibrator import scenes

ALL: dict[str, Calibrator] = {
    "identity": Identity(),
    "temperature": Temperature(),
    "platt": Platt(),
    "isotonic": Isotonic(),
}


def choose(scene, candidates=None, fold_Q=None):
    if fold_Q is None:
        fold_Q = folds([f"query {q}" for q in range(scene.query_N.max() + 1)], 5, 3)
    return select(ALL if candidates is None else candidates, scene.rows(fold_Q), scene.query_N)


def error(probability_N, scene):
    """True calibration error: mean |P(positive | score) - what is said|."""
    return float(np.abs(scene.truth_N - probability_N).mean())


@pytest.mark.parametrize(("scale", "shift"), [(0.3, 0.0), (3.0, 0.0), (1.0, 2.0), (1.0, -2.0), (3.0, -2.0), (0.3, 2.0)])
def test_at_least_half_of_the_true_error_is_removed(scale, shift):
    halved = unseen_halved = 0
    for number in range(20):
        scene, unseen = (scenes.simulate(1000 * k + number, scale=scale, shift=shift) for k in (1, 2))
        selection = choose(scene)
        halved += error(selection.probability_N, scene) <= error(expit(scene.score_N), scene) / 2
        unseen_halved += (
            error(selection.fitted.predict(unseen.score_N), unseen) <= error(expit(unseen.score_N), unseen) / 2
        )
    assert halved >= 18
    assert unseen_halved >= 18


def test_a_scorer_that_is_right_is_left_alone():
    kept = sum(choose(scenes.simulate(number)).chosen == "identity" for number in range(20))
    assert kept >= 14


def test_each_distortion_finds_its_cure():
    assert choose(scenes.simulate(1, scale=3.0, num_queries=300)).chosen == "temperature"
    assert choose(scenes.simulate(1, shift=2.0, num_queries=300)).chosen == "platt"
    rng = np.random.default_rng(1)
    score_N = rng.uniform(-3, 3, 20_000).astype(np.float32)
    truth_N = np.where(score_N < 0, 0.2, 0.7)
    scene = scenes.Scene(
        score_N=score_N,
        positive_N=rng.random(20_000) < truth_N,
        weight_N=np.ones(20_000),
        query_N=np.repeat(np.arange(200), 100),
        truth_N=truth_N,
    )
    assert choose(scene).chosen == "isotonic"


def test_losses_are_those_of_held_out_queries():
    scene = scenes.simulate(5, scale=2.0)
    fold_Q = np.empty(80, np.int64)
    groups = np.arange(80)
    for fold, (_, held) in enumerate(GroupKFold(4).split(groups, groups=groups)):
        fold_Q[held] = fold
    selection = choose(scene, {"platt": Platt()}, fold_Q)
    expected = np.empty(len(scene.score_N))
    for fold in range(4):
        held = fold_Q[scene.query_N] == fold
        fitted = Platt().fit(scenes.rows(scene.score_N[~held], scene.positive_N[~held], scene.weight_N[~held]))
        expected[held] = fitted.predict(scene.score_N[held])
    np.testing.assert_allclose(selection.probability_N, expected, rtol=1e-12)
    (candidate,) = selection.candidates
    assert candidate.low is not None
    assert candidate.high is not None
    assert candidate.log_loss is not None
    assert candidate.log_loss == pytest.approx(scenes.log_loss(expected, scene.positive_N, scene.weight_N))
    assert candidate.low < candidate.log_loss < candidate.high
    assert selection.fitted == Platt().fit(scenes.rows(scene.score_N, scene.positive_N, scene.weight_N))


def test_the_order_of_the_rows_changes_nothing():
    scene = scenes.simulate(2, scale=3.0)
    order = np.random.default_rng(0).permutation(len(scene.score_N))
    shuffled = scenes.Scene(**{name: value[order] for name, value in vars(scene).items()})
    one, other = choose(scene), choose(shuffled)
    assert (one.chosen, one.candidates, one.fitted) == (other.chosen, other.candidates, other.fitted)
    assert one.probability_N[order].tobytes() == other.probability_N.tobytes()


def part(scene, rows):
    return scenes.Scene(**{name: value[rows] for name, value in vars(scene).items()})


@pytest.mark.parametrize(
    ("rows", "fold_Q", "reason"),
    [
        (lambda s: s.positive_N, None, "all .* positive"),
        (lambda s: ~s.positive_N, None, "all .* negative"),
        (lambda s: s.query_N == 0, None, "one fold"),
        (lambda s: s.query_N < 2, np.zeros(80, np.int64), "one fold"),
        (lambda s: s.query_N < 0, np.zeros(80, np.int64), "no labelled row"),
    ],
)
def test_where_nothing_can_be_compared_the_score_is_believed(rows, fold_Q, reason):
    scene = scenes.simulate(4)
    scene = part(scene, rows(scene))
    fold_Q = np.arange(80) % 5 if fold_Q is None else fold_Q
    selection = choose(scene, {"temperature": Temperature(), "isotonic": Isotonic()}, fold_Q)
    assert selection.chosen == "identity"
    assert selection.fitted == Logistic(slope=1.0, intercept=0.0)
    np.testing.assert_allclose(selection.probability_N, expit(scene.score_N.astype(float)))
    assert [(c.name, c.log_loss) for c in selection.candidates] == [("temperature", None), ("isotonic", None)]
    assert len(selection.reason) > 0
    assert re.search(reason, selection.reason)


def test_two_queries_and_equal_scores_work():
    scene = scenes.simulate(4)
    two = part(scene, scene.query_N < 2)
    assert choose(two, fold_Q=np.array([0, 1])).chosen in ALL
    level = scenes.Scene(**(vars(scene) | {"score_N": np.full(len(scene.score_N), 2.0, np.float32)}))
    selection = choose(level)
    assert selection.chosen == "platt"
    assert selection.probability_N.mean() == pytest.approx(scene.positive_N.mean(), abs=0.02)


def test_rows_without_weight_do_not_count():
    scene = scenes.simulate(6, scale=3.0)
    off_N = scene.query_N >= 60
    weighted = scenes.Scene(**(vars(scene) | {"weight_N": np.where(off_N, 0.0, 1.0)}))
    assert choose(weighted).candidates == choose(part(scene, ~off_N)).candidates


def test_folds_depend_on_the_query_alone():
    ids = [f"query {q}" for q in range(1000)]
    fold_Q = folds(ids, 5, 3)
    assert (folds(ids[::-1][:10], 5, 3) == fold_Q[::-1][:10]).all()
    assert (folds(ids, 5, 4) != fold_Q).any()
    assert np.bincount(fold_Q, minlength=5) == pytest.approx(200, abs=50)
    with pytest.raises(ValueError, match="num_folds=1"):
        folds(ids, 1, 3)


def test_wrong_rows_are_an_error():
    scene = scenes.simulate(4)
    with pytest.raises(ValueError, match="no candidates"):
        choose(scene, {})
    wrong = scenes.Scene(**(vars(scene) | {"score_N": np.where(scene.query_N == 3, np.nan, scene.score_N)}))
    with pytest.raises(ValueError, match="score nan"):
        choose(wrong, {"identity": Identity()})
    wrong = scenes.rows(scene.score_N, scene.positive_N, fold_N=np.arange(len(scene.score_N)) % 5)
    with pytest.raises(ValueError, match="fold by query"):
        select(ALL, wrong, scene.query_N)
