"""Cross-validation of models over queries: what is trained, on what, and the scores that are kept.

Shapes: P judged pairs, Q queries.
"""

import json
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from recsys import seed as seeds
from recsys.metric import Sample
from recsys.model import Supervised, Unsupervised
from recsys.scorer import Scorer
from recsys.stage._corpus import Corpus
from recsys.stage._learner import Learner
from recsys.stage._pairs import LabelledPairs, labelled_pairs
from recsys.stage.prepare import prepare
from recsys.target import Target
from tests.compose import job

FOLDS = 5
TARGET = "relevance"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PEER = "sentence_transformers"  # trained and scored by the peer, with the options of the full model
MODELS = {
    "random": ("model=random",),
    "bm25": ("model=bm25",),
    "two_tower": ("model=two_tower",),
    "split_encoder_j2": ("model=split_encoder", "model.joint_layers=2"),
    "cross_encoder_residual": ("model=cross_encoder", "model.residual=true"),
    "cross_encoder": ("model=cross_encoder",),
    PEER: ("model=cross_encoder",),
    "split_encoder_j1": ("model=split_encoder", "model.joint_layers=1"),
    "split_encoder_j3": ("model=split_encoder", "model.joint_layers=3"),
    "late_interaction": ("model=late_interaction",),
}
UNTAUGHT = ("random", "bm25")


@dataclass(frozen=True, kw_only=True)
class Study:
    """The judged pairs of a corpus, cut into folds of queries; each (model, fold, seed) is scored once and kept."""

    folder: Path  # of the scores: one file of each (model, fold, seed)
    source: tuple[str, ...]  # overrides of `prepare`
    training: tuple[str, ...]  # of `train`
    model: tuple[str, ...]  # of every model that learns

    @cached_property
    def corpus(self) -> Corpus:
        prepare_job = job("prepare", f"store.root={self.folder / 'runs'}", "name=study", *self.source)
        prepare(prepare_job)
        return Corpus(prepare_job.run.folder("corpus"), prepare_job.run.manifest("corpus"))

    @cached_property
    def queries(self) -> pa.Table:
        return self.corpus.table("queries", ["query_id", "text"])

    @cached_property
    def items(self) -> pa.Table:
        return self.corpus.table("items", ["item_id", "text"])

    @cached_property
    def train_job(self) -> Any:
        return job("train", "name=x", *self.training)

    @property
    def target(self) -> Target:
        return self.train_job.target[TARGET]

    @cached_property
    def pairs(self) -> LabelledPairs:
        """All judged pairs, by query and item."""
        found = [labelled_pairs(self.corpus, {TARGET: self.target}, s) for s in ("train", "validation", "test")]
        parts = [part for part in found if len(part)]
        pair_P2 = np.concatenate([p.pair_P2 for p in parts])
        order = np.lexsort((pair_P2[:, 1], pair_P2[:, 0]))
        label_PT, weight_PT = (np.concatenate([getattr(p, n) for p in parts])[order] for n in ("label_PT", "weight_PT"))
        return replace(parts[0], pair_P2=pair_P2[order], label_PT=label_PT, weight_PT=weight_PT)

    def fold(self, number: int) -> tuple[LabelledPairs, LabelledPairs]:
        """Pairs to learn from, and pairs to be tested on."""
        fold_Q = np.random.default_rng(seeds.seed(0, "folds")).permutation(len(self.queries)) % FOLDS
        test_P = fold_Q[self.pairs.pair_P2[:, 0]] == number
        return _choose(self.pairs, ~test_P), _choose(self.pairs, test_P)

    def num_tested(self, folds: range) -> int:
        """Queries with judged pairs in the folds."""
        return sum(len(np.unique(self.fold(number)[1].pair_P2[:, 0])) for number in folds)

    def option(self, name: str) -> Any:
        """The model's options."""
        more = () if name in UNTAUGHT else (*self.model, "model.dtype=float32")
        return job("train", "name=x", *MODELS[name], *more).model

    def scores(self, name: str, fold: int, seed: int) -> np.ndarray:
        """score_P of the fold's test pairs; trains and scores unless that was done before."""
        self._check()
        path = self.folder / f"{name}-{fold}-{seed}.parquet"
        learn, test = self.fold(fold)
        if not path.exists():
            started = time.monotonic()
            score_P = (peer if name == PEER else ours)(self, self.option(name), learn, test, seed)
            table = pa.table({"query_row": test.pair_P2[:, 0], "item_row": test.pair_P2[:, 1], "score": score_P})
            fresh = path.with_suffix(".new")
            pq.write_table(table, fresh)
            fresh.rename(path)
            print(f"{path.stem:<32} {len(learn)} pairs, {time.monotonic() - started:.0f} s", flush=True)
        table = pq.read_table(path)
        assert np.array_equal(table["query_row"].to_numpy(), test.pair_P2[:, 0]), f"{path} is of other pairs"
        return table["score"].to_numpy()

    def _check(self) -> None:
        """ValueError if the kept scores are of other data, weights or settings; says nothing of other code."""
        told = json.dumps([self.source, self.training, self.model, list(MODELS.items())])
        path = self.folder / "study.json"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(told)
        if path.read_text() != told:
            raise ValueError(f"{self.folder} keeps scores of another study, told in {path.name}; give another --work")

    def sample(self, test: LabelledPairs, score_P: np.ndarray) -> Sample:
        """The pairs as metrics take them."""
        label_P = test.label_PT[:, 0] * self.target.max_label  # type: ignore[attr-defined]
        return Sample(
            num_queries=len(self.queries),
            query_N=test.pair_P2[:, 0],
            item_N=test.pair_P2[:, 1],
            score_N=score_P.astype(np.float32),
            probability_N=np.zeros(len(score_P)),
            positive_N=self.target.positive(label_P),
            gain_N=self.target.gain(label_P),
            weight_N=np.ones(len(score_P)),
        )


