"""Graded labels as classes: the grade is predicted by cutting the score, and each grade counts the same.

Rows count by their weight. Shapes: N rows, V distinct scores in ascending order, G grades 0 ... G - 1, L = G - 1 cuts
in ascending order (grade = number of cuts that the score reaches), R weightings of the queries.
"""

import numpy as np

from recsys.metric._sample import Metric, Sample

STATISTICS = ("precision", "recall", "f1")


def cuts(sample: Sample, num_grades: int) -> np.ndarray:
    """cut_L with the highest mean recall of the grades that occur (macro recall), chosen on the sample itself.

    Exact, by dynamic programming over its distinct scores; infinity where a grade is never said. NaN without rows.
    """
    row = np.flatnonzero(sample.weight_N > 0)
    if not len(row):
        return np.full(num_grades - 1, np.nan)
    grade_N = _grades(sample, num_grades)
    order = row[np.lexsort((sample.weight_N[row], grade_N[row], sample.query_N[row], sample.score_N[row]))]
    value_V, value_N = np.unique(sample.score_N[order], return_inverse=True)
    sum_VG = np.zeros((len(value_V), num_grades))
    np.add.at(sum_VG, (value_N, grade_N[order]), sample.weight_N[order])
    total_G = sum_VG.sum(axis=0)
    share_VG = np.divide(sum_VG, total_G, out=np.zeros_like(sum_VG), where=total_G > 0)
    below_VG = np.concatenate([np.zeros((1, num_grades)), np.cumsum(share_VG, axis=0)])  # lower than the cut
    return np.append(value_V.astype(np.float64), np.inf)[_best_places(below_VG)]


def _best_places(below_VG: np.ndarray) -> list[int]:
    """Places of the cuts, ascending, that maximise the sum of what each grade gets between its two cuts."""
    gain_VL = below_VG[:, :-1] - below_VG[:, 1:]
    best_V, from_LV = np.zeros(len(below_VG)), []
    for gain_V in gain_VL.T:
        total_V = best_V + gain_V
        best_V = np.maximum.accumulate(total_V)
        from_LV.append(np.maximum.accumulate(np.where(total_V == best_V, np.arange(len(total_V)), 0)))
    places, place = [], len(below_VG) - 1
    for from_V in reversed(from_LV):
        place = int(from_V[place])
        places.append(place)
    return places[::-1]


def macro(statistic: str, num_grades: int, cut_L: np.ndarray | None = None) -> Metric:
    """Plain mean over the grades that occur of precision, recall or F1 of each; a grade that is never said has
    precision 0. Without cuts those of `cuts`, chosen on the estimate and kept over the replicates."""
    return lambda sample, weight_QR: _mean_of_grades(_statistic(statistic, sample, weight_QR, num_grades, cut_L))


def of_grade(statistic: str, grade: int, num_grades: int, cut_L: np.ndarray | None = None) -> Metric:
    """Precision, recall or F1 of one grade against all others; NaN where it does not occur (precision: is not said)."""

    def metric(sample: Sample, weight_QR: np.ndarray) -> np.ndarray:
        value_RG, occurs_RG = _statistic(statistic, sample, weight_QR, num_grades, cut_L)
        defined_R = np.isfinite(value_RG[:, grade]) & (occurs_RG[:, grade] | (statistic == "precision"))
        return np.where(defined_R, value_RG[:, grade], np.nan)

    return metric


def _mean_of_grades(values: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    value_RG, occurs_RG = values
    sum_R = np.where(occurs_RG, np.nan_to_num(value_RG), 0.0).sum(axis=1)
    return np.divide(sum_R, occurs_RG.sum(axis=1), out=np.full(len(sum_R), np.nan), where=occurs_RG.any(axis=1))


def _statistic(statistic: str, sample: Sample, weight_QR: np.ndarray, num_grades: int, cut_L: np.ndarray | None):
    """(value_RG, NaN where undefined; occurs_RG)."""
    if statistic not in STATISTICS:
        raise ValueError(f"{statistic!r} is unknown; use {', '.join(STATISTICS)}")
    cut_L = cuts(sample, num_grades) if cut_L is None else np.asarray(cut_L, np.float64)
    if len(cut_L) != num_grades - 1 or (cut_L[1:] < cut_L[:-1]).any():
        raise ValueError(f"cuts {cut_L.tolist()} must be {num_grades - 1} ascending scores for {num_grades} grades")
    row = np.flatnonzero(sample.weight_N > 0)
    said_N = np.searchsorted(cut_L, sample.score_N[row].astype(np.float64), "right")
    cell_N = _grades(sample, num_grades)[row] * num_grades + said_N
    order = np.lexsort((sample.weight_N[row], sample.query_N[row], cell_N))
    cell_N, query_N, weight_N = cell_N[order], sample.query_N[row][order], sample.weight_N[row][order]
    sums = [
        np.bincount(cell_N, weights=weight_N * weight_QR[query_N, r], minlength=num_grades**2)
        for r in range(weight_QR.shape[1])
    ]
    sum_RGG = np.array(sums).reshape(-1, num_grades, num_grades)  # what it is, what is said
    right_RG = np.diagonal(sum_RGG, axis1=1, axis2=2)
    is_RG, said_RG = sum_RGG.sum(axis=2), sum_RGG.sum(axis=1)
    above = 2 * right_RG if statistic == "f1" else right_RG
    below_RG = {"precision": said_RG, "recall": is_RG, "f1": is_RG + said_RG}[statistic]
    value_RG = np.divide(above, below_RG, out=np.full(is_RG.shape, np.nan), where=below_RG > 0)
    return value_RG, is_RG > 0


def _grades(sample: Sample, num_grades: int) -> np.ndarray:
    if sample.grade_N is None:
        raise ValueError("the sample has no grades (grade_N); metrics of grades need a graded target")
    wrong = np.flatnonzero((sample.grade_N < 0) | (sample.grade_N >= num_grades))
    if len(wrong):
        raise ValueError(f"grade {sample.grade_N[wrong[0]]} lies outside 0 ... {num_grades - 1}")
    return sample.grade_N
