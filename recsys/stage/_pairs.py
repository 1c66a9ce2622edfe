"""Labelled pairs as a network is trained on them: one row per pair, one label per target.

Shapes: P pairs, T targets, N further pairs.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.stage._corpus import Corpus
from recsys.store import Folder
from recsys.target import Target

LESSONS = "lessons.parquet"  # soft labels of a teacher, among the progress of a training


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

    def joined(self, pair_N2: np.ndarray, label_NT: np.ndarray, weight_NT: np.ndarray) -> "LabelledPairs":
        """These and further observations. A pair in both has the weighted mean as its label and the sum as its weight,
        which cross-entropy, linear in the label, counts as it would count the two one by one."""
        stride = len(self.item_texts)
        keys = np.concatenate([self.pair_P2 @ (stride, 1), pair_N2 @ (stride, 1)])
        key_P, at = np.unique(keys, return_inverse=True)
        weight_PT, label_PT = np.zeros((2, len(key_P), len(self.outputs)))
        for t in range(len(self.outputs)):
            weight = np.concatenate([self.weight_PT[:, t], weight_NT[:, t]])
            label = np.concatenate([self.label_PT[:, t], label_NT[:, t]])
            weight_PT[:, t] = np.bincount(at, weight, len(key_P))
            label_PT[:, t] = np.bincount(at, weight * np.where(weight > 0, label, 0), len(key_P))
        with np.errstate(invalid="ignore"):
            label_PT /= weight_PT
        pair_P2 = np.stack(np.divmod(key_P, stride), axis=1)
        return replace(self, pair_P2=pair_P2, label_PT=label_PT, weight_PT=weight_PT)


def with_lessons(pairs: LabelledPairs, folder: Folder) -> LabelledPairs:
    """The pairs, and those of a teacher's lessons if the folder has any."""
    if not folder.exists(LESSONS):
        return pairs
    lessons = folder.read_table(LESSONS)
    pair_N2 = np.stack([lessons["query_row"].to_numpy(), lessons["item_row"].to_numpy()], axis=1)
    label_NT = np.stack([lessons[f"label_{output}"].to_numpy() for output in pairs.outputs], axis=1)
    weight_NT = np.broadcast_to(lessons["weight"].to_numpy()[:, None], label_NT.shape)
    return pairs.joined(pair_N2, label_NT, weight_NT)


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
