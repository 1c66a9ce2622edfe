"""How well each model ranks: cross-validation over queries, several seeds, intervals paired by query.

    python -m benchmarks.bench_quality --model FOLDER --data FOLDER [--work FOLDER] [--json FILE] [--quick]

FOLDER of --model: a Hugging Face encoder such as all-MiniLM-L6-v2; of --data: the chorus_icecat catalogue. Every model
has the same labels, epochs, batches and learning rate, and is tested on the judged pairs of queries that it has not
seen. Each (model, fold, seed) is one file in the folder of --work: given again, the same command goes on where it
ended.

Shapes: P judged pairs, Q queries, R weightings of the queries.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks._timing import tell
from recsys import seed as seeds
from recsys.metric import Sample, ranking
from recsys.metric.bootstrap import interval, poisson_weights
from recsys.model import Supervised, Unsupervised
from recsys.stage._corpus import Corpus
from recsys.stage._learner import Learner
from recsys.stage._pairs import LabelledPairs, labelled_pairs
from recsys.stage.prepare import prepare
from recsys.target import Target
from tests.compose import job

FOLDS = 5
REPLICATES = 1000
TARGET = "relevance"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MODELS = {
    "random": ("model=random",),
    "bm25": ("model=bm25",),
    "two_tower": ("model=two_tower",),
    "split_encoder_j2": ("model=split_encoder", "model.joint_layers=2"),
    "cross_encoder_residual": ("model=cross_encoder", "model.residual=true"),
    "cross_encoder": ("model=cross_encoder",),
    "sentence_transformers": ("model=cross_encoder",),  # its options; trained and scored by the peer
    "split_encoder_j1": ("model=split_encoder", "model.joint_layers=1"),
    "split_encoder_j3": ("model=split_encoder", "model.joint_layers=3"),
    "late_interaction": ("model=late_interaction",),
}
QUICK = ("random", "bm25", "two_tower", "split_encoder_j2")


class Study:
    """The judged pairs, cut into folds of queries."""

    def __init__(self, data: str, pretrained: str, work: Path, epochs: int) -> None:
        self.pretrained, self.work = pretrained, work
        base = (f"store.root={work / 'runs'}", "name=study")
        prepare_job = job("prepare", *base, "source=chorus", f"source.path={data}", "source.fields=[title]")
        prepare(prepare_job)
        run = prepare_job.run
        corpus = Corpus(run.folder("corpus"), run.manifest("corpus"))
        self.queries, self.items = (
            corpus.table("queries", ["query_id", "text"]),
            corpus.table("items", ["item_id", "text"]),
        )
        self.training = job("train", *base, "training=finetune", f"training.epochs={epochs}")
        self.target: Target = self.training.target[TARGET]
        splits = [labelled_pairs(corpus, {TARGET: self.target}, s) for s in ("train", "validation", "test")]
        self.pairs = join([s for s in splits if len(s)])
        self.fold_Q = np.random.default_rng(seeds.seed(0, "folds")).permutation(len(self.queries)) % FOLDS

    def fold(self, number: int) -> tuple[LabelledPairs, LabelledPairs]:
        """Pairs to learn from, and pairs to be tested on."""
        test_P = self.fold_Q[self.pairs.pair_P2[:, 0]] == number
        return choose(self.pairs, ~test_P), choose(self.pairs, test_P)

    def option(self, name: str) -> Any:
        overrides = MODELS[name]
        learns = overrides[0] not in ("model=random", "model=bm25")
        more = (f"model.pretrained={self.pretrained}", "model.dtype=float32") if learns else ()
        return job("train", "name=x", *overrides, *more).model

    def scores(self, name: str, fold: int, seed: int) -> np.ndarray:
        """score_P of the fold's test pairs; trains and scores unless that was done before."""
        path = self.work / f"{name}-{fold}-{seed}.parquet"
        learn, test = self.fold(fold)
        if not path.exists():
            started = time.monotonic()
            score_P = (peer if name == "sentence_transformers" else ours)(self, self.option(name), learn, test, seed)
            table = pa.table({"query_row": test.pair_P2[:, 0], "item_row": test.pair_P2[:, 1], "score": score_P})
            fresh = path.with_suffix(".new")
            pq.write_table(table, fresh)
            fresh.rename(path)
            print(f"{path.stem:<32} {len(learn)} pairs, {time.monotonic() - started:.0f} s", flush=True)
        table = pq.read_table(path)
        assert np.array_equal(table["query_row"].to_numpy(), test.pair_P2[:, 0]), f"{path} is of other pairs"
        return table["score"].to_numpy()

    def sample(self, test: LabelledPairs, score_P: np.ndarray) -> Sample:
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


def join(parts: list[LabelledPairs]) -> LabelledPairs:
    """All pairs, by query and item."""
    pair_P2 = np.concatenate([p.pair_P2 for p in parts])
    order = np.lexsort((pair_P2[:, 1], pair_P2[:, 0]))
    label_PT, weight_PT = (np.concatenate([getattr(p, n) for p in parts])[order] for n in ("label_PT", "weight_PT"))
    return replace(parts[0], pair_P2=pair_P2[order], label_PT=label_PT, weight_PT=weight_PT)


