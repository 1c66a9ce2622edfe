"""Metrics as plain loops over rows, pairs and places, written from their formulas: slow, and free of our code."""

import itertools
import math
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq


def pairs_of(sample, query, *, catalogue):
    """[(score, gain, positive)] of a query by plain Python; the catalogue adds the unjudged items."""
    merged = {}
    for n in np.flatnonzero(sample.query_N == query):
        if sample.weight_N[n] > 0:
            merged.setdefault(int(sample.item_N[n]), []).append(n)
    pairs = []
    for rows in merged.values():
        gain = sum(sample.weight_N[n] * sample.gain_N[n] for n in rows) / sum(sample.weight_N[n] for n in rows)
        place = -sample.above_N[rows[0]] if catalogue else sample.score_N[rows[0]]
        pairs.append((float(place), gain, any(sample.positive_N[n] for n in rows)))
    return pairs


def whole(sample, query):
    """The pairs of a query and one entry for each unjudged item, by place: which places the judged ones leave free."""
    pairs = pairs_of(sample, query, catalogue=True)
    if not pairs:
        return []
    rows = np.flatnonzero((sample.query_N == query) & (sample.weight_N > 0))
    total = int(sample.total_N[rows[0]])
    groups = {int(sample.above_N[n]): int(sample.tied_N[n]) for n in rows}
    free = []
    for above in range(total):
        group = next((a for a, t in groups.items() if a <= above < a + t), above)
        free.append(-float(group))
    for place, _, _ in pairs:
        free.remove(place)
    return pairs + [(place, 0.0, False) for place in free]


def ranked(pairs, k):
    """(nDCG, MRR, recall, AUC) in expectation, from the chance of every pair to take every rank."""
    better = [[sum(o[0] > p[0] for o in pairs), sum(o[0] == p[0] for o in pairs)] for p in pairs]
    dcg = sum(
        p[1] / tied / math.log2(rank + 2)
        for p, (above, tied) in zip(pairs, better, strict=True)
        for rank in range(above, above + tied)
        if rank < k
    )
    ideal = sum(g / math.log2(r + 2) for r, g in enumerate(sorted((p[1] for p in pairs), reverse=True)[:k]))
    positives = [p for p in pairs if p[2]]
    others = [p for p in pairs if not p[2]]
    if not positives:
        return [math.nan] * 4
    top = max(p[0] for p in positives)
    above, tied = sum(p[0] > top for p in pairs), sum(p[0] == top for p in pairs)
    many = sum(p[0] == top for p in positives)
    firsts = [min(c) for c in itertools.combinations(range(tied), many)] if tied <= 10 else []
    mrr = sum(1 / (above + 1 + first) for first in firsts) / len(firsts) if firsts else math.nan
    found = sum(
        1 / tied
        for p, (above, tied) in zip(pairs, better, strict=True)
        if p[2]
        for r in range(above, above + tied)
        if r < k
    )
    wins = sum((p[0] > o[0]) + (p[0] == o[0]) / 2 for p in positives for o in others)
    auc = wins / len(positives) / len(others) if others else math.nan
    return [dcg / ideal if ideal else math.nan, mrr, found / len(positives), auc]


def mean(values):
    defined = [v for v in values if not math.isnan(v)]
    return sum(defined) / len(defined) if defined else math.nan


def by_query(sample, value, *, catalogue=False):
    """Plain mean over the queries of a value of [(score, gain, positive)], where it is not NaN."""
    return mean([value((whole if catalogue else pairs_of_query)(sample, q)) for q in range(sample.num_queries)])


def pairs_of_query(sample, query):
    return pairs_of(sample, query, catalogue=False)


def groups_of(pairs):
    """[(items, positives)] of equal score, best first."""
    scores = sorted({p[0] for p in pairs}, reverse=True)
    return [(sum(p[0] == s for p in pairs), sum(p[0] == s and p[2] for p in pairs)) for s in scores]


def expected_ranks(pairs, value):
    """Expectation of a value of the ranks of the positives, every order of every tied group tried.

    Groups must be few and small: their combinations are multiplied.
    """
    groups, above, choices = groups_of(pairs), 0, []
    for tied, positive in groups:
        choices.append(list(itertools.combinations(range(above + 1, above + tied + 1), positive)))
        above += tied
    values = [value([rank for ranks in chosen for rank in ranks]) for chosen in itertools.product(*choices)]
    return sum(values) / len(values)


def average_precision(pairs):
    """Expected average precision, group by group: each choice of places of a group's positives is equally likely."""
    positives = sum(p[2] for p in pairs)
    above = before = 0
    total = 0.0
    for tied, positive in groups_of(pairs):
        total += _precisions(above, tied, before, positive)
        above, before = above + tied, before + positive
    return total / positives if positives else math.nan


@lru_cache(maxsize=100_000)
def _precisions(above, tied, before, positive):
    chosen = list(itertools.combinations(range(1, tied + 1), positive))
    return sum(sum((before + i + 1) / (above + j) for i, j in enumerate(places)) for places in chosen) / len(chosen)


def reciprocal_rank(pairs):
    """Expected 1 / rank of the first positive, from numbers of combinations."""
    above = 0
    for tied, positive in groups_of(pairs):
        if positive:
            return sum(
                math.comb(tied - j, positive - 1) / math.comb(tied, positive) / (above + j)
                for j in range(1, tied - positive + 2)
            )
        above += tied
    return math.nan


def hit(pairs, k):
    """Chance of a positive in the first k places, from numbers of combinations."""
    above, missed = 0, 1.0
    for tied, positive in groups_of(pairs):
        places = min(max(k - above, 0), tied)
        missed *= math.comb(tied - positive, places) / math.comb(tied, places)
        above += tied
    return 1 - missed if any(p[2] for p in pairs) else math.nan


