"""Calibrators of closed form beside independent ones, at every score, within the range of the rows and beyond it.

Shapes: V distinct scores, X places at which maps are compared.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from benchmarks._calibration_case import Case, draw
from benchmarks._parity import Parity
from recsys.calibrator import (
    Bbq,
    Calibrator,
    CentredIsotonic,
    DownSampling,
    Histogram,
    Identity,
    Isotonic,
    Multicalibration,
    Platt,
    PriorShift,
    VennAbers,
)

TOLERANCE = 1e-9
MULTI = Multicalibration(by=["kind", "shop"], num_bins=3, max_steps=10)


def closed(calibrator: Calibrator, reference: Callable[[Case], np.ndarray], **options) -> Callable[[int], float]:
    """Largest difference of the two maps over all places."""

    def difference(seed: int) -> float:
        case = draw(seed, **options)
        fitted = calibrator.fit(case.rows)
        if calibrator.columns:  # at the rows, each in its segments
            ours_X = fitted.predict(case.rows.score_N, case.rows.segment)
        else:
            ours_X = fitted.predict(case.place_X)
        return float(np.abs(ours_X - reference(case)).max())

    return difference


def sigmoid(case: Case) -> np.ndarray:
    return np.array([1 / (1 + math.exp(-s)) for s in case.place_X.tolist()])


def largest_of_smallest(positive_V: np.ndarray, weight_V: np.ndarray) -> np.ndarray:
    """Isotonic regression by its definition: max over starts of min over ends of the mean (Robertson et al., 1988)."""
    positive, weight = np.r_[0, np.cumsum(positive_V)], np.r_[0, np.cumsum(weight_V)]
    num = len(weight_V)
    mean = np.full((num, num), np.inf)
    for low in range(num):
        for high in range(low, num):
            mean[low, high] = (positive[high + 1] - positive[low]) / (weight[high + 1] - weight[low])
    return np.array([max(min(mean[low, i:]) for low in range(i + 1)) for i in range(num)])


def pools(case: Case) -> Iterator[tuple[list[int], float]]:
    """Members and rate of each pool, those of one class smoothed as is said in docs/calibration.md."""
    value_V = largest_of_smallest(case.positive_V, case.weight_V)
    groups: list[list[int]] = []
    for i in range(len(value_V)):
        if groups and abs(value_V[i] - value_V[groups[-1][0]]) < 1e-12:
            groups[-1].append(i)
        else:
            groups.append([i])
    rates = [min(max(float(value_V[g[0]]), 0.0), 1.0) for g in groups]
    if rates[0] < 1e-12:
        num = float(case.weight_V[groups[0]].sum())
        rates[0] = min([0.5 / (num + 1), *rates[1:2]])
    if rates[-1] > 1 - 1e-12:
        num = float(case.weight_V[groups[-1]].sum())
        rates[-1] = max([(num + 0.5) / (num + 1), *rates[-2:-1]])
    return zip(groups, rates, strict=True)


def isotonic(case: Case) -> np.ndarray:
    value = np.empty(len(case.score_V))
    for members, rate in pools(case):
        value[members] = rate
    return np.interp(case.place_X, case.score_V, value)


def centred_isotonic(case: Case) -> np.ndarray:
    joined: dict[float, list[int]] = {}
    for members, rate in pools(case):
        joined.setdefault(rate, []).extend(members)
    centres, rates = [], []
    for rate, members in joined.items():
        centres.append(np.average(case.score_V[members], weights=case.weight_V[members]))
        rates.append(rate)
    return np.interp(case.place_X, centres, rates)


def mass_bins(case: Case, num_bins: int) -> list[list[int]]:
    """Distinct scores of each bin that is not empty: the bin in which the middle of their observations lies."""
    total, before = float(case.weight_V.sum()), 0.0
    found: dict[int, list[int]] = {}
    for i, weight in enumerate(case.weight_V.tolist()):
        share = (before + weight / 2) / total
        found.setdefault(max(b for b in range(num_bins) if b / num_bins <= share), []).append(i)
        before += weight
    return [found[b] for b in sorted(found)]


def width_bins(case: Case, num_bins: int) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for i, score in enumerate(case.score_V.tolist()):
        found.setdefault(sum(score >= logit(b / num_bins) for b in range(1, num_bins)), []).append(i)
    return [found[b] for b in sorted(found)]


def place(case: Case, bins: list[list[int]]) -> list[int]:
    """The bin of each place: beyond half-way to the next bin's first score it is the next one."""
    borders = [(case.score_V[a[-1]] + case.score_V[b[0]]) / 2 for a, b in pairwise(bins)]
    return [sum(x >= border for border in borders) for x in case.place_X.tolist()]


