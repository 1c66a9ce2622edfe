"""What every calibrator promises."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from recsys.calibrator import OPTIONS, Curve, Identity, Logistic, Rows, from_json
from tests.calibrator import scenes
from tests.compose import job

ROWS = st.lists(
    st.tuples(
        st.floats(-50, 50, width=32) | st.sampled_from([0.0, 1.0, 2.0]),
        st.booleans(),
        st.sampled_from([0.5, 1.0, 7.0, 1000.0]),
    ),
    min_size=1,
    max_size=60,
)
EVERY = job("calibrate", "name=x", f"calibrator=[{','.join(OPTIONS)}]").calibrator
every = pytest.mark.parametrize("calibrator", EVERY.values(), ids=EVERY)


def columns(rows):
    score, positive, weight = zip(*rows, strict=True)
    return np.array(score, np.float32), np.array(positive), np.array(weight)


@every
@settings(max_examples=60, deadline=None)
@given(rows=ROWS, score_N=hn.arrays(np.float32, 50, elements=st.floats(-100, 100, width=32)))
def test_any_rows_give_a_map_that_keeps_its_word_on_order_and_survives_json(calibrator, rows, score_N):
    fitted = calibrator.fit(scenes.rows(*columns(rows)))
    probability_N = fitted.predict(np.sort(score_N))
    assert probability_N.dtype == np.float64
    assert ((probability_N >= 0) & (probability_N <= 1)).all()
    if fitted.order == "kept":
        assert (np.diff(probability_N) >= -1e-15).all()
    low_N, high_N = fitted.interval(np.sort(score_N))
    assert ((low_N <= probability_N) & (probability_N <= high_N)).all()
    again = from_json(json.loads(json.dumps(fitted.to_json())))
    assert again.predict(np.sort(score_N)).tobytes() == probability_N.tobytes()


@every
@settings(max_examples=30, deadline=None)
@given(rows=ROWS, random=st.randoms())
def test_the_order_of_the_rows_changes_no_bit(calibrator, rows, random):
    shuffled = random.sample(rows, len(rows))
    assert calibrator.fit(scenes.rows(*columns(rows))) == calibrator.fit(scenes.rows(*columns(shuffled)))


@every
def test_a_weight_is_a_number_of_rows(calibrator):
    rng = np.random.default_rng(1)
    score_N, positive_N = rng.normal(size=50).astype(np.float32), rng.random(50) < 0.4
    weight_N = rng.integers(0, 4, 50)
    weighted = calibrator.fit(scenes.rows(score_N, positive_N, weight_N.astype(float)))
    repeated = calibrator.fit(
        scenes.rows(score_N.repeat(weight_N), positive_N.repeat(weight_N), np.ones(weight_N.sum()))
    )
    np.testing.assert_allclose(weighted.predict(score_N), repeated.predict(score_N), rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score_N": [np.nan, 1.0]}, "score nan at row 0"),
        ({"score_N": [0.0, np.inf]}, "score inf at row 1"),
        ({"weight_N": [1.0, np.nan]}, "weight nan at row 1"),
        ({"weight_N": [1.0, -1.0]}, "weight -1.0 is negative"),
    ],
)
def test_wrong_rows_are_an_error(change, message):
    rows = {"score_N": [0.0, 1.0], "positive_N": [False, True], "weight_N": [1.0, 1.0], "fold_N": [0, 0]} | change
    with pytest.raises(ValueError, match=message):
        Rows(**{n: np.array(v) for n, v in rows.items()}, segment={})


@every
def test_without_an_observation_nothing_can_be_fitted(calibrator):
    if not isinstance(calibrator, Identity):
        with pytest.raises(ValueError, match="at least one labelled row"):
            calibrator.fit(scenes.rows([0.0, 1.0], [False, True], [0.0, 0.0]))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"map": "spline"},
        {"map": "logistic", "slope": -1.0, "intercept": 0.0},
        {"map": "curve", "score": [0.0, 0.0], "probability": [0.1, 0.2]},
        {"map": "curve", "score": [0.0, 1.0], "probability": [0.3, 0.2]},
        {"map": "curve", "score": [], "probability": []},
    ],
)
def test_a_broken_artefact_is_an_error(wrong):
    with pytest.raises(ValueError, match="calibrat"):
        from_json(wrong)


def test_a_curve_is_straight_between_its_knots_and_level_outside():
    curve = Curve(score_K=(0.0, 2.0), probability_K=(0.2, 0.6))
    assert curve.predict(np.array([-9, 0, 0.5, 2, 9], np.float32)).tolist() == pytest.approx([0.2, 0.2, 0.3, 0.6, 0.6])


def test_a_logistic_curve_stays_finite_far_out():
    assert Logistic(slope=2.0, intercept=0.0).predict(np.array([-1e30, 1e30], np.float32)).tolist() == [0.0, 1.0]