def _choose(pairs: LabelledPairs, mask_P: np.ndarray) -> LabelledPairs:
    return replace(
        pairs, pair_P2=pairs.pair_P2[mask_P], label_PT=pairs.label_PT[mask_P], weight_PT=pairs.weight_PT[mask_P]
    )


def scorer(study: Study, option: Any, seed: int, learn: LabelledPairs | None) -> Scorer:
    """The model after training on the pairs, the last epoch counting; as it starts, where there are none."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if isinstance(option, Supervised):
            network = option.build(study.queries, study.items, (TARGET,), seeds.seed(seed, "weights")).to(DEVICE)
            if learn is not None:
                _train(study, network, learn, seed)
            network.save(folder)
        else:
            assert isinstance(option, Unsupervised)
            option.fit(study.queries, study.items, seeds.seed(seed, "model"), folder)
        return option.load(folder, DEVICE)


def _train(study: Study, network: Any, learn: LabelledPairs, seed: int) -> None:
    training = study.train_job.training
    learner = Learner.of(
        network,
        network,
        training,
        study.train_job.objective,
        num_pairs=len(learn),
        share=slice(0, None, 1),
        device=torch.device(DEVICE),
    )
    torch.manual_seed(seeds.seed(seed, "dropout"))
    for epoch in range(training.epochs):
        learner.epoch(learn, np.random.default_rng(seeds.seed(seed, f"order-{epoch}")).permutation(len(learn)))


def ours(study: Study, option: Any, learn: LabelledPairs, test: LabelledPairs, seed: int) -> np.ndarray:
    """score_P of the test pairs after training."""
    trained = scorer(study, option, seed, learn)
    items, at_P = np.unique(test.pair_P2[:, 1], return_inverse=True)
    queries = trained.encode_queries(study.queries)
    local_P2 = np.stack([test.pair_P2[:, 0], at_P], axis=1)
    return trained.score_pairs(queries, trained.encode_items(study.items.take(pa.array(items))), local_P2)[0]


def peer_model(option: Any) -> Any:
    """The cross-encoder of sentence-transformers, as it starts."""
    from sentence_transformers import CrossEncoder

    length = option.max_query_tokens + option.max_item_tokens + 3
    return CrossEncoder(option.pretrained, num_labels=1, max_length=length, device=DEVICE)


def peer(study: Study, option: Any, learn: LabelledPairs, test: LabelledPairs, seed: int) -> np.ndarray:
    """The same by sentence-transformers: its cross-encoder, its trainer, its loss; same budget."""
    from datasets import Dataset
    from sentence_transformers import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    training = study.train_job.training
    torch.manual_seed(seeds.seed(seed, "weights"))
    model = peer_model(option)
    query_texts, item_texts = learn.texts(np.arange(len(learn)))
    with tempfile.TemporaryDirectory() as made:
        CrossEncoderTrainer(
            model=model,
            args=CrossEncoderTrainingArguments(
                output_dir=made,
                num_train_epochs=training.epochs,
                per_device_train_batch_size=training.batch_size,
                learning_rate=training.learning_rate,
                warmup_ratio=training.warmup_fraction,
                weight_decay=training.weight_decay,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=DEVICE == "cpu",
                seed=seed,
            ),
            train_dataset=Dataset.from_dict({"query": query_texts, "item": item_texts, "label": learn.label_PT[:, 0]}),
            loss=BinaryCrossEntropyLoss(model),
        ).train()
    query_texts, item_texts = test.texts(np.arange(len(test)))
    pairs = [list(pair) for pair in zip(query_texts, item_texts, strict=True)]
    return model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
