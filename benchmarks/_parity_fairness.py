"""Parity of what groups get: against fairlearn and plain loops."""

import math

import numpy as np

from benchmarks._parity import Parity, apart
from benchmarks._parity_exposure import draw
from benchmarks._parity_ranking import EXACT, estimate
from recsys.metric import Metric, Sample, fairness, threshold
from tests.metric import naive, samples

CUT = 0.31


def _groups(seed: int) -> tuple[Sample, np.ndarray]:
    """A sample and the group of each of its rows, one of three."""
    sample = samples.draw(seed)
    return sample, np.random.default_rng(seed).integers(0, 3, len(sample))


def _gap(metric: Metric, sample: Sample, group_N: np.ndarray) -> float:
    values = [estimate(metric, sample.select(group_N == g)) for g in np.unique(group_N[sample.weight_N > 0])]
    return max(values) - min(values) if values and not any(map(math.isnan, values)) else math.nan


def _demographic_parity(seed: int) -> float:
    from fairlearn.metrics import demographic_parity_difference

    sample, group_N = _groups(seed)
    kept, theirs = sample.weight_N > 0, math.nan
    if kept.sum() == 1:
        theirs = 0.0  # fairlearn takes a single row for none
    elif kept.any():
        theirs = demographic_parity_difference(
            sample.positive_N[kept],
            sample.probability_N[kept] >= CUT,
            sensitive_features=group_N[kept],
            sample_weight=sample.weight_N[kept],
        )
    return apart(_gap(fairness.selection_rate(CUT), sample, group_N), float(theirs))


def _equal_opportunity(seed: int) -> float:
    from fairlearn.metrics import equal_opportunity_difference

    sample, group_N = _groups(seed)
    kept, theirs = sample.weight_N > 0, math.nan
    if kept.sum() == 1:
        theirs = 0.0 if sample.positive_N[kept][0] else math.nan
    elif kept.any() and all(sample.positive_N[kept & (group_N == g)].any() for g in np.unique(group_N[kept])):
        theirs = equal_opportunity_difference(
            sample.positive_N[kept],
            sample.probability_N[kept] >= CUT,
            sensitive_features=group_N[kept],
            sample_weight=sample.weight_N[kept],
        )
    return apart(_gap(threshold.at("recall", CUT), sample, group_N), float(theirs))


def _calibration_difference(seed: int) -> float:
    sample = samples.draw(seed)
    rows = naive.observed(sample)
    total = sum(r[2] for r in rows)
    theirs = sum(w * (p - y) for p, y, w in rows) / total if total else math.nan
    return apart(estimate(fairness.calibration_difference, sample), theirs)


def _exposure_ratio(seed: int) -> float:
    shown = draw(seed)
    group_I = [g + 1 for g in shown.group]
    query_T, item_T = shown.codes()
    size_G = np.bincount(group_I, minlength=4)
    ours_GR = fairness.exposure_ratio(query_T, np.array(group_I)[item_T], size_G, np.ones((shown.num_queries, 1)))
    differences = []
    for g in range(4):
        places = sum(group_I[i] == g for items in shown.lists for i in items)
        total, size = sum(map(len, shown.lists)), sum(own == g for own in group_I)
        theirs = (places / total) / (size / shown.num_items) if total and size else math.nan
        differences.append(apart(float(ours_GR[g, 0]), theirs))
    return max(differences)


def _case(name: str, reference: str, difference) -> Parity:
    return Parity(name=name, reference=reference, tolerance=EXACT, difference=difference)


CASES = [
    _case("gap of selection_rate", "fairlearn demographic_parity_difference", _demographic_parity),
    _case("gap of recall of groups", "fairlearn equal_opportunity_difference", _equal_opportunity),
    _case("calibration_difference", "loops over rows", _calibration_difference),
    _case("exposure_ratio", "loops over items and lists", _exposure_ratio),
]
