"""What is said about the ranking order."""

import numpy as np

from recsys.calibrator import Curve, Logistic, Segmented, Steps, order_kept
from tests.calibrator.scenes import single


def test_a_rising_map_keeps_the_order():
    assert order_kept(Logistic(slope=2.0, intercept=1.0), single([3, 1, 2, 2]), {}) == "order kept"


def test_level_parts_make_ties():
    level = Curve(score_K=(0.0, 1.0), probability_K=(0.2, 0.4))
    assert order_kept(level, single([-2, -1, 0, 0.5, 1, 2, 2]), {}) == "ties made: 6 distinct scores -> 3"
    flat = Logistic(slope=0.0, intercept=1.0)
    assert order_kept(flat, single([1, 2, 3]), {}) == "ties made: 3 distinct scores -> 1"


def test_a_score_too_far_out_for_float64_ties_as_well():
    assert order_kept(Logistic(slope=1.0, intercept=0.0), single([50, 60]), {}) == "ties made: 2 distinct scores -> 1"


def test_bins_that_fall_change_it():
    falling = Steps(edge_E=(0.5, 1.5), probability_B=(0.2, 0.1, 0.3))
    assert order_kept(falling, single([0, 1, 2]), {}) == "order changed: 1 of 2 neighbouring scores change places"
    rising = Steps(edge_E=(0.5,), probability_B=(0.2, 0.3))
    assert order_kept(rising, single([0, 1]), {}) == "order kept"


def test_segments_move_against_each_other():
    whole = Logistic(slope=1.0, intercept=0.0)
    fitted = Segmented(
        whole=whole,
        column="kind",
        value_K=("a",),
        slope_K=(1.0,),
        intercept_K=(2.0,),
        mean_D=(0.0, 0.0),
        spread_D=(1.0, 1.0),
    )
    assert order_kept(fitted, np.zeros(3), {}) == "order kept within a segment, changed between segments"
