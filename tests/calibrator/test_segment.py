import numpy as np
import pytest
from scipy.special import expit, logit

from recsys.calibrator import Platt, Segment, Segments
from tests.calibrator import scenes


def market(seed: int, *, num: int = 4000, num_segments: int = 40, shift: float = 0.5, bend: float = 0.0):
    """Rows, their true probabilities and true shifts: each segment moves the logit by its own, normal with `shift`, and
    changes its slope by a normal with `bend`."""
    rng = np.random.default_rng(seed)
    shift_K, bend_K = rng.normal(0, shift, num_segments), rng.normal(0, bend, num_segments)
    code_N = rng.choice(num_segments, num, p=rng.dirichlet(np.full(num_segments, 2.0)))
    score_N = rng.normal(0, 1.5, num).astype(np.float32)
    truth_N = expit((1 + bend_K[code_N]) * score_N + shift_K[code_N])
    values = tuple(f"s{k:02d}" for k in range(num_segments))
    segment = {"shop": Segments(value_K=values, code_N=code_N)}
    return scenes.rows(score_N, rng.random(num) < truth_N, segment=segment), truth_N, shift_K


def test_a_segment_with_its_own_shift_is_repaired_and_the_map_for_all_is_not():
    rows, _, _ = market(1, num=6000, num_segments=5, shift=0.0)
    own_N = rows.segment["shop"].code_N == 2
    truth_N = expit(rows.score_N + np.where(own_N, -2.0, 0.0))
    rng = np.random.default_rng(0)
    rows = scenes.rows(rows.score_N, rng.random(6000) < truth_N, segment=rows.segment)
    errors = {
        name: np.abs(option.fit(rows).predict(rows.score_N, rows.segment) - truth_N)[own_N].mean()
        for name, option in (("segment", Segment(by="shop")), ("all", Platt()))
    }
    assert errors["segment"] < 0.03 < 0.2 < errors["all"]


@pytest.mark.parametrize(("shift", "bend"), [(0.8, 0.0), (0.3, 0.3), (0.0, 0.0)])
def test_the_spread_of_the_segments_is_estimated(shift, bend):
    found = []
    for seed in range(3):
        rows, _, _ = market(seed, num=8000, num_segments=60, shift=shift, bend=bend)
        found.append(Segment(by="shop").fit(rows).spread_D)
    intercept, slope = np.mean(found, axis=0)
    assert intercept == pytest.approx(shift, abs=0.12)
    assert slope == pytest.approx(1.5 * bend, abs=0.12)  # of scores in units of their standard deviation


def test_shrinkage_is_closer_to_the_truth_than_none_and_than_all():
    better = 0
    for seed in range(10):
        rows, truth_N, _ = market(seed, num=2000, num_segments=60)
        shrunken = Segment(by="shop").fit(rows).predict(rows.score_N, rows.segment)
        everyone = Platt().fit(rows).predict(rows.score_N)
        alone = np.empty(len(rows))
        for code in np.unique(rows.segment["shop"].code_N):
            mine = rows.segment["shop"].code_N == code
            alone[mine] = Platt().fit(rows.take(mine)).predict(rows.score_N[mine])
        errors = [np.abs(p - truth_N).mean() for p in (shrunken, everyone, alone)]
        better += errors[0] < min(errors[1:])
    assert better >= 9


def test_the_fewer_rows_the_closer_to_the_map_for_all():
    rng = np.random.default_rng(2)
    size = {"many": 2000, "some": 100, "few": 5}
    names = np.repeat([*size, *(f"other {k}" for k in range(20))], [*size.values(), *[200] * 20])
    shift_N = np.select([np.isin(names, list(size))], [1.0], 0.0) + np.char.startswith(names, "other") * (
        np.repeat(rng.normal(0, 0.6, 23), [*size.values(), *[200] * 20])
    )
    score_N = rng.normal(size=len(names)).astype(np.float32)
    positive_N = rng.random(len(names)) < expit(score_N + shift_N)
    positive_N[names == "few"] = True
    fitted = Segment(by="shop").fit(scenes.rows(score_N, positive_N, segment={"shop": Segments.of(names)}))
    at = dict(zip(fitted.value_K, fitted.intercept_K, strict=True))
    assert at["many"] - fitted.whole.intercept == pytest.approx(0.8, abs=0.35)
    assert abs(at["few"] - fitted.whole.intercept) < 1.5  # alone it would be infinite: all are positive


def test_an_unseen_segment_and_none_get_the_map_for_all():
    rows, _, _ = market(3)
    fitted = Segment(by="shop").fit(rows)
    score_N = scenes.single([-1, 0, 1])
    new = {"shop": Segments.of(np.array(["s99", None, "s00"], object))}
    whole = fitted.whole.predict(score_N)
    assert fitted.predict(score_N, new)[:2].tolist() == whole[:2].tolist()
    assert fitted.predict(score_N, new)[2] != whole[2]
    assert fitted.predict(score_N).tolist() == whole.tolist()
    assert "s00" in fitted.segments["shop"]
    assert "s99" not in fitted.segments["shop"]


def test_nowhere_known_is_the_map_for_all():
    rows = scenes.rows([0, 1, 2, 3], [0, 1, 0, 1], segment={"shop": Segments.of(np.array([None] * 4, object))})
    assert (
        Segment(by="shop").fit(rows).predict(rows.score_N).tolist() == Platt().fit(rows).predict(rows.score_N).tolist()
    )


def test_a_segment_that_falls_is_level():
    rng = np.random.default_rng(0)
    score_N = rng.normal(size=4000).astype(np.float32)
    names = np.where(np.arange(4000) % 4 == 0, "wrong way", "right way")
    positive_N = rng.random(4000) < expit(np.where(names == "wrong way", -1.0, 1.0) * score_N)
    fitted = Segment(by="shop").fit(scenes.rows(score_N, positive_N, segment={"shop": Segments.of(names)}))
    slope = dict(zip(fitted.value_K, fitted.slope_K, strict=True))
    assert slope["wrong way"] == pytest.approx(0, abs=1e-12)
    assert slope["right way"] > 0.8
    only = fitted.predict(np.zeros(1, np.float32), {"shop": Segments.of(np.array(["wrong way"]))})
    assert logit(only) == pytest.approx(logit(positive_N[names == "wrong way"].mean()), abs=0.05)


def test_it_asks_for_its_column():
    assert Segment(by="shop").columns == ("shop",)
    with pytest.raises(ValueError, match="names no column"):
        Segment(by="")