def histogram(cut: Callable[[Case, int], list[list[int]]], num_bins: int) -> Callable[[Case], np.ndarray]:
    def reference(case: Case) -> np.ndarray:
        bins, rates = cut(case, num_bins), []
        for members in bins:
            positive, num = float(case.positive_V[members].sum()), float(case.weight_V[members].sum())
            rates.append((positive + 0.5) / (num + 1) if positive in (0.0, num) else positive / num)
        return np.array([rates[b] for b in place(case, bins)])

    return reference


def bbq(case: Case) -> np.ndarray:
    """The paper's formulas, one bin at a time, products of gamma functions by their logarithms."""
    root = float(case.weight_V.sum()) ** (1 / 3)
    most = max(1, min(math.ceil(round(root * 10, 9)), len(case.score_V)))
    evidences, maps = [], []
    for num_bins in range(min(most, max(1, math.floor(round(root / 10, 9)))), most + 1):
        bins = mass_bins(case, num_bins)
        borders = [(case.score_V[a[-1]] + case.score_V[b[0]]) / 2 for a, b in pairwise(bins)]
        ends = [0.0, *(float(expit(b)) for b in borders), 1.0]
        evidence, rates = 0.0, []
        for b, members in enumerate(bins):
            positive, num = float(case.positive_V[members].sum()), float(case.weight_V[members].sum())
            middle = min(max((ends[b] + ends[b + 1]) / 2, 1e-6), 1 - 1e-6)
            strength = 2 / len(bins)
            yes, no = strength * middle, strength * (1 - middle)
            evidence += math.lgamma(strength) - math.lgamma(num + strength)
            evidence += math.lgamma(positive + yes) - math.lgamma(yes)
            evidence += math.lgamma(num - positive + no) - math.lgamma(no)
            rates.append((positive + yes) / (num + strength))
        evidences.append(evidence)
        maps.append([rates[b] for b in place(case, bins)])
    weight = np.exp(np.array(evidences) - max(evidences))
    return weight @ np.array(maps) / weight.sum()


def venn_abers(case: Case) -> np.ndarray:
    """Isotonic regression by its definition for every place, with the place among its data: twice."""
    found = []
    for x in case.place_X.tolist():
        at = int(np.searchsorted(case.score_V, x))
        known = at < len(case.score_V) and case.score_V[at] == x
        ends = []
        for outcome in (0.0, 1.0):
            positive, weight = case.positive_V.copy(), case.weight_V.copy()
            if known:
                positive[at] += outcome
                weight[at] += 1
            else:
                positive, weight = np.insert(positive, at, outcome), np.insert(weight, at, 1.0)
            ends.append(float(largest_of_smallest(positive, weight)[at]))
        found.append(ends[1] / (1 - ends[0] + ends[1]))
    return np.array(found)


def multicalibration(case: Case) -> np.ndarray:
    """The steps by loops over rows, from Platt's map on; the number of steps is not chosen, since all are one fold."""
    rows = [r for r in range(len(case.rows)) if case.rows.weight_N[r] > 0]
    whole = Platt().fit(case.rows)
    score, weight = case.rows.score_N.astype(float), case.rows.weight_N
    at = {r: whole.slope * score[r] + whole.intercept for r in rows}
    total, before, edges = float(weight[rows].sum()), 0.0, []
    for r in sorted(rows, key=lambda r: at[r]):
        wanted = [j for j in (1, 2) if before / total < j / 3 <= (before + weight[r]) / total]
        edges += [at[r]] * len(wanted)
        before += weight[r]
    edges = sorted(set(edges))
    segment = {
        name: [None if code < 0 else column.value_K[code] for code in column.code_N.tolist()]
        for name, column in case.rows.segment.items()
    }
    steps = []
    for _ in range(MULTI.max_steps):
        groups: dict[tuple[str, str, int], list[int]] = {}
        for name in MULTI.by:
            for r in rows:
                if (value := segment[name][r]) is not None:
                    groups.setdefault((name, value, sum(at[r] >= e for e in edges)), []).append(r)
        deviations = {}
        for key, members in groups.items():
            said = [expit(at[r]) for r in members]
            gap = sum(weight[r] * (case.rows.positive_N[r] - p) for r, p in zip(members, said, strict=True))
            spread = sum(weight[r] * p * (1 - p) for r, p in zip(members, said, strict=True))
            deviations[key] = (abs(gap) / math.sqrt(spread), max(-1.0, min(1.0, gap / (spread + 1))), members)
        if not deviations or max(d[0] for d in deviations.values()) <= norm.isf(0.025 / len(deviations)):
            break
        key = max(deviations, key=lambda k: deviations[k][0])
        steps.append((key, deviations[key][1]))
        for r in deviations[key][2]:
            at[r] += deviations[key][1]
    logits = [whole.slope * x + whole.intercept for x in score]
    for (name, value, bin_), shift in steps:
        for r in range(len(logits)):
            if segment[name][r] == value and sum(logits[r] >= e for e in edges) == bin_:
                logits[r] += shift
    return expit(np.array(logits))


