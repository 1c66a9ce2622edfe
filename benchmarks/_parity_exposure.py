"""Parity of what is shown and of what happens at each position: against plain loops and SciPy."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import entropy, false_discovery_control

from benchmarks._parity import Parity, apart
from benchmarks._parity_ranking import EXACT
from recsys.metric import compare, coverage, position
from tests.metric import naive


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Lists of items of some queries, of which some show nothing or a single item."""

    num_queries: int
    num_items: int
    lists: list[list[int]]
    popularity: list[float]
    group: list[int]

    def codes(self) -> tuple[np.ndarray, np.ndarray]:
        """(query_T, item_T)."""
        pairs = [(q, i) for q, items in enumerate(self.lists) for i in items]
        return np.array([q for q, _ in pairs], np.int64), np.array([i for _, i in pairs], np.int64)


def draw(seed: int) -> Shown:
    """A catalogue of up to 20 items, up to 7 lists of up to 6 of them."""
    rng = np.random.default_rng(seed)
    num_items, num_queries = int(rng.integers(1, 21)), int(rng.integers(1, 8))
    most = min(num_items, 6)
    return Shown(
        num_queries=num_queries,
        num_items=num_items,
        lists=[rng.permutation(num_items)[: rng.integers(0, most + 1)].tolist() for _ in range(num_queries)],
        popularity=rng.choice([0.0, 1.0, 2.5, 40.0], num_items).tolist(),
        group=rng.integers(-1, 3, num_items).tolist(),
    )


def _counts(shown: Shown) -> list[int]:
    return [sum(i in items for items in shown.lists) for i in range(shown.num_items)]


def _gini(shown: Shown) -> float:
    count = _counts(shown)
    apart_ = sum(abs(a - b) for a in count for b in count)
    return apart_ / (2 * len(count) * sum(count)) if sum(count) else math.nan


def _entropy(shown: Shown) -> float:
    count = _counts(shown)
    return float(entropy(count)) / math.log(len(count)) if sum(count) and len(count) > 1 else math.nan


def _top_share(shown: Shown) -> float:
    count = sorted(_counts(shown), reverse=True)
    return sum(count[: max(1, round(0.2 * len(count)))]) / sum(count) if sum(count) else math.nan


def _bias(shown: Shown) -> float:
    average = sum(shown.popularity) / shown.num_items
    if not average:
        return math.nan
    return naive.mean([sum(shown.popularity[i] for i in x) / len(x) / average for x in shown.lists if x])


def _novelty(shown: Shown) -> float:
    total = sum(p + 1 for p in shown.popularity)
    return naive.mean(
        [sum(-math.log2((shown.popularity[i] + 1) / total) for i in x) / len(x) for x in shown.lists if x]
    )


def _diversity(shown: Shown) -> float:
    values = []
    for items in shown.lists:
        pairs = list(itertools.combinations([shown.group[i] for i in items if shown.group[i] >= 0], 2))
        values.append(sum(a != b for a, b in pairs) / len(pairs) if pairs else math.nan)
    return naive.mean(values)


def _case(name: str, ours: Callable[[Shown], float], theirs: Callable[[Shown], float], reference: str) -> Parity:
    def difference(seed: int) -> float:
        shown = draw(seed)
        return apart(ours(shown), theirs(shown))

    return Parity(name=name, reference=reference, tolerance=EXACT, difference=difference)


def _of_items(metric: Callable[..., float], *further: float) -> Callable[[Shown], float]:
    return lambda shown: metric(shown.codes()[1], shown.num_items, *further)


def _of_lists(metric: Callable[..., np.ndarray], column: str) -> Callable[[Shown], float]:
    def value(shown: Shown) -> float:
        value_Q = metric(*shown.codes(), np.array(getattr(shown, column)), shown.num_queries)
        return float(coverage.mean_over_queries(value_Q, np.ones((shown.num_queries, 1)))[0])

    return value


def _rates(seed: int) -> float:
    """Largest difference of the CVR at any position from counting clicks and purchases one by one."""
    rng = np.random.default_rng(seed)
    count, num_queries = int(rng.integers(0, 60)), int(rng.integers(1, 6))
    query_N, position_N = rng.integers(0, num_queries, count), rng.integers(1, 7, count)
    click_N = rng.random(count) < 0.4
    bought_N = click_N & (rng.random(count) < 0.5)
    weight_Q = rng.choice([0.0, 1.0, 2.0], num_queries)
    made = position.rates(
        query_N=query_N,
        position_N=position_N,
        exposed_N=click_N,
        happened_N=bought_N,
        weight_QR=weight_Q[:, None],
        deepest=5,
    )
    differences = [0.0]
    for place, value in zip(made.position_P, made.value_PR[:, 0], strict=True):
        rows = [n for n in range(count) if min(position_N[n], 5) == place]
        clicks = sum(weight_Q[query_N[n]] for n in rows if click_N[n])
        bought = sum(weight_Q[query_N[n]] for n in rows if bought_N[n])
        differences.append(apart(float(value), float(bought / clicks) if clicks else math.nan))
    return max(differences)


def _false_discovery(seed: int) -> float:
    rng = np.random.default_rng(seed)
    p_S = np.round(rng.random(int(rng.integers(1, 30))) ** rng.choice([1.0, 4.0]), 2)
    return float(np.abs(compare.false_discovery(p_S) - false_discovery_control(p_S)).max())


LOOPS = "loops over items and lists"
CASES = [
    _case("coverage", _of_items(coverage.coverage), lambda s: sum(c > 0 for c in _counts(s)) / s.num_items, LOOPS),
    _case("gini", _of_items(coverage.gini), _gini, "mean absolute difference of all pairs of items"),
    _case("entropy", _of_items(coverage.entropy), _entropy, "SciPy entropy"),
    _case("top share", _of_items(coverage.top_share, 0.2), _top_share, LOOPS),
    _case("popularity_bias", _of_lists(coverage.popularity_bias, "popularity"), _bias, LOOPS),
    _case("novelty", _of_lists(coverage.novelty, "popularity"), _novelty, LOOPS),
    _case("diversity", _of_lists(coverage.diversity, "group"), _diversity, LOOPS),
    Parity(name="rate by position", reference="counting one by one", tolerance=EXACT, difference=_rates),
    Parity(
        name="false discovery rate",
        reference="SciPy false_discovery_control",
        tolerance=EXACT,
        difference=_false_discovery,
    ),
]
