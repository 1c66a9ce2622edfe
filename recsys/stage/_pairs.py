"""Labelled pairs as a network is trained on them: one row per pair, one label per target.

Shapes: P pairs, T targets.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.stage._corpus import Corpus
from recsys.target import Target


@dataclass(frozen=True, kw_only=True)
class LabelledPairs:
    """Texts by reference, labels in [0, 1], NaN where a pair has no label of a target."""

    outputs: tuple[str, ...]  # T
    query_texts: pa.ChunkedArray
    item_texts: pa.ChunkedArray
    pair_P2: np.ndarray  # query row, item row; sorted
    label_PT: np.ndarray  # float64, weighted mean of the pair's labels
    weight_PT: np.ndarray  # float64, number of observations

    def __len__(self) -> int:
        return len(self.pair_P2)

    def texts(self, chosen: np.ndarray) -> tuple[list[str], list[str]]:
        """Query and item texts of some pairs."""
        query_B, item_B = self.pair_P2[chosen].T
        queries, items = self.query_texts.take(pa.array(query_B)), self.item_texts.take(pa.array(item_B))
        return queries.to_pylist(), items.to_pylist()


def labelled_pairs(corpus: Corpus, targets: dict[str, Target], split: str) -> LabelledPairs:
    """The labelled pairs whose query is in `split`; outputs are the targets that have a train label at all."""
    queries = corpus.table("queries", ["query_id", "text", "split"])
    items = corpus.table("items", ["item_id", "text"])
    labels = corpus.table("labels", ["query_id", "item_id", "target", "label", "weight"])
    query_row_N = pc.index_in(labels["query_id"], value_set=queries["query_id"].combine_chunks()).to_numpy()
    item_row_N = pc.index_in(labels["item_id"], value_set=items["item_id"].combine_chunks()).to_numpy()
    split_N = queries["split"].take(pa.array(query_row_N))
    in_train = pc.unique(labels["target"].filter(pc.equal(split_N, "train"))).to_pylist()
    outputs = tuple(name for name in targets if name in in_train)
    chosen_N = pc.and_(pc.equal(split_N, split), pc.is_in(labels["target"], value_set=pa.array(outputs, pa.string())))
    chosen = chosen_N.to_numpy()
    key_N2 = np.stack([query_row_N, item_row_N], axis=1).astype(np.int64)[chosen]
    pair_P2, pair_N = np.unique(key_N2, axis=0, return_inverse=True)
    target_N = labels["target"].to_numpy()[chosen]
    label_N, weight_N = labels["label"].to_numpy()[chosen], labels["weight"].to_numpy()[chosen]
    label_PT, weight_PT = np.zeros((len(pair_P2), len(outputs))), np.zeros((len(pair_P2), len(outputs)))
    for t, name in enumerate(outputs):
        mine = target_N == name
        unit_N = targets[name].unit(label_N[mine])
        weight_PT[:, t] = np.bincount(pair_N[mine], weight_N[mine], len(pair_P2))
        label_PT[:, t] = np.bincount(pair_N[mine], weight_N[mine] * unit_N, len(pair_P2))
    with np.errstate(invalid="ignore"):
        label_PT /= weight_PT  # no observation: 0 / 0, NaN
    return LabelledPairs(
        outputs=outputs,
        query_texts=queries["text"],
        item_texts=items["text"],
        pair_P2=pair_P2,
        label_PT=label_PT,
        weight_PT=weight_PT,
    )
