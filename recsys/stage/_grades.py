"""The probability of every grade, where labels have more than two."""

import numpy as np

from recsys.calibrator import Ordinal, fit_ordinal


def grades(
    score_N: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray, fold_N: np.ndarray, usable_N: np.ndarray
) -> tuple[Ordinal, dict[str, np.ndarray]] | None:
    """The cumulative-logit map of the usable rows, and column -> probability_N of each grade, where a usable row gets
    the map fitted without its fold. None where fewer than three grades occur."""
    whole_N = np.unique(np.rint(label_N[usable_N & (weight_N > 0)]))
    if len(whole_N) < 3:
        return None
    fitted = fit_ordinal(score_N[usable_N], label_N[usable_N], weight_N[usable_N])
    place = {grade: g for g, grade in enumerate(fitted.grade_G)}
    probability_NG = fitted.predict(score_N)
    for fold in np.unique(fold_N[usable_N]):
        held_N, other_N = usable_N & (fold_N == fold), usable_N & (fold_N != fold)
        if len(np.unique(label_N[other_N & (weight_N > 0)])) > 1:
            without = fit_ordinal(score_N[other_N], label_N[other_N], weight_N[other_N])
            probability_NG[held_N] = 0.0  # a grade that the others lack
            columns = [place[grade] for grade in without.grade_G]
            probability_NG[np.ix_(held_N, columns)] = without.predict(score_N[held_N])
    return fitted, {f"grade_{grade:g}": probability_NG[:, g] for g, grade in enumerate(fitted.grade_G)}
