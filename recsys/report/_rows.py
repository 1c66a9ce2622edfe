"""From the tables of an evaluation to the sample of one target: ids become numbers once, for every metric and slice.

Shapes: N labelled rows, Q queries with at least one of them.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.metric import Sample, Unit
from recsys.report._evaluation import Evaluation
from recsys.scorer import output_for
from recsys.tables import INCLUSION

SPLIT_ORDER = ("all", "train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class TargetRows:
    """The labelled rows of one target on one split, with where each comes from."""

    sample: Sample
    query_ids: list[str]  # Q, ascending
    query_Q: np.ndarray  # int64: row of `evaluation.queries`, -1 where it is not there
    item_N: np.ndarray  # int64: row of `evaluation.items`, -1 where it is not there
    labels: pa.Table  # the N rows of `evaluation.calibrated`, in the order of the sample

    def probability_from(self, column: str) -> Sample:
        """The same sample with another probability: 'uncalibrated' or 'probability'."""
        return replace(self.sample, probability_N=_floats(self.labels[column]))


@dataclass(frozen=True)
class Part:
    """Some rows of a sample, and what is in them."""

    sample: Sample

    @cached_property
    def num_pairs(self) -> int:
        """Distinct pairs."""
        seen = self.sample.weight_N > 0
        query_N, item_N = self.sample.query_N[seen], self.sample.item_N[seen]
        return len(np.unique(query_N * (int(item_N.max(initial=0)) + 1) + item_N))

    @cached_property
    def num_queries(self) -> dict[str, int]:
        """How many queries have a row, something that gains, a positive, a positive and a negative ('both'); and how
        many carry the rarer of positive and negative ('classes'): what a metric of rows of any query rests on."""
        sample, seen_N = self.sample, self.sample.weight_N > 0
        kinds = (seen_N, seen_N & (sample.gain_N > 0), seen_N & sample.positive_N, seen_N & ~sample.positive_N)
        row_Q, gain_Q, positive_Q, negative_Q = (
            np.bincount(sample.query_N[kind_N], minlength=sample.num_queries) > 0 for kind_N in kinds
        )
        found = {"row": row_Q, "gain": gain_Q, "positive": positive_Q, "both": positive_Q & negative_Q}
        counted = {name: int(has_Q.sum()) for name, has_Q in found.items()}
        return counted | {"classes": min(counted["positive"], int(negative_Q.sum()))}


def splits(evaluation: Evaluation) -> list[str]:
    """The splits with overall figures, the headline's first: all of them when the model saw labels."""
    others = [s for s in SPLIT_ORDER[1:] if s != evaluation.split] if evaluation.learned else []
    return [evaluation.split, *others]


def rows(evaluation: Evaluation, target: str, split: str) -> TargetRows:
    """The labelled rows of `target` whose query is in `split` ('all': every split), ordered by query, item, label.

    Raises ValueError if ranks are given and a labelled pair has none, and for a score, probability, weight or label
    that is none.
    """
    labels = evaluation.calibrated.filter(pc.equal(evaluation.calibrated["target"], target))
    if split != "all":
        labels = labels.filter(pc.equal(labels["split"], split))
    labels = labels.sort_by([("query_id", "ascending"), ("item_id", "ascending"), ("label", "ascending")])
    query_ids, query_N = np.unique(_strings(labels["query_id"]), return_inverse=True)
    item_ids, item_N = np.unique(_strings(labels["item_id"]), return_inverse=True)
    label_N = _floats(labels["label"])
    noun = evaluation.targets[target]
    _check(labels, target, noun.outside(label_N))
    positive_N, weight_N = np.asarray(noun.positive(label_N), bool), _floats(labels["weight"])
    drawn = INCLUSION in labels.column_names
    above_N, tied_N, total_N = _ranks(evaluation, target, labels, query_ids, query_N, item_ids, item_N)
    sample = Sample(
        num_queries=len(query_ids),
        query_N=query_N.astype(np.int64),
        item_N=item_N.astype(np.int64),
        score_N=labels["score"].to_numpy().astype(np.float32),
        probability_N=_floats(labels["probability"]),
        positive_N=positive_N,
        gain_N=np.asarray(noun.gain(label_N), np.float64),
        weight_N=weight_N,
        above_N=above_N,
        tied_N=tied_N,
        total_N=total_N,
        grade_N=np.rint(label_N).astype(np.int64) if noun.num_grades() else None,
        unit=Unit.of(weight_N, _floats(labels[INCLUSION]), positive_N) if drawn else Unit(),
    )
    return TargetRows(
        sample=sample,
        query_ids=[str(q) for q in query_ids],
        query_Q=_where(query_ids, evaluation.queries["query_id"]),
        item_N=_where(item_ids, evaluation.items["item_id"])[item_N],
        labels=labels,
    )


