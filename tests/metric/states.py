"""Samples cut into slices and counted into states, beside the exact metrics of the same rows."""

from dataclasses import replace

import numpy as np

from recsys.metric import Sample
from recsys.metric.state import ADDED, Cut, Layout, State
from recsys.metric.state_builder import Builder
from recsys.metric.state_grid import PREFIX_BITS, Grid
from recsys.seed import hash_ids

SEED = 5
CUTS = (
    Cut(column="kind", axis="query", values=("a", "b", "c")),
    Cut(column="brand", axis="item", values=("x", "y")),
    Cut(column="grade", axis="label", values=("0", "1", "2", "3")),
)


def by_bits(bits: int = 12, coarse_bits: int = 8) -> Grid:
    """Cells by the upper bits of the key alone, known without any row."""
    cell_C = np.arange(1 << bits)
    return Grid(cell_C << (PREFIX_BITS - bits), cell_C >> (bits - coarse_bits))


def same_bits(one: State, other: State) -> bool:
    names = (*ADDED, "single_C", "query_hash_Q")
    same = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
    return same and one.layout.told() == other.layout.told()


def layout(grid: Grid | None = None, *, k: int = 3, num_groups: int = 16) -> Layout:
    grid = by_bits(12, 7) if grid is None else grid
    return Layout(cuts=CUTS, grid=grid, num_groups=num_groups, num_bins=15, k=k, seed=SEED)


def codes(sample: Sample, seed: int) -> dict[str, np.ndarray]:
    """Slices of queries, of items, and by the gain of the row."""
    rng = np.random.default_rng(seed)
    brand_I = rng.integers(0, 2, int(sample.item_N.max(initial=0)) + 1)
    return {
        "kind": rng.integers(0, 3, sample.num_queries),
        "brand": brand_I[sample.item_N],
        "grade": sample.gain_N.astype(np.int64),
    }


def masks(sample: Sample, codes: dict[str, np.ndarray]) -> list[np.ndarray]:
    """mask_N of every slice of the layout."""
    found = [np.ones(len(sample), bool)]
    for cut in CUTS:
        code = codes[cut.column]
        code_N = code[sample.query_N] if cut.axis == "query" else code
        found += [code_N == value for value in range(len(cut.values))]
    return found


def hashes(queries: np.ndarray) -> np.ndarray:
    return hash_ids([f"query {q}" for q in queries], SEED)


def count(sample: Sample, codes: dict[str, np.ndarray], layout: Layout, query_Q: np.ndarray | None = None) -> State:
    """The state of the rows of some queries, as one shard."""
    query_Q = np.arange(sample.num_queries) if query_Q is None else np.sort(query_Q)
    mask_N = np.isin(sample.query_N, query_Q)
    part = sample.select(mask_N)
    rows = {n: v for n, v in vars(part).items() if isinstance(v, np.ndarray)}
    rows["query_N"] = np.searchsorted(query_Q, part.query_N)
    part = replace(part, num_queries=len(query_Q), **rows)
    chosen = {n: c[query_Q] if n == "kind" else c[mask_N] for n, c in codes.items()}
    builder = Builder(layout)
    builder.add(part, hashes(query_Q), chosen)
    return builder.state()
