"""What the first places of a few queries look like: the part of a report that needs no statistics to be read."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import seed
from recsys.report._evaluation import Evaluation
from recsys.scorer import output_for

LONGEST = 300  # characters of a text that are shown


@dataclass(frozen=True, kw_only=True)
class Place:
    """One item at its rank; label and probability where the pair is labelled."""

    rank: int
    item: str
    score: float
    label: float | None
    probability: float | None


@dataclass(frozen=True, kw_only=True)
class Example:
    """A query and its first places."""

    query: str
    places: tuple[Place, ...]


def examples(evaluation: Evaluation, target: str, *, num_queries: int, num_places: int) -> list[Example]:
    """Queries drawn by a hash from those of the main split with labels; of the labelled items where no others are
    scored."""
    labels = evaluation.calibrated.filter(pc.equal(evaluation.calibrated["target"], target))
    if evaluation.split != "all":
        labels = labels.filter(pc.equal(labels["split"], evaluation.split))
    ids = sorted(set(labels["query_id"].to_pylist()))
    if not ids:
        return []
    hash_Q = seed.hash_ids(ids, seed.seed(evaluation.seed, "report", "examples"))
    drawn = [ids[q] for q in np.argsort(hash_Q, kind="stable")[:num_queries]]
    wanted = pa.array(drawn, pa.string())
    labels = labels.filter(pc.is_in(labels["query_id"], value_set=wanted))
    known: dict[tuple[str, str], dict] = {}
    for row in labels.sort_by([("weight", "ascending"), ("label", "ascending")]).to_pylist():
        known[row["query_id"], row["item_id"]] = row
    top = evaluation.top.filter(pc.equal(evaluation.top["output"], output_for(target, evaluation.outputs)))
    top = top.filter(pc.and_(pc.is_in(top["query_id"], value_set=wanted), pc.less_equal(top["rank"], num_places)))
    ranked: dict[str, list[tuple[str, float]]] = {query_id: [] for query_id in drawn}
    for row in top.sort_by([("query_id", "ascending"), ("rank", "ascending")]).to_pylist():
        ranked[row["query_id"]].append((row["item_id"], row["score"]))
    for query_id, places in ranked.items():
        if not places:
            own = [(r["score"], r["item_id"]) for (q, _), r in known.items() if q == query_id]
            own.sort(key=lambda pair: (-pair[0], pair[1]))
            places += [(item_id, score) for score, item_id in own[:num_places]]
    query_names = names_of(evaluation.queries, "query_id", set(drawn))
    item_names = names_of(evaluation.items, "item_id", {item_id for places in ranked.values() for item_id, _ in places})
    return [
        Example(
            query=query_names.get(query_id, query_id),
            places=tuple(
                Place(
                    rank=rank,
                    item=item_names.get(item_id, item_id),
                    score=score,
                    label=known.get((query_id, item_id), {}).get("label"),
                    probability=known.get((query_id, item_id), {}).get("probability"),
                )
                for rank, (item_id, score) in enumerate(places, start=1)
            ),
        )
        for query_id, places in ranked.items()
    ]


def names_of(table: pa.Table, key: str, ids: set[str]) -> dict[str, str]:
    """Id -> title, else text."""
    columns = [n for n in ("title", "text") if n in table.column_names]
    rows = table.filter(pc.is_in(table[key], value_set=pa.array(sorted(ids), pa.string()))).select([key, *columns])
    named = ((row[key], next((row[n] for n in columns if row[n]), None)) for row in rows.to_pylist())
    return {row_id: name if len(name) <= LONGEST else f"{name[:LONGEST]}…" for row_id, name in named if name}