def _check(labels: pa.Table, target: str, outside_N: np.ndarray) -> None:
    """Raises ValueError for the first row with a score, probability, weight or label that is no such thing."""
    probability_N = _floats(labels["probability"])
    wrong = {
        "score": (~np.isfinite(_floats(labels["score"])), "a finite number"),
        "probability": (~((probability_N >= 0) & (probability_N <= 1)), "between 0 and 1"),
        "weight": (~((_floats(labels["weight"]) >= 0) & np.isfinite(_floats(labels["weight"]))), "finite, at least 0"),
        "label": (outside_N, "one that the target allows"),
    }
    for name, (wrong_N, right) in wrong.items():
        if wrong_N.any():
            row = int(np.flatnonzero(wrong_N)[0])
            pair = f"query {labels['query_id'][row].as_py()!r}, item {labels['item_id'][row].as_py()!r}"
            raise ValueError(
                f"{name} {labels[name][row].as_py()} of target '{target}' ({pair}, {int(wrong_N.sum())} of "
                f"{len(wrong_N)} rows) must be {right}"
            )


def _ranks(evaluation, target, labels, query_ids, query_N, item_ids, item_N):
    """above_N, tied_N, total_N of the labelled rows, or three times None where the catalogue was not scored."""
    if evaluation.ranks.num_rows == 0 or labels.num_rows == 0:
        return None, None, None
    ranks = evaluation.ranks
    ranks = ranks.filter(pc.equal(ranks["output"], output_for(target, evaluation.outputs)))
    query_R, item_R = _where(_strings(ranks["query_id"]), query_ids), _where(_strings(ranks["item_id"]), item_ids)
    known_R = (query_R >= 0) & (item_R >= 0)
    key_R = query_R[known_R] * len(item_ids) + item_R[known_R]
    order = np.argsort(key_R, kind="stable")
    key_N = query_N * len(item_ids) + item_N
    place_N = np.searchsorted(key_R[order], key_N)
    found_N = place_N < len(key_R)
    found_N[found_N] = key_R[order][place_N[found_N]] == key_N[found_N]
    if not found_N.all():
        row = int(np.flatnonzero(~found_N)[0])
        raise ValueError(
            f"ranks lack {int((~found_N).sum())} of {len(found_N)} labelled pairs of target '{target}' "
            f"(first: query {query_ids[query_N[row]]!r}, item {item_ids[item_N[row]]!r}); score them again"
        )
    taken = np.flatnonzero(known_R)[order][place_N]
    return tuple(ranks[n].to_numpy()[taken].astype(np.int64) for n in ("num_above", "num_tied", "num_items"))


def _where(ids: np.ndarray, known: pa.ChunkedArray | np.ndarray) -> np.ndarray:
    """int64: position of each id among the known ones, -1 where it is not there."""
    value_set = known.combine_chunks() if isinstance(known, pa.ChunkedArray) else pa.array(known, pa.string())
    return pc.fill_null(pc.index_in(pa.array(ids, pa.string()), value_set=value_set), -1).to_numpy().astype(np.int64)


def _strings(array: pa.ChunkedArray) -> np.ndarray:
    return array.to_numpy().astype(object)


def _floats(array: pa.ChunkedArray) -> np.ndarray:
    return array.to_numpy().astype(np.float64)