def precision(pairs, k):
    above, found = 0, 0.0
    for tied, positive in groups_of(pairs):
        found += positive * min(max(k - above, 0), tied) / tied
        above += tied
    return found / k if pairs else math.nan


def ndcg(pairs, k):
    """Expected nDCG: every place of a tied group holds the mean gain of the group."""
    dcg, above = 0.0, 0
    for score in sorted({p[0] for p in pairs}, reverse=True):
        gains = [p[1] for p in pairs if p[0] == score]
        dcg += sum(sum(gains) / len(gains) / math.log2(r + 2) for r in range(above, above + len(gains)) if r < k)
        above += len(gains)
    return dcg / ideal(pairs, k) if ideal(pairs, k) > 0 else math.nan


def ndcg_best(pairs, k):
    """nDCG where tied items stand by descending gain."""
    ranked = sorted(pairs, key=lambda p: (-p[0], -p[1]))
    dcg = sum(p[1] / math.log2(r + 2) for r, p in enumerate(ranked[:k]))
    return dcg / ideal(pairs, k) if ideal(pairs, k) > 0 else math.nan


def ideal(pairs, k):
    return sum(g / math.log2(r + 2) for r, g in enumerate(sorted((p[1] for p in pairs), reverse=True)[:k]))


# ---- probabilities --------------------------------------------------------------------------------------------------


def observed(sample):
    """[(probability, positive, weight)] of the rows that count."""
    rows = np.flatnonzero(sample.weight_N > 0)
    return [(float(sample.probability_N[n]), bool(sample.positive_N[n]), float(sample.weight_N[n])) for n in rows]


def width_bins(rows, num_bins):
    """{bin: rows} of equal width."""
    bins = {}
    for row in rows:
        bins.setdefault(min(int(row[0] * num_bins), num_bins - 1), []).append(row)
    return bins


def mass_bins(rows, num_bins):
    """{bin: rows}: a distinct probability goes where the middle of its observations falls."""
    total, before, bins = sum(r[2] for r in rows), 0.0, {}
    for p in sorted({r[0] for r in rows}):
        group = [r for r in rows if r[0] == p]
        weight = sum(r[2] for r in group)
        bins.setdefault(int((before + weight / 2) / total * num_bins), []).extend(group)
        before += weight
    return bins


def about(bins):
    """[(weight, mean probability, share positive)] of bins."""
    found = []
    for rows in bins.values():
        weight = sum(r[2] for r in rows)
        found.append((weight, sum(r[2] * r[0] for r in rows) / weight, sum(r[2] for r in rows if r[1]) / weight))
    return found


def share_positive(rows):
    total = sum(r[2] for r in rows)
    return sum(r[2] for r in rows if r[1]) / total if total else math.nan


def log_loss(rows):
    total = sum(r[2] for r in rows)
    clipped = [(min(max(p, 1e-15), 1 - 1e-15), y, w) for p, y, w in rows]
    return -sum(w * math.log(p if y else 1 - p) for p, y, w in clipped) / total if total else math.nan


def brier_parts(rows, num_bins):
    """(reliability, resolution, uncertainty, within), the last from variances and covariances within bins."""
    if not rows:
        return (math.nan,) * 4
    share, total = share_positive(rows), sum(r[2] for r in rows)
    reliability = resolution = within = 0.0
    for group in mass_bins(rows, num_bins).values():
        weight, said, seen = about({0: group})[0]
        reliability += weight / total * (said - seen) ** 2
        resolution += weight / total * (seen - share) ** 2
        within += sum(w * ((p - said) ** 2 - 2 * (p - said) * (y - seen)) for p, y, w in group) / total
    return reliability, resolution, share * (1 - share), within


def ecce(rows):
    """Range of the walk over distinct probabilities."""
    total, walk = sum(r[2] for r in rows), [0.0]
    for p in sorted({r[0] for r in rows}):
        walk.append(walk[-1] + sum(w * (y - p) for q, y, w in rows if q == p))
    return (max(walk) - min(walk)) / total if total else math.nan


def smooth_ece(rows, num_nodes=1001):
    """The fixed point with the kernel as a sum of reflected Gaussians, by a root finder."""
    total = sum(r[2] for r in rows)
    node_G = np.arange(num_nodes) / (num_nodes - 1)
    mass_G = np.zeros(num_nodes)
    for p, y, w in rows:
        lower = min(int(p * (num_nodes - 1)), num_nodes - 2)
        upper = p * (num_nodes - 1) - lower
        mass_G[lower] += (1 - upper) * w * (y - p) / total
        mass_G[lower + 1] += upper * w * (y - p) / total
    own = np.flatnonzero(mass_G)

    def error(width):
        density_G = np.zeros(num_nodes)
        reach = math.ceil(1 + 4 * width)
        for image in range(-reach, reach + 1):
            for centre_M in (2 * image + node_G[own], 2 * image - node_G[own]):
                density_G += np.exp(-(((node_G[:, None] - centre_M) / width) ** 2) / 2) @ mass_G[own]
        return np.trapezoid(np.abs(density_G), node_G) / width / math.sqrt(2 * math.pi)

    if not len(own) or np.abs(mass_G).sum() < 1e-12:  # what rounding leaves of residuals that cancel
        return 0.0 if total else math.nan
    if error(1.0) >= 1 - 1e-12:  # certain and wrong throughout
        return 1.0
    return float(brentq(lambda width: error(width) - width, 1e-4, 1.0, xtol=1e-12))  # pyright: ignore[reportArgumentType]
