import numpy as np
import pytest
from scipy.special import expit

from recsys.calibrator import Multicalibration, Platt, Segments
from tests.calibrator import scenes

BOTH = Multicalibration(by=["kind", "shop"], num_bins=5, max_steps=50)


def market(seed: int, *, num: int = 20_000, kind: float = 1.0, shop: float = -1.5):
    """Two overlapping segments, each with a shift of its own: users, and one shop of four. 200 queries in 5 folds."""
    rng = np.random.default_rng(seed)
    is_user_N, shop_N = rng.random(num) < 0.3, rng.integers(0, 4, num)
    score_N = rng.normal(0, 1.5, num).astype(np.float32)
    truth_N = expit(score_N + kind * is_user_N + shop * (shop_N == 1))
    segment = {
        "kind": Segments.of(np.where(is_user_N, "user", "search")),
        "shop": Segments.of(np.array(list("abcd"))[shop_N]),
    }
    fold_N = rng.integers(0, 200, num) % 5
    return scenes.rows(score_N, rng.random(num) < truth_N, fold_N=fold_N, segment=segment), truth_N


def largest_gap(rows, truth_N, probability_N) -> float:
    """Largest |mean truth - mean probability| of all segments, and of what lies in two of them."""
    kind_N, shop_N = rows.segment["kind"].code_N, rows.segment["shop"].code_N
    masks = [kind_N == k for k in range(2)] + [shop_N == k for k in range(4)]
    masks += [(kind_N == k) & (shop_N == j) for k in range(2) for j in range(4)]
    return max(abs(truth_N[m].mean() - probability_N[m].mean()) for m in masks)


def test_overlapping_segments_are_right_on_rows_it_has_not_seen():
    (rows, _), (unseen, truth_N) = market(1), market(2)
    gaps = [
        largest_gap(unseen, truth_N, option.fit(rows).predict(unseen.score_N, unseen.segment))
        for option in (BOTH, Platt())
    ]
    assert gaps[0] < 0.05 < 0.15 < gaps[1]


def test_where_nothing_deviates_hardly_a_step_is_taken():
    taken = [len(BOTH.fit(market(seed, num=4000, kind=0.0, shop=0.0)[0]).shift_S) for seed in range(10)]
    assert np.mean(taken) <= 0.5


def test_no_segment_deviates_in_any_bin_where_the_steps_end_by_themselves():
    rows, _ = market(3)
    alone = scenes.rows(rows.score_N, rows.positive_N, segment=rows.segment)  # one fold: none is held out
    fitted = BOTH.fit(alone)
    assert 0 < len(fitted.shift_S) < 50
    probability_N = fitted.predict(rows.score_N, rows.segment)
    bin_N = np.searchsorted(fitted.edge_E, np.log(probability_N / (1 - probability_N)), "right")
    for column in ("kind", "shop"):
        for code in np.unique(rows.segment[column].code_N):
            for bin_ in range(5):
                inside = (rows.segment[column].code_N == code) & (bin_N == bin_)
                spread = np.sqrt((probability_N[inside] * (1 - probability_N[inside])).sum())
                assert abs((rows.positive_N - probability_N)[inside].sum()) <= 3.3 * spread  # of 30 at once


def test_steps_are_bounded_and_fewer_where_held_out_rows_do_not_gain():
    rows, _ = market(4, num=3000)
    assert len(Multicalibration(by=["kind", "shop"], num_bins=5, max_steps=1).fit(rows).shift_S) <= 1
    noise = Multicalibration(by=["query"], num_bins=5, max_steps=50)
    names = Segments.of(np.array([f"q{n % 100}" for n in range(3000)]))
    shuffled = scenes.rows(rows.score_N, rows.positive_N, fold_N=rows.fold_N, segment={"query": names})
    assert len(noise.fit(shuffled).shift_S) <= 2


def test_a_row_of_no_known_segment_is_not_moved():
    rows, _ = market(5)
    fitted = BOTH.fit(rows)
    score_N = scenes.single([-1, 0, 1])
    new = {name: Segments.of(np.array(["new", None, "new"], object)) for name in ("kind", "shop")}
    assert fitted.predict(score_N, new).tolist() == fitted.whole.predict(score_N).tolist()
    assert fitted.predict(score_N).tolist() == fitted.whole.predict(score_N).tolist()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"by": [], "num_bins": 5, "max_steps": 5}, "at least one column"),
        ({"by": ["a", "a"], "num_bins": 5, "max_steps": 5}, "each once"),
        ({"by": ["a"], "num_bins": 0, "max_steps": 5}, "num_bins=0"),
        ({"by": ["a"], "num_bins": 5, "max_steps": 0}, "max_steps=0"),
    ],
)
def test_wrong_knobs_are_an_error(knobs, message):
    with pytest.raises(ValueError, match=message):
        Multicalibration(**knobs)
