"""Random samples with everything that goes wrong: ties, weights, single classes, empty queries and single rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from recsys.metric import Sample


def each(numbers: Iterable[int]) -> Callable[[Callable[[int], None]], Callable[[], None]]:
    """Runs a check on every number within one test."""

    def decorate(check: Callable[[int], None]) -> Callable[[], None]:
        def test() -> None:
            for number in numbers:
                check(number)

        return test

    return decorate


def make(
    query: Sequence[int],
    score: Sequence[float],
    gain: Sequence[float],
    *,
    item: Sequence[int] | None = None,
    weight: Sequence[float] | None = None,
    probability: Sequence[float] | None = None,
    num_queries: int | None = None,
) -> Sample:
    """A sample by hand; positive where something gains."""
    count = len(query)
    return Sample(
        num_queries=max(query, default=-1) + 1 if num_queries is None else num_queries,
        query_N=np.array(query, np.int64),
        item_N=np.arange(count) if item is None else np.array(item, np.int64),
        score_N=np.array(score, np.float32),
        probability_N=np.full(count, 0.5) if probability is None else np.array(probability, np.float64),
        positive_N=np.array(gain) > 0,
        gain_N=np.array(gain, np.float64),
        weight_N=np.ones(count) if weight is None else np.array(weight, np.float64),
    )


def draw(seed: int, *, weighted: bool = True, repeated: bool = True) -> Sample:
    """Up to 8 queries of up to 12 items of a catalogue of 15; many ties; with `repeated` several labels per pair."""
    rng = np.random.default_rng(seed)
    num_queries, num_items = int(rng.integers(1, 9)), 15
    rate = rng.choice([0.0, 0.2, 0.5, 1.0])
    levels = int(rng.choice([1, 2, 4, 1000]))
    score_QI = rng.integers(0, levels, (num_queries, num_items)).astype(np.float32) / 4 - 1
    query, item, gain = [], [], []
    for q in range(num_queries):
        for i in rng.permutation(num_items)[: rng.integers(0, 13)]:
            for _ in range(int(rng.integers(1, 4)) if repeated else 1):
                query.append(q)
                item.append(int(i))
                gain.append(float(rng.integers(1, 4)) if rng.random() < rate else 0.0)
    query_N, item_N, gain_N = np.array(query, np.int64), np.array(item, np.int64), np.array(gain)
    score_N = score_QI[query_N, item_N]
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], len(query), p=[0.1, 0.2, 0.5, 0.2]) if weighted else np.ones(len(query))
    return Sample(
        num_queries=num_queries,
        query_N=query_N,
        item_N=item_N,
        score_N=score_N,
        probability_N=rng.choice([0.0, 0.1, 0.3, 0.31, 0.5, 1.0, rng.random()], len(query)),
        positive_N=gain_N > 0,
        gain_N=gain_N,
        weight_N=weight,
        above_N=(score_QI[query_N] > score_N[:, None]).sum(axis=1),
        tied_N=(score_QI[query_N] == score_N[:, None]).sum(axis=1),
        total_N=np.full(len(query), num_items),
    )


def shuffle(sample: Sample, seed: int) -> Sample:
    """The same rows in another order within each query."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(sample)), sample.query_N))
    rows = {n: v[order] for n, v in vars(sample).items() if isinstance(v, np.ndarray)}
    return replace(sample, **rows)


def ones(sample: Sample) -> np.ndarray:
    """The weighting of the estimate alone."""
    return np.ones((sample.num_queries, 1))


def weightings(sample: Sample, seed: int, num: int = 5) -> np.ndarray:
    """The estimate and some integer reweightings of the queries."""
    weight_QR = np.random.default_rng(seed).integers(0, 3, (sample.num_queries, num)).astype(np.float64)
    weight_QR[:, 0] = 1
    return weight_QR


def repeat(sample: Sample, weight_Q: np.ndarray) -> Sample:
    """The sample that a weighting with whole numbers means: each query as often as its weight says."""
    rows: list[np.ndarray] = []
    query: list[np.ndarray] = []
    for q, times in enumerate(weight_Q.astype(int)):
        row = np.flatnonzero(sample.query_N == q)
        for _ in range(times):
            query.append(np.full(len(row), len(rows)))
            rows.append(row)
    row_N = np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int64)
    columns = {n: v[row_N] for n, v in vars(sample).items() if isinstance(v, np.ndarray)}
    columns["query_N"] = np.concatenate([*query, np.zeros(0, np.int64)]).astype(np.int64)
    return replace(sample, num_queries=len(rows), **columns)
