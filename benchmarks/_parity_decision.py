"""Parity of decisions and grades: against scikit-learn at a fixed threshold, and over every threshold there is."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from sklearn import metrics

from benchmarks._parity import Parity, apart
from benchmarks._parity_ranking import EXACT, estimate
from recsys.metric import Sample, grade, threshold
from tests.metric import samples

GRADES = 4


def _g_mean(truth: np.ndarray, said: np.ndarray, sample_weight: np.ndarray) -> float:
    yes, no = (metrics.recall_score(truth, said, pos_label=y, sample_weight=sample_weight) for y in (True, False))
    return math.sqrt(yes * no)


SCIKIT_LEARN: dict[str, Callable[..., float]] = {
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
    "f1": metrics.f1_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "g_mean": _g_mean,
    "mcc": metrics.matthews_corrcoef,
}


def _theirs(criterion: str, sample: Sample, cut: float) -> float:
    """What scikit-learn says, and NaN where the criterion is undefined by our definition of it."""
    kept = sample.weight_N > 0
    truth, said, weight = sample.positive_N[kept], sample.probability_N[kept] >= cut, sample.weight_N[kept]
    needed = {"precision": said.any(), "recall": truth.any(), "f1": truth.any()}
    if not needed.get(criterion, truth.any() and not truth.all()):
        return math.nan
    return float(SCIKIT_LEARN[criterion](truth, said, sample_weight=weight))


def _fixed(criterion: str) -> Parity:
    def difference(seed: int) -> float:
        sample, cut = samples.draw(seed), float(np.random.default_rng(seed).choice([0.0, 0.1, 0.3, 0.4, 1.0]))
        return apart(estimate(threshold.at(criterion, cut), sample), _theirs(criterion, sample, cut))

    name = SCIKIT_LEARN[criterion].__name__.removeprefix("_")
    return Parity(
        name=f"{criterion} at a threshold", reference=f"scikit-learn {name}", tolerance=EXACT, difference=difference
    )


def _optimal(criterion: str) -> Parity:
    def difference(seed: int) -> float:
        sample = samples.draw(seed)
        values = [_theirs(criterion, sample, p) for p in np.unique(sample.probability_N[sample.weight_N > 0])]
        best = max((v for v in values if not math.isnan(v)), default=math.nan)
        return apart(estimate(threshold.at(criterion, threshold.recommend(criterion, sample)), sample), best)

    reference = "scikit-learn at every distinct threshold"
    return Parity(name=f"{criterion} at its best", reference=reference, tolerance=EXACT, difference=difference)


def graded(seed: int) -> Sample:
    """A sample whose grades are its gains of 0 to 3."""
    sample = samples.draw(seed)
    return replace(sample, grade_N=sample.gain_N.astype(np.int64))


def _said(sample: Sample, cuts: tuple[float, ...]) -> np.ndarray:
    return np.array([sum(score >= cut for cut in cuts) for score in sample.score_N.tolist()], np.int64)


def _macro(statistic: str, cuts: tuple[float, ...], sample: Sample) -> float:
    kept = sample.weight_N > 0
    if not kept.any() or sample.grade_N is None:
        return math.nan
    truth, said = sample.grade_N[kept], _said(sample, cuts)[kept]
    score = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}[statistic]
    labels = np.unique(truth)
    return float(
        score(
            truth,
            said,
            labels=labels,
            average="macro",
            sample_weight=sample.weight_N[kept],
            zero_division=0,  # pyright: ignore[reportArgumentType]  # annotated as text, documented as a number too
        )
    )


def _macro_at(statistic: str) -> Parity:
    cuts = (-0.8, -0.5, -0.25)

    def difference(seed: int) -> float:
        sample = graded(seed)
        ours = estimate(grade.macro(statistic, GRADES, np.array(cuts)), sample)
        return apart(ours, _macro(statistic, cuts, sample))

    reference = f"scikit-learn {statistic}_score, average=macro"
    return Parity(name=f"macro {statistic} of grades", reference=reference, tolerance=EXACT, difference=difference)


def _of_grade(statistic: str) -> Parity:
    cuts = (-0.8, -0.5, -0.25)

    def difference(seed: int) -> float:
        sample, one = graded(seed), seed % GRADES
        kept = sample.weight_N > 0
        assert sample.grade_N is not None
        truth, said = sample.grade_N[kept] == one, _said(sample, cuts)[kept] == one
        theirs = math.nan
        if (said if statistic == "precision" else truth).any():
            theirs = float(SCIKIT_LEARN[statistic](truth, said, sample_weight=sample.weight_N[kept], zero_division=0))
        return apart(estimate(grade.of_grade(statistic, one, GRADES, np.array(cuts)), sample), theirs)

    reference = f"scikit-learn {statistic}_score"
    return Parity(name=f"{statistic} of a grade", reference=reference, tolerance=EXACT, difference=difference)


def _best_cuts(seed: int) -> float:
    """Macro recall at the cuts that are chosen and at every combination of cuts, of few distinct scores."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 25))
    score = rng.integers(0, 4, count).tolist()
    gain = np.minimum(rng.integers(0, 5, count), 3).astype(float).tolist()
    weight = rng.choice([0.0, 0.5, 1.0, 2.0], count).tolist()
    sample = samples.make(sorted(rng.integers(0, 4, count).tolist()), score, gain, weight=weight, num_queries=4)
    sample = replace(sample, grade_N=sample.gain_N.astype(np.int64))
    values = sorted(set(sample.score_N[sample.weight_N > 0].tolist()))
    every = itertools.combinations_with_replacement([*values, math.inf], GRADES - 1)
    best = max((_macro("recall", cuts, sample) for cuts in every), default=math.nan) if values else math.nan
    return apart(estimate(grade.macro("recall", GRADES), sample), best)


CASES = [
    *[_fixed(criterion) for criterion in SCIKIT_LEARN],
    *[_optimal(criterion) for criterion in threshold.TO_CHOOSE_BY],
    *[_macro_at(statistic) for statistic in grade.STATISTICS],
    *[_of_grade(statistic) for statistic in grade.STATISTICS],
    Parity(
        name="macro recall at its best cuts",
        reference="scikit-learn at every combination of cuts",
        tolerance=EXACT,
        difference=_best_cuts,
    ),
]
