"""What every calibrator promises."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from recsys.calibrator import OPTIONS, Curve, Logistic, PriorShift, Rows, Segments, from_json
from tests.calibrator import scenes
from tests.compose import job
from tests.test_conf import CALIBRATOR_KNOBS

ROWS = st.lists(
    st.tuples(
        st.floats(-50, 50, width=32) | st.sampled_from([0.0, 1.0, 2.0]),
        st.booleans(),
        st.sampled_from([0.5, 1.0, 7.0, 1000.0]),
        st.sampled_from([None, "a", "b", "c"]),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=60,
)
KNOBS = [f"calibrator.{name}.{knob}" for name, knobs in CALIBRATOR_KNOBS.items() for knob in knobs]
EVERY = job("calibrate", "name=x", f"calibrator=[{','.join(OPTIONS)}]", *KNOBS).calibrator
SHIFTS = ("identity", "down_sampling")  # need no label
every = pytest.mark.parametrize("calibrator", EVERY.values(), ids=EVERY)


def given_rows(rows):
    score, positive, weight, kind, fold = zip(*rows, strict=True)
    kinds = Segments.of(np.array(kind, object))
    segment = {"kind": kinds, "category": Segments.of(np.array([str(f) for f in fold], object))}
    return scenes.rows(score, positive, weight, fold_N=np.array(fold), segment=segment)


@every
@settings(max_examples=30, deadline=None)
@given(rows=ROWS, score_N=hn.arrays(np.float32, 50, elements=st.floats(-100, 100, width=32)))
def test_any_rows_give_a_map_that_keeps_its_word_on_order_and_survives_json(calibrator, rows, score_N):
    fitted = calibrator.fit(given_rows(rows))
    score_N = np.sort(score_N)
    segment = {"kind": Segments.of(np.resize(np.array(["a", None, "never seen"], object), len(score_N)))}
    probability_N = fitted.predict(score_N, segment)
    assert probability_N.dtype == np.float64
    assert ((probability_N >= 0) & (probability_N <= 1)).all()
    if fitted.order == "kept":
        assert (np.diff(probability_N) >= -1e-15).all()
    low_N, high_N = fitted.interval(score_N, segment)
    assert ((low_N <= probability_N) & (probability_N <= high_N)).all()
    again = from_json(json.loads(json.dumps(fitted.to_json())))
    assert again.predict(score_N, segment).tobytes() == probability_N.tobytes()


@every
@settings(max_examples=12, deadline=None)
@given(rows=ROWS, random=st.randoms())
def test_the_order_of_the_rows_changes_no_bit(calibrator, rows, random):
    shuffled = random.sample(rows, len(rows))
    assert calibrator.fit(given_rows(rows)) == calibrator.fit(given_rows(shuffled))


@every
def test_a_weight_is_a_number_of_rows(calibrator):
    rng = np.random.default_rng(1)
    score_N, positive_N = rng.normal(size=50).astype(np.float32), rng.random(50) < 0.4
    weight_N, kind_N, fold_N = rng.integers(0, 4, 50), rng.choice(list("abc"), 50), rng.integers(0, 3, 50)
    rows = [tuple(r) for r in zip(score_N.tolist(), positive_N, weight_N, kind_N, fold_N, strict=True)]
    weighted = calibrator.fit(given_rows(rows))
    repeated = calibrator.fit(given_rows([(*r[:2], 1, *r[3:]) for r in rows for _ in range(r[2])]))
    segment = {"kind": Segments.of(kind_N)}
    np.testing.assert_allclose(weighted.predict(score_N, segment), repeated.predict(score_N, segment), rtol=1e-9)


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


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - set(SHIFTS)))
def test_without_an_observation_nothing_can_be_fitted(name):
    calibrator = PriorShift(trained_rate=0.5, rate=None) if name == "prior_shift" else EVERY[name]
    with pytest.raises(ValueError, match="at least one labelled row"):
        calibrator.fit(given_rows([(0.0, False, 0.0, "a", 0), (1.0, True, 0.0, "b", 1)]))


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