def down_sampling(case: Case) -> np.ndarray:
    p_X = sigmoid(case)
    return p_X / (p_X + (1 - p_X) / 0.1)


def prior_shift(case: Case) -> np.ndarray:
    """Saerens' EM, from the trained rate to where it stands still."""
    rate, p_V = 0.3, expit(case.score_V)
    least = 0.5 / (float(case.weight_V.sum()) + 1)
    for _ in range(200_000):
        yes, no = p_V * rate / 0.3, (1 - p_V) * (1 - rate) / 0.7
        before, rate = rate, float(np.average(yes / (yes + no), weights=case.weight_V))
        if abs(rate - before) < 1e-15 or not least < rate < 1 - least:
            break
    rate = min(max(rate, least), 1 - least)
    return expit(case.place_X + logit(rate) - logit(0.3))


def _package(seed: int) -> float:
    """Largest difference of p0 and p1 to the package `venn-abers`, which knows no weights and needs both classes."""
    from venn_abers import VennAbers as Package

    case = draw(seed, weighted=False)
    score_N, positive_N = case.rows.score_N, case.rows.positive_N
    if positive_N.all() or not positive_N.any():
        return 0.0

    def both(score: np.ndarray) -> np.ndarray:
        return np.stack([expit(-score.astype(float)), expit(score.astype(float))], axis=1)

    package = Package()
    package.fit(both(score_N), positive_N.astype(int))
    theirs = package.predict_proba(both(case.place_X))[1]
    low_X, high_X = VennAbers().fit(case.rows).interval(case.place_X)
    return float(np.abs(np.stack([low_X, high_X], axis=1) - theirs).max())


def _same(name: str, reference: str, difference: Callable[[int], float]) -> Parity:
    return Parity(name=name, reference=reference, tolerance=TOLERANCE, difference=difference)


BINS = "loops over bins"
MAX_MIN = "max-min formula of Robertson et al. (1988)"
CASES: tuple[Parity, ...] = (
    _same("identity", "math.exp", closed(Identity(), sigmoid)),
    _same("isotonic", MAX_MIN, closed(Isotonic(), isotonic, largest=40)),
    _same(
        "centred_isotonic",
        "max-min formula, pools centred by loops",
        closed(CentredIsotonic(), centred_isotonic, largest=40),
    ),
    _same("histogram (mass)", BINS, closed(Histogram(bins="mass", num_bins=7), histogram(mass_bins, 7))),
    _same("histogram (width)", BINS, closed(Histogram(bins="width", num_bins=7), histogram(width_bins, 7))),
    _same("bbq", "loops from the formulas of Naeini et al. (2015)", closed(Bbq(range_factor=10), bbq, largest=60)),
    _same(
        "venn_abers",
        "max-min formula, with each score among the data twice",
        closed(VennAbers(), venn_abers, largest=12),
    ),
    _same("down_sampling", "q = p / (p + (1 - p) / w)", closed(DownSampling(keep_rate=0.1), down_sampling)),
    _same(
        "prior_shift",
        "EM of Saerens et al. (2002), by iteration",
        closed(PriorShift(trained_rate=0.3, rate=None), prior_shift),
    ),
    _same("multicalibration", "loops over rows, segments and bins", closed(MULTI, multicalibration)),
)
PACKAGES: tuple[Parity, ...] = (  # need what the project does not depend on
    _same("venn_abers (p0, p1)", "venn-abers 1.5 (Petej)", _package),
)
