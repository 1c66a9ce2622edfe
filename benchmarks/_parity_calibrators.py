"""Calibrators beside independent fits, on random rows with ties, weights, one class, equal scores and single rows.

Closed forms are compared at every score, within the range of the rows and beyond it. Iterative fits are compared by the
log-loss they reach on the targets they are fitted to: the reference is `scipy.optimize`, run to the end of float64.

Shapes: N rows, V distinct scores, D coefficients, X places at which maps are compared.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from benchmarks import _parity_grades
from benchmarks._parity import Parity
from benchmarks._parity_fit import TIGHT, run_to_the_end
from recsys.calibrator import (
    Bbq,
    Beta,
    Calibrator,
    CentredIsotonic,
    DownSampling,
    Histogram,
    Identity,
    Isotonic,
    Multicalibration,
    Platt,
    PriorShift,
    Rows,
    Segment,
    Segments,
    Spline,
    Temperature,
    VennAbers,
)

CLOSED, ITERATIVE = 1e-9, 1e-8
VALUES = np.array([None, "a", "b", "c"], object)
MULTI = Multicalibration(by=["kind", "shop"], num_bins=3, max_steps=10)


@dataclass(frozen=True)
class Case:
    """Random rows, their counts per distinct score, and places to compare at."""

    rows: Rows
    score_V: np.ndarray
    positive_V: np.ndarray
    weight_V: np.ndarray
    place_X: np.ndarray

    @property
    def spread(self) -> float:
        mean = np.average(self.score_V, weights=self.weight_V)
        return math.sqrt(np.average((self.score_V - mean) ** 2, weights=self.weight_V))


def draw(seed: int, *, largest: int = 120, weighted: bool = True) -> Case:
    """One case: about one in ten has a single class, one in ten equal scores, half are tied, half weighted."""
    rng = np.random.default_rng(seed)
    num = int(rng.choice([1, 2, 3, 8, min(30, largest), largest]))
    logit_N = rng.normal(rng.normal(), 1.5, num)
    positive_N = rng.random(num) < expit(logit_N)
    if rng.random() < 0.1:
        positive_N[:] = rng.random() < 0.5
    score_N = logit_N * rng.choice([0.3, 1.0, 4.0]) + rng.choice([0.0, -2.0, 2.0])
    if rng.random() < 0.5:
        score_N = np.round(score_N * 2) / 2
    if rng.random() < 0.1:
        score_N[:] = score_N[0]
    score_N = score_N.astype(np.float32)
    weight_N = np.ones(num)
    if weighted and rng.random() < 0.5:
        weight_N = rng.choice([0.0, 0.5, 1.0, 3.0], num, p=[0.1, 0.3, 0.3, 0.3])
        weight_N[0] = 1.0
    counts: dict[float, list[float]] = {}
    for score, positive, weight in zip(score_N.tolist(), positive_N.tolist(), weight_N.tolist(), strict=True):
        if weight > 0:
            entry = counts.setdefault(score, [0.0, 0.0])
            entry[0] += weight * positive
            entry[1] += weight
    score_V = np.array(sorted(counts))
    middle = (score_V[:-1] + score_V[1:]) / 2
    return Case(
        rows=Rows(
            score_N=score_N,
            positive_N=positive_N,
            weight_N=weight_N,
            fold_N=np.zeros(num, np.int64),
            segment={n: Segments.of(rng.choice(VALUES, num, p=[0.1, 0.4, 0.3, 0.2])) for n in ("kind", "shop")},
        ),
        score_V=score_V,
        positive_V=np.array([counts[s][0] for s in score_V.tolist()]),
        weight_V=np.array([counts[s][1] for s in score_V.tolist()]),
        place_X=np.r_[score_V, score_V[0] - 1, score_V[-1] + 1, middle],
    )


# ---- closed forms -------------------------------------------------------------------------------------------------


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


# ---- iterative fits -----------------------------------------------------------------------------------------------


def smoothed(case: Case) -> np.ndarray:
    """target_V of Platt (1999)."""
    positive, negative = case.positive_V.sum(), (case.weight_V - case.positive_V).sum()
    share_V = case.positive_V / case.weight_V
    return share_V * (positive + 1) / (positive + 2) + (1 - share_V) / (negative + 2)


def cross_entropy(logit_V: np.ndarray, target_V: np.ndarray, weight_V: np.ndarray) -> float:
    return float(np.average(np.logaddexp(0, logit_V) - target_V * logit_V, weights=weight_V))


def lowest(feature_DV: np.ndarray, bounded_D: list[bool], case: Case) -> float:
    """The lowest loss to smoothed targets."""
    target_V = smoothed(case)
    weight_V = case.weight_V / case.weight_V.sum()

    def loss(coefficient_D: np.ndarray) -> tuple[float, np.ndarray]:
        logit_V = coefficient_D @ feature_DV
        value = cross_entropy(logit_V, target_V, weight_V)
        return value, feature_DV @ (weight_V * (expit(logit_V) - target_V))

    return run_to_the_end(loss, np.zeros(len(bounded_D)), [(0, None) if b else (None, None) for b in bounded_D])


def iterative(
    calibrator: Calibrator, features: Callable[[Case], tuple[np.ndarray, list[bool]]]
) -> Callable[[int], float]:
    """Difference of the losses reached."""

    def difference(seed: int) -> float:
        case = draw(seed)
        feature_DV, bounded_D = features(case)
        probability_V = np.clip(calibrator.fit(case.rows).predict(case.score_V), 1e-300, 1)
        below_V = np.clip(1 - probability_V, 1e-300, 1)
        target_V = smoothed(case)
        losses = -target_V * np.log(probability_V) - (1 - target_V) * np.log(below_V)
        return abs(float(np.average(losses, weights=case.weight_V)) - lowest(feature_DV, bounded_D, case))

    return difference


def level(case: Case) -> np.ndarray:
    return np.ones(len(case.score_V))


def temperature(case: Case) -> tuple[np.ndarray, list[bool]]:
    scale = np.abs(case.score_V).max() or 1.0
    return case.score_V[None] / scale, [True]


def platt(case: Case) -> tuple[np.ndarray, list[bool]]:
    if case.spread == 0 or len(case.score_V) == 1:
        return level(case)[None], [False]
    middle = np.average(case.score_V, weights=case.weight_V)
    return np.stack([(case.score_V - middle) / case.spread, level(case)]), [True, False]


def beta(case: Case) -> tuple[np.ndarray, list[bool]]:
    """ln p and -ln(1 - p), each standardised; one that varies by less than 1e-6 nats is left out."""
    found = [level(case)]
    for feature in (np.log(expit(case.score_V)), -np.log(expit(-case.score_V))):
        feature = feature - np.average(feature, weights=case.weight_V)
        spread = math.sqrt(np.average(feature**2, weights=case.weight_V))
        if spread > 1e-6:
            found.append(feature / spread)
    return np.stack(found), [False] + [True] * (len(found) - 1)


def spline(case: Case) -> tuple[np.ndarray, list[bool]]:
    """The same curves from another basis: slopes that are hats between the knots, integrated by trapezia, which is
    exact for straight lines."""
    if len(case.score_V) == 1:
        return level(case)[None], [False]
    share = np.cumsum(case.weight_V) / case.weight_V.sum()
    knots = sorted({float(case.score_V[min(np.searchsorted(share, (k + 0.5) / 6), len(share) - 1)]) for k in range(6)})
    grid = np.unique(np.r_[case.score_V, knots])
    found = [level(case)]
    for k in range(len(knots)):
        height = np.interp(grid, knots, [float(j == k) for j in range(len(knots))])
        area = np.r_[0, np.cumsum((height[1:] + height[:-1]) / 2 * np.diff(grid))]
        feature = np.interp(case.score_V, grid, area) / case.spread
        found.append(feature - np.average(feature, weights=case.weight_V))
    return np.stack(found), [False] + [True] * len(knots)


def segment(seed: int) -> float:
    """Difference of the penalised losses, per observation, at the prior that was estimated: all segments together."""
    case = draw(seed, largest=40)
    rows, fitted = case.rows, Segment(by="shop").fit(case.rows)
    if not fitted.value_K:
        return 0.0
    whole, middle, spread = fitted.whole, np.average(case.score_V, weights=case.weight_V), case.spread
    spread = 1.0 if len(case.score_V) == 1 or not spread else spread
    code_N = rows.segment["shop"].codes(fitted.value_K)
    used = np.flatnonzero((code_N >= 0) & (rows.weight_N > 0))
    code, positive, weight = code_N[used], rows.positive_N[used], rows.weight_N[used]
    offset = whole.slope * rows.score_N[used].astype(float) + whole.intercept
    standard = (rows.score_N[used] - middle) / spread
    mean, sd = np.array(fitted.mean_D), np.array(fitted.spread_D)
    num = len(fitted.value_K)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        effect = flat.reshape(num, 2)
        logit_M = offset + effect[code, 0] + effect[code, 1] * standard
        value = (weight * (np.logaddexp(0, logit_M) - positive * logit_M)).sum()
        residual = weight * (expit(logit_M) - positive)
        slope = np.stack([np.bincount(code, residual, num), np.bincount(code, residual * standard, num)], axis=1)
        slope += (effect - mean) / sd**2
        return float((value + (((effect - mean) / sd) ** 2).sum() / 2) / weight.sum()), slope.ravel() / weight.sum()

    ours = np.stack([np.array(fitted.intercept_K) - whole.intercept, np.array(fitted.slope_K) - whole.slope], axis=1)
    ours[:, 0] += ours[:, 1] * middle
    ours[:, 1] *= spread
    bounds = [(None, None), (-whole.slope * spread, None)] * num
    return abs(loss(ours.ravel())[0] - run_to_the_end(loss, ours.ravel() * 0 + np.tile(mean, num), bounds))


CASES: tuple[Parity, ...] = (
    Parity(name="identity", reference="math.exp", tolerance=CLOSED, difference=closed(Identity(), sigmoid)),
    Parity(name="temperature", reference=TIGHT, tolerance=ITERATIVE, difference=iterative(Temperature(), temperature)),
    Parity(name="platt", reference=TIGHT, tolerance=ITERATIVE, difference=iterative(Platt(), platt)),
    Parity(name="beta", reference=TIGHT, tolerance=ITERATIVE, difference=iterative(Beta(), beta)),
    Parity(name="spline", reference=TIGHT, tolerance=ITERATIVE, difference=iterative(Spline(num_knots=6), spline)),
    Parity(
        name="isotonic",
        reference="max-min formula of Robertson et al. (1988)",
        tolerance=CLOSED,
        difference=closed(Isotonic(), isotonic, largest=40),
    ),
    Parity(
        name="centred_isotonic",
        reference="max-min formula, pools centred by loops",
        tolerance=CLOSED,
        difference=closed(CentredIsotonic(), centred_isotonic, largest=40),
    ),
    Parity(
        name="histogram (mass)",
        reference="loops over bins",
        tolerance=CLOSED,
        difference=closed(Histogram(bins="mass", num_bins=7), histogram(mass_bins, 7)),
    ),
    Parity(
        name="histogram (width)",
        reference="loops over bins",
        tolerance=CLOSED,
        difference=closed(Histogram(bins="width", num_bins=7), histogram(width_bins, 7)),
    ),
    Parity(
        name="bbq",
        reference="loops from the formulas of Naeini et al. (2015)",
        tolerance=CLOSED,
        difference=closed(Bbq(range_factor=10), bbq, largest=60),
    ),
    Parity(
        name="venn_abers",
        reference="max-min formula, with each score among the data twice",
        tolerance=CLOSED,
        difference=closed(VennAbers(), venn_abers, largest=12),
    ),
    Parity(
        name="down_sampling",
        reference="q = p / (p + (1 - p) / w)",
        tolerance=CLOSED,
        difference=closed(DownSampling(keep_rate=0.1), down_sampling),
    ),
    Parity(
        name="prior_shift",
        reference="EM of Saerens et al. (2002), by iteration",
        tolerance=CLOSED,
        difference=closed(PriorShift(trained_rate=0.3, rate=None), prior_shift),
    ),
    Parity(name="segment", reference=TIGHT, tolerance=ITERATIVE, difference=segment),
    Parity(
        name="multicalibration",
        reference="loops over rows, segments and bins",
        tolerance=CLOSED,
        difference=closed(MULTI, multicalibration),
    ),
    *_parity_grades.CASES,
)


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


PACKAGES: tuple[Parity, ...] = (  # need what the project does not depend on
    Parity(
        name="venn_abers (p0, p1)",
        reference="venn-abers 1.5 (Petej)",
        tolerance=CLOSED,
        difference=_package,
    ),
)