def choose(pairs: LabelledPairs, mask_P: np.ndarray) -> LabelledPairs:
    return replace(
        pairs, pair_P2=pairs.pair_P2[mask_P], label_PT=pairs.label_PT[mask_P], weight_PT=pairs.weight_PT[mask_P]
    )


def ours(study: Study, option: Any, learn: LabelledPairs, test: LabelledPairs, seed: int) -> np.ndarray:
    """score_P of the test pairs after training; the last epoch counts."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if isinstance(option, Supervised):
            network = option.build(study.queries, study.items, (TARGET,), seeds.seed(seed, "weights")).to(DEVICE)
            training = study.training.training
            learner = Learner.of(
                network,
                network,
                training,
                study.training.objective,
                num_pairs=len(learn),
                share=slice(0, None, 1),
                device=torch.device(DEVICE),
            )
            torch.manual_seed(seeds.seed(seed, "dropout"))
            for epoch in range(training.epochs):
                order_P = np.random.default_rng(seeds.seed(seed, f"order-{epoch}")).permutation(len(learn))
                learner.epoch(learn, order_P)
            network.save(folder)
        else:
            assert isinstance(option, Unsupervised)
            option.fit(study.queries, study.items, seeds.seed(seed, "model"), folder)
        scorer = option.load(folder, DEVICE)
        items, at_P = np.unique(test.pair_P2[:, 1], return_inverse=True)
        queries = scorer.encode_queries(study.queries)
        local_P2 = np.stack([test.pair_P2[:, 0], at_P], axis=1)
        return scorer.score_pairs(queries, scorer.encode_items(study.items.take(pa.array(items))), local_P2)[0]


def peer(study: Study, option: Any, learn: LabelledPairs, test: LabelledPairs, seed: int) -> np.ndarray:
    """The same by sentence-transformers: its cross-encoder, its trainer, its loss; same budget."""
    from datasets import Dataset
    from sentence_transformers import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    training = study.training.training
    length = option.max_query_tokens + option.max_item_tokens + 3
    torch.manual_seed(seeds.seed(seed, "weights"))
    model = CrossEncoder(study.pretrained, num_labels=1, max_length=length, device=DEVICE)
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


def evaluate(study: Study, name: str, folds: range, seeds_: range, weight_QR: np.ndarray) -> dict[str, np.ndarray]:
    """value_R of each metric: of every fold and seed alone, then the mean."""
    values: dict[str, list[np.ndarray]] = {"ndcg@10": [], "auc": []}
    for seed in seeds_:
        per_query: list[np.ndarray] = []
        for fold in folds:
            sample = study.sample(study.fold(fold)[1], study.scores(name, fold, seed))
            per_query.append(ranking.ndcg(10).value(sample))
            values["auc"].append(ranking.auc(sample, weight_QR))
        value_Q = np.stack(per_query)
        mask_Q = np.isfinite(value_Q).any(0)
        weight_DR = weight_QR[mask_Q]
        values["ndcg@10"].append(np.nansum(value_Q, 0)[mask_Q] @ weight_DR / weight_DR.sum(0))
    return {metric: np.mean(v, axis=0) for metric, v in values.items()}


def row(name: str, value_R: np.ndarray, unit: str, num_queries: int) -> dict[str, Any]:
    value, low, high = interval(value_R, 0.95, num_queries=num_queries)
    return {"name": name, "value": value, "low": low, "high": high, "unit": unit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, help="kept scores; a temporary folder if not given")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="one fold, one seed, four models")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=tuple(MODELS))
    arguments = parser.parse_args()
    names = arguments.only or (QUICK if arguments.quick else tuple(MODELS))
    folds, num_seeds = (range(1), range(1)) if arguments.quick else (range(FOLDS), range(arguments.seeds))
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        study = Study(arguments.data, arguments.model, work, arguments.epochs)
        query_ids = study.queries["query_id"].to_pylist()
        weight_QR = poisson_weights(query_ids, REPLICATES, 0)
        for seed in num_seeds:  # every model once before any model twice
            for fold in folds:
                for name in names:
                    study.scores(name, fold, seed)
        results = {name: evaluate(study, name, folds, num_seeds, weight_QR) for name in names}
    tell(table(results, len(query_ids)), arguments.json)


def table(results: dict[str, dict[str, np.ndarray]], num_queries: int) -> list[dict[str, Any]]:
    """Records of every model, and of the split encoder against the better of the two it stands between."""
    rows = [row(f"{n}/{m}", v, m, num_queries) for n, values in results.items() for m, v in values.items()]
    rivals = [n for n in ("two_tower", "cross_encoder", "cross_encoder_residual") if n in results]
    for name in results:
        if not name.startswith(("split_encoder", "late_interaction")) or not rivals:
            continue
        for metric, value_R in results[name].items():
            best = max(rivals, key=lambda n, m=metric: results[n][m][0])
            difference_R = value_R - results[best][metric]
            rows.append(row(f"{name}/{metric}_minus_best", difference_R, best, num_queries))
    return rows


if __name__ == "__main__":
    main()
