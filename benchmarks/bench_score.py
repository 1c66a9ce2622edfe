"""Scoring query-item pairs: ours beside sentence-transformers, Ray Data with Hugging Face, and the bare network.

    python -m benchmarks.bench_score --model FOLDER --data FOLDER [--json FILE] [--quick] [--only PART]

FOLDER of --model: a Hugging Face encoder such as all-MiniLM-L6-v2; of --data: the chorus_icecat catalogue, whose titles
are scored. Same weights, pairs, truncation and threads; contenders take turns; medians and ranges of the repeats.
Before anything is timed, our float32 logits must be within 1e-4 of Hugging Face's.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import AutoTokenizer

from benchmarks._timing import Contender, alternate, rate_rows, ratio_row, tell
from benchmarks._whole_job import untrained, watched
from recsys.grid import Tile
from recsys.model import CrossEncoder, SplitEncoder, Supervised
from recsys.model._backbone import choose_dtype
from recsys.model._texts import batches
from recsys.scorer import Scorer
from recsys.store import Folder
from recsys.tile import Frozen, TileScorer
from tests.compose import job

LIMITS = {"max_query_tokens": 16, "max_item_tokens": 32}
UNUSED = {"hidden_size": 64, "num_layers": 3, "num_heads": 2, "vocabulary_size": 1000, "dropout": 0.0}
TUNED_SIZES = (16, 32, 64, 128)
INT8 = "ours in int8, to committed Parquet"


class Bench:
    """Texts, weights and threads that all contenders share."""

    def __init__(self, arguments: argparse.Namespace, work: Path) -> None:
        source = job(
            "prepare", "name=x", "source=chorus", f"source.path={arguments.data}", "source.fields=[title]"
        ).source
        tokenizer = AutoTokenizer.from_pretrained(arguments.model)
        self.items, self.queries = (
            _uncut(pa.concat_tables(list(source.read(name))).select([key, "text"]), tokenizer, limit)
            for name, key, limit in (("items", "item_id", 32), ("queries", "query_id", 16))
        )
        self.pretrained, self.work, self.repeats, self.quick = arguments.model, work, arguments.repeats, arguments.quick
        self.threads = torch.get_num_threads()

    def option(self, kind: Any, dtype: str = "float32", **more: Any) -> Any:
        return kind(pretrained=self.pretrained, dtype=dtype, batch_tokens=None, **LIMITS, **UNUSED, **more)

    def overrides(self, kind: str, *more: str) -> tuple[str, ...]:
        """The same for a job."""
        limits = (f"model.{name}={value}" for name, value in LIMITS.items())
        return (f"model={kind}", f"model.pretrained={self.pretrained}", "model.dtype=float32", *limits, *more)

    def saved(self, option: Supervised) -> Path:
        """A folder with untrained weights; heads are random, and large enough for logits to spread over units."""
        folder = Path(tempfile.mkdtemp(dir=self.work))
        network = option.build(self.queries, self.items, ("relevance",), 0)
        head = network.get_submodule("model").get_submodule("classifier") if isinstance(option, CrossEncoder) else None
        if head is not None:
            torch.nn.init.normal_(head.get_parameter("weight"), generator=torch.Generator().manual_seed(0))
        network.save(folder)
        return folder

    def more_queries(self, number: int) -> pa.Table:
        """The judged queries, and further ones put together from their words: about as long."""
        words = sorted({w for text in self.queries["text"].to_pylist() for w in text.split()})
        made = [f"{words[i % len(words)]} {words[(i * 31 + i // len(words)) % len(words)]}" for i in range(number)]
        extra = pa.table({"query_id": [f"made-{i}" for i in range(number)], "text": made})
        return pa.concat_tables([self.queries, extra.cast(self.queries.schema)]).slice(0, number)

    def commit(self, scorer: Scorer, queries: pa.Table, items: pa.Table, keep: str = "top") -> Callable[[], object]:
        """Scores one tile from texts to a committed part, anew each time."""

        def work() -> object:
            none = np.zeros(0, np.int64)
            score = TileScorer(
                scorer=scorer,
                folder=Folder.open(tempfile.mkdtemp(dir=self.work)),
                fingerprint="bench",
                keep=keep,
                score_type="float32",
                top_k=100,
                cache_bytes=2**29,
                queries=queries,
                read_items=lambda rows: items.take(pa.array(rows)),
                frozen=Frozen(query_row_L=none, item_row_L=none, score_TL=np.zeros((1, 0), np.float32), group_L=none),
            )
            return score(Tile(0, 0, 0, len(queries), 0, len(items)))

        return work


def _uncut(table: pa.Table, tokenizer: Any, limit: int) -> pa.Table:
    """The rows that no contender cuts: ours cuts each text, others the pair."""
    ids = tokenizer(table["text"].to_pylist(), add_special_tokens=False)["input_ids"]
    return table.filter(pa.array([len(i) <= limit for i in ids]))


def every_text_pair(queries: pa.Table, items: pa.Table) -> list[list[str]]:
    return [[q, i] for q in queries["text"].to_pylist() for i in items["text"].to_pylist()]


def sentence_transformers(folder: Path, dtype: str) -> Any:
    """A CrossEncoder that gives logits, cut where ours are."""
    from sentence_transformers import CrossEncoder as Peer

    length = sum(LIMITS.values()) + 3
    peer = Peer(str(folder), max_length=length, device="cpu", activation_fn=torch.nn.Identity())
    return peer.to(getattr(torch, dtype))


def best_batch_size(peer: Any, pairs: list[list[str]]) -> tuple[int, bool]:
    """The batch size, and whether to sort by length first, at which the peer is fastest on these pairs."""
    by_length = sorted(pairs, key=lambda p: len(p[0]) + len(p[1]))
    tried = {
        (size, ordered): Contender(
            f"{size} {ordered}",
            lambda s=size, p=by_length if ordered else pairs: peer.predict(p, batch_size=s, show_progress_bar=False),
            len(pairs),
        )
        for size in TUNED_SIZES
        for ordered in (False, True)
    }
    rates = alternate(list(tried.values()), 3)
    return max(tried, key=lambda key: statistics.median(rates[tried[key].name]))


def gate(bench: Bench, folder: Path, queries: pa.Table, items: pa.Table) -> float:
    """The largest difference to Hugging Face alone, pair by pair padded in batches of 64. AssertionError above 1e-4."""
    from transformers import AutoModelForSequenceClassification

    scorer = bench.option(CrossEncoder, residual=False).load(folder, "cpu")
    ours_QI = scorer.score(scorer.encode_queries(queries), scorer.encode_items(items))[0]
    model = AutoModelForSequenceClassification.from_pretrained(str(folder)).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    pairs, theirs = every_text_pair(queries, items), []
    with torch.inference_mode():
        for start in range(0, len(pairs), 64):
            inputs = tokenizer(*zip(*pairs[start : start + 64], strict=True), padding=True, return_tensors="pt")
            theirs.append(model(**inputs).logits[:, 0].numpy())
    worst = float(np.abs(ours_QI.ravel() - np.concatenate(theirs)).max())
    assert worst <= 1e-4, worst
    return worst


def floor(scorer: Any, queries: pa.Table, items: pa.Table) -> Callable[[], object]:
    """Our network on batches that lie ready; nothing is kept."""
    network, encoded = scorer._network, (scorer.encode_queries(queries), scorer.encode_items(items))
    num_queries, num_items = (len(e.tokens) for e in encoded)
    query_P, item_P = np.repeat(np.arange(num_queries), num_items), np.tile(np.arange(num_items), num_queries)
    length_P = encoded[0].tokens.length_U[query_P] + encoded[1].tokens.length_U[item_P]
    ready = []
    for row_B in batches(length_P, scorer._budget):
        chosen = (
            (tokens.tokens, torch.from_numpy(code_P[row_B]), code_P[row_B])
            for tokens, code_P in zip(encoded, (query_P, item_P), strict=True)
        )
        ready.append(network.inputs(network.template.assemble(list(chosen))))

    def work() -> None:
        with torch.inference_mode():
            for inputs in ready:
                network(**inputs)

    return work


@contextmanager
def own_ray() -> Iterator[None]:
    """Ray, for one turn alone: its processes are gone before the next."""
    import ray

    ray.init(address="local", logging_level=logging.WARNING, log_to_driver=False, include_dashboard=False)
    try:
        yield
    finally:
        ray.shutdown()
        time.sleep(2)


def ray_data(folder: Path, pairs: list[list[str]], batch_size: int, threads: int) -> Callable[[], object]:
    """The recipe of Ray's documentation for batch inference with transformers, written to Parquet.

    Its one actor starts, and loads the model, each time.
    """
    import ray

    class Predictor:
        def __init__(self) -> None:
            from transformers import AutoModelForSequenceClassification, AutoTokenizer

            torch.set_num_threads(threads)
            self.model = AutoModelForSequenceClassification.from_pretrained(str(folder)).eval()
            self.tokenizer = AutoTokenizer.from_pretrained(str(folder))

        def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            texts = batch["query"].tolist(), batch["item"].tolist()
            inputs = self.tokenizer(*texts, padding=True, truncation=True, max_length=51, return_tensors="pt")
            with torch.inference_mode():
                return batch | {"score": self.model(**inputs).logits[:, 0].numpy()}

    def work() -> None:
        rows = [{"query": q, "item": i} for q, i in pairs]
        data = ray.data.from_items(rows).map_batches(
            Predictor, batch_size=batch_size, compute=ray.data.ActorPoolStrategy(size=1), num_cpus=1
        )
        data.write_parquet(tempfile.mkdtemp(dir=folder.parent))

    return work


def in_int8(bench: Bench, option: CrossEncoder, folder: Path, queries: pa.Table, items: pa.Table) -> list[Contender]:
    """The same model with int8 products; none where the processor has no exact ones."""
    try:
        scorer = replace(option, dtype="int8").load(folder, "cpu")
    except ValueError as error:
        print(f"not measured: {error}")
        return []
    return [Contender(INT8, bench.commit(scorer, queries, items, "every"), len(queries) * len(items))]


def cross_encoder(bench: Bench) -> list[dict[str, Any]]:
    """The full model, from texts to a committed part, beside its peers and its floor."""
    option = bench.option(CrossEncoder, residual=False)
    folder = bench.saved(option)
    queries, items = bench.queries, bench.items.slice(1000, 10 if bench.quick else 40)
    worst = gate(bench, folder, queries, bench.items.slice(500, 10 if bench.quick else 93))
    rows = [{"name": "cross_encoder/largest_difference_to_hugging_face", "value": worst, "unit": "logit"}]
    for dtype in ("float32", "bfloat16"):
        if dtype == "bfloat16" and choose_dtype("auto", "cpu") != torch.bfloat16:
            items = items.slice(0, 10)  # emulated, and slow
        pairs = every_text_pair(queries, items)
        by_length = sorted(pairs, key=lambda p: len(p[0]) + len(p[1]))
        scorer = replace(option, dtype=dtype).load(folder, "cpu")
        peer = sentence_transformers(folder, dtype)
        size, ordered = best_batch_size(peer, pairs[:: max(1, len(pairs) // 512)])
        tuned, number = by_length if ordered else pairs, len(pairs)

        def ours(s: Scorer = scorer, i: pa.Table = items) -> object:
            return s.score(s.encode_queries(queries), s.encode_items(i))

        contenders = [
            Contender("ours, to committed Parquet", bench.commit(scorer, queries, items, "every"), number),
            Contender("ours, texts to RAM", ours, number),
            Contender("raw floor", floor(scorer, queries, items), number),
            Contender(
                f"sentence-transformers, best (batch {size}{', sorted' if ordered else ''}), to RAM",
                lambda p=peer, t=tuned, s=size: p.predict(t, batch_size=s, show_progress_bar=False),
                number,
            ),
        ]
        if dtype == "float32":
            contenders.append(
                Contender("sentence-transformers, defaults, to RAM", lambda p=peer, q=pairs: p.predict(q), number)
            )
            contenders += in_int8(bench, option, folder, queries, items)
            if not bench.quick:
                recipe = ray_data(folder, by_length, 128, bench.threads)
                contenders.append(Contender("Ray Data, sorted, batch 128", recipe, number, own_ray))
        rates = alternate(contenders, bench.repeats)
        rows += rate_rows({f"cross_encoder {dtype}: {n}": v for n, v in rates.items()}, "pairs/s")
        committed, best = rates[contenders[0].name], rates[contenders[3].name]
        short = {"float32": "fp32", "bfloat16": "bf16"}[dtype]
        rows.append(ratio_row(f"cross_encoder/vs_sentence_transformers_{short}", committed, best))
        if dtype == "float32":
            default = rates["sentence-transformers, defaults, to RAM"]
            rows.append(ratio_row("cross_encoder/vs_sentence_transformers_default", committed, default))
            rows.append(ratio_row("cross_encoder/vs_floor", committed, rates["raw floor"]))
            if INT8 in rates:
                rows.append(ratio_row("cross_encoder/int8_vs_sentence_transformers_fp32", rates[INT8], best))
                rows.append(ratio_row("cross_encoder/int8_vs_float32", rates[INT8], committed))
    return rows


def split_encoder(bench: Bench) -> list[dict[str, Any]]:
    """Encoding included, to a committed part, beside the best sentence-transformers run of the full model."""
    full = bench.saved(bench.option(CrossEncoder, residual=False))
    peer, pairs = sentence_transformers(full, "float32"), every_text_pair(bench.queries, bench.items.slice(1000, 8))
    size, ordered = best_batch_size(peer, pairs[::2])
    tuned = sorted(pairs, key=lambda p: len(p[0]) + len(p[1])) if ordered else pairs
    best = Contender(
        "sentence-transformers, full model, best",
        lambda: peer.predict(tuned, batch_size=size, show_progress_bar=False),
        len(pairs),
    )
    rows = []
    for num_queries, suffix in ((108, "_108_queries"), (1000, "")):
        queries = bench.more_queries(num_queries)
        items = bench.items.slice(1000, 128 if bench.quick else 512)
        contenders = [best]
        for layers in (1, 2):
            option = bench.option(SplitEncoder, joint_layers=layers)
            scorer = option.load(bench.saved(option), "cpu")
            work = bench.commit(scorer, queries, items)
            contenders.append(
                Contender(f"split_encoder J={layers}, {num_queries} queries", work, num_queries * len(items))
            )
        rates = alternate(contenders, min(bench.repeats, 3))
        rows += rate_rows(rates, "pairs/s")
        for layers, contender in enumerate(contenders[1:], start=1):
            name = f"split_encoder_j{layers}/vs_sentence_transformers{suffix}"
            rows.append(ratio_row(name, rates[contender.name], rates[best.name]))
    return rows


def two_tower(bench: Bench) -> list[dict[str, Any]]:
    """A whole job over more than 1e9 pairs (10 million in the quick size), beside the bare matrix product.

    The rate is that of the tiles once texts are encoded: scores, exact top 100, counters and the commit, on all actors
    together. The job's own rate, encoding included, is a row of its own.
    """
    items = bench.items.slice(0, 2048) if bench.quick else bench.items
    queries = bench.more_queries(10**7 // len(items) if bench.quick else 10**9 // len(items) + 600)
    model = bench.overrides("two_tower")
    untrained(bench.work, "two_tower", queries, items, *model)
    bare = [bare_product() for _ in range(3)]
    made = watched(bench.work, "two_tower", *model, "keep=top", "top_k=100")
    bare += [bare_product() for _ in range(3)]
    pairs, actors = made["pairs_scored"], made["actors"]
    rate = pairs * actors / (made["tiles_s"] - made["encode_s"])
    product = statistics.median(bare)
    return [
        {"name": "two_tower/pairs", "value": pairs, "unit": "pairs"},
        {"name": "two_tower/pairs_per_s", "value": rate, "unit": "pairs/s"},
        {"name": "two_tower/job_pairs_per_s", "value": pairs / made["tiles_wall_s"], "unit": "pairs/s"},
        {"name": "two_tower/tiles", "value": made["tiles"], "unit": "tiles"},
        {"name": "two_tower/disk", "value": made["disk_bytes"] / 1e9, "unit": "GB"},
        {"name": "two_tower/peak_memory", "value": made["peak_bytes"] / 1e9, "unit": "GB"},
        {"name": "bare float32 product", "value": product, "low": min(bare), "high": max(bare), "unit": "pairs/s"},
        {"name": "two_tower/vs_matmul", "value": rate / product, "unit": "ratio"},
    ]


def bare_product() -> float:
    """Pairs per second of a float32 product of 384 columns, on all threads, for about a second."""
    query_QD, item_ID = torch.randn(512, 384), torch.randn(8192, 384)
    out_QI, number, started = query_QD @ item_ID.T, 0, time.perf_counter()
    while time.perf_counter() - started < 1:
        torch.mm(query_QD, item_ID.T, out=out_QI)
        number += 1
    return number * out_QI.numel() / (time.perf_counter() - started)


def engine(bench: Bench) -> list[dict[str, Any]]:
    """What Ray and the scheduling cost: the share of the actors' time that is not spent on tiles of about 5 s, from the
    first tile's start to the last one's commit."""
    model = bench.overrides("split_encoder", "model.joint_layers=2")
    untrained(bench.work, "engine", bench.queries, bench.items.slice(0, 1500 if bench.quick else 12_000), *model)
    made = watched(bench.work, "engine", *model, "tiles.items=384")
    overhead = 1 - made["tiles_s"] / (made["actors"] * made["tiles_wall_s"])
    return [
        {"name": "engine/wall", "value": made["tiles_wall_s"], "unit": "s"},
        {"name": "engine/seconds_per_tile", "value": made["tiles_s"] / made["tiles"], "unit": "s"},
        {"name": "engine/overhead_fraction", "value": overhead, "unit": "fraction"},
    ]


PARTS = {"cross_encoder": cross_encoder, "split_encoder": split_encoder, "two_tower": two_tower, "engine": engine}


def main() -> None:
    """Prints a table and, where asked, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=tuple(PARTS))
    arguments = parser.parse_args()
    arguments.repeats = min(arguments.repeats, 2) if arguments.quick else arguments.repeats
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, Path(folder))
        for name, part in PARTS.items():
            if arguments.only in (None, name):
                rows += part(bench)
    tell(rows, arguments.json)


if __name__ == "__main__":
    main()
