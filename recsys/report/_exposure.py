"""Which part of the catalogue the first k places show. Needs no labels.

Shapes: T places (query, rank), I items, G groups of items, Q queries, R weightings.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc

from recsys.metric import bootstrap, coverage
from recsys.report._chart import ExposureCurve
from recsys.report._evaluation import Evaluation, Record
from recsys.report._slicing import item_popularity, popularity, popularity_source
from recsys.scorer import output_for

COVERAGE = (
    "Share of the catalogue that is among the first {k} of at least one query. No interval: fewer queries show less."
)
GINI = "Gini coefficient of how often items are among the first {k}: 0 if all equally often, near 1 if few take all."
TOP_SHARE = (
    "Share of the first {k} places taken by the items shown most often: 1 % of the catalogue, at least one item; here "
    "{top} of {items}, which is {share:.2g} %."
)
ENTROPY = "Entropy of how often items are among the first {k}, over that of all items equally often (Pielou, 1966)."
BIAS = (
    "Mean popularity of the first {k} items of a query over that of the catalogue, mean over queries: 1 is no bias "
    "(Abdollahpouri et al., 2019)."
)
NOVELTY = (
    "Mean self-information of the first {k} items of a query, -log2 of their share of all popularity (one added to "
    "each), in bits, mean over queries (Zhou et al., 2010)."
)
DIVERSITY = "Share of the pairs of the first {k} items of a query from different categories (Smyth & McClave, 2001)."
TOP = 0.01  # of the catalogue
EXPOSURE = "Share of the first {k} places that show items of this part of the catalogue, by popularity."
SIZE = "Share of the catalogue that lies in this part, by popularity."


def records(evaluation: Evaluation, k: int, num_replicates: int, seed: int) -> list[Record]:
    """Coverage, concentration and share of exposure of each target's output, over all queries scored."""
    return [r for target in evaluation.targets for r in _of_target(evaluation, target, k, num_replicates, seed)]


def curves(evaluation: Evaluation, k: int) -> Iterator[ExposureCurve]:
    """The Lorenz curve of each target's output."""
    for target in evaluation.targets:
        _, item_T = _places(evaluation, target, k)
        if len(item_T) == 0:
            continue
        places_I = coverage.lorenz(item_T, evaluation.items.num_rows)
        items_I = np.linspace(0.0, 1.0, len(places_I))
        kept = np.unique(np.round(np.linspace(0.0, 1.0, 61) ** 2 * (len(places_I) - 1)).astype(np.int64))
        yield ExposureCurve(
            target=target, k=k, items=tuple(items_I[kept].tolist()), places=tuple(places_I[kept].tolist())
        )


def _of_target(evaluation: Evaluation, target: str, k: int, num_replicates: int, seed: int) -> list[Record]:
    query_ids, query_T, item_T = grouped(evaluation, target, k)
    num_items = evaluation.items.num_rows
    if len(item_T) == 0 or num_items == 0:
        return []

    def record(metric: str, definition: str, where: str, value: float, low=None, high=None) -> Record:
        return Record(
            report="balanced",
            target=target,
            split="all",
            metric=metric,
            definition=definition,
            slice=where,
            value=value,
            low=low,
            high=high,
            num_queries=len(query_ids),
            num_pairs=len(item_T),
        )

    made = [
        record(f"coverage@{k}", COVERAGE.format(k=k), "overall", coverage.coverage(item_T, num_items)),
        record(f"gini@{k}", GINI.format(k=k), "overall", coverage.gini(item_T, num_items)),
        record(f"top 1 % exposure@{k}", _of_top(k, num_items), "overall", coverage.top_share(item_T, num_items, TOP)),
        record(f"entropy@{k}", ENTROPY.format(k=k), "overall", coverage.entropy(item_T, num_items)),
    ]
    weight_QR = bootstrap.poisson_weights(query_ids, num_replicates, seed)
    for metric, definition, scale, value_Q in _of_lists(evaluation, query_T, item_T, len(query_ids)):
        value_R = coverage.mean_over_queries(value_Q, weight_QR)
        value, low, high = bootstrap.interval(value_R, 0.95, num_queries=int(np.isfinite(value_Q).sum()), scale=scale)
        if np.isfinite(value):
            ends = (low, high) if np.isfinite(low + high) else (None, None)
            made.append(record(f"{metric}@{k}", definition.format(k=k), "overall", value, *ends))
    parts = popularity(evaluation)
    if isinstance(parts, str):
        return made
    (names, part_I), source = parts, popularity_source(evaluation)
    num_QG = np.zeros((len(query_ids), len(names)))
    np.add.at(num_QG, (query_T, part_I[item_T]), 1.0)
    total_R = weight_QR.T @ num_QG.sum(axis=1)
    for part in np.unique(part_I):
        name = names[part]
        share_R = np.divide(
            weight_QR.T @ num_QG[:, part], total_R, out=np.full(len(total_R), np.nan), where=total_R > 0
        )
        value, low, high = bootstrap.interval(share_R, 0.95, num_queries=len(query_ids), scale="logit")
        ends = (low, high) if np.isfinite(low + high) else (None, None)
        made.append(record(f"exposure@{k}", f"{EXPOSURE.format(k=k)} {source}", f"popularity={name}", value, *ends))
        size = float((part_I == part).mean())
        made.append(record("catalogue share", f"{SIZE} {source}", f"popularity={name}", size))
    return made


def _of_top(k: int, num_items: int) -> str:
    top = coverage.num_top(num_items, TOP)
    return TOP_SHARE.format(k=k, top=top, items=num_items, share=100 * top / num_items)


def _of_lists(evaluation: Evaluation, query_T: np.ndarray, item_T: np.ndarray, num_queries: int) -> Iterator[tuple]:
    """(metric, definition, scale of its interval, value_Q) of what each query shows."""
    popularity_I, source = item_popularity(evaluation), popularity_source(evaluation)
    if np.isfinite(popularity_I).all() and (popularity_I >= 0).all():
        yield (
            "popularity_bias",
            f"{BIAS} {source}",
            "log",
            coverage.popularity_bias(query_T, item_T, popularity_I, num_queries),
        )
        yield "novelty", f"{NOVELTY} {source}", "log", coverage.novelty(query_T, item_T, popularity_I, num_queries)
    if "category" in evaluation.items.column_names:
        codes = pc.dictionary_encode(evaluation.items["category"].combine_chunks()).indices
        group_I = pc.fill_null(codes, -1).to_numpy().astype(np.int64)
        yield "diversity", DIVERSITY, "logit", coverage.diversity(query_T, item_T, group_I, num_queries)


def _places(evaluation: Evaluation, target: str, k: int) -> tuple[np.ndarray, np.ndarray]:
    """query id and item row of the first k places; items that are not in the catalogue are left out."""
    top = evaluation.top.filter(pc.equal(evaluation.top["output"], output_for(target, evaluation.outputs)))
    top = top.filter(pc.less_equal(top["rank"], k))
    item_T = pc.index_in(top["item_id"], value_set=evaluation.items["item_id"].combine_chunks())
    item_T = pc.fill_null(item_T, -1).to_numpy().astype(np.int64)
    return top["query_id"].to_numpy().astype(object)[item_T >= 0], item_T[item_T >= 0]


def grouped(evaluation: Evaluation, target: str, k: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(query ids, query_T, item_T) of the first k places; items are rows of the catalogue."""
    query, item_T = _places(evaluation, target, k)
    query_ids, query_T = np.unique(query.astype(str), return_inverse=True)
    return [str(q) for q in query_ids], query_T, item_T
