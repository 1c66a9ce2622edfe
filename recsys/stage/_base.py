"""A base: a finished run that a new one goes on from, with its split, its model, and its scores of what is as it was.

What is taken over is compared by content, id by id and file by file: the two corpora have different fingerprints.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import delta
from recsys.delta import Delta, Side, TakeOver
from recsys.grid import Market, Tile
from recsys.part import Counters, read_part, write_part
from recsys.split import comparable
from recsys.stage._begun import PLAN, Begun
from recsys.stage._corpus import Corpus
from recsys.store import MANIFEST, Folder, Plan, Run, differences
from recsys.tile import TileScorer

log = logging.getLogger("recsys")
DELTA = "delta"  # folder under scores/: how the plan lines up with the base
LABELLED = "labelled.parquet"  # in it: the labelled pairs whose scores the base has
CONTENT = {"queries": ["query_id", "text", "locale"], "items": ["item_id", "text", "locale"]}


@dataclass(frozen=True, kw_only=True)
class Base:
    """A finished stage of the run to go on from."""

    uri: str  # as the user gave it
    run: Run
    folder: Folder
    manifest: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return self.manifest["fingerprint"]

    def corpus(self) -> Corpus:
        return Corpus(self.run.folder("corpus"), self.run.manifest("corpus"))


def open_base(uri: str, stage: str) -> Base:
    """Raises ValueError if the stage is not finished, or no longer there."""
    run = Run.at(uri)
    folder = run.folder(stage)
    if not folder.exists(MANIFEST):
        raise ValueError(
            f"base={uri} has no finished {stage}/ (any more); name the folder of a finished run, such as "
            "base=runs/yesterday, or score everything, without base, under another name; what was scored with it "
            "before is whole, and can be calibrated and reported verb by verb"
        )
    return Base(uri=uri, run=run, folder=folder, manifest=folder.read_json(MANIFEST))


def with_base(plan: Plan, base: str | None) -> Plan:
    """The plan, knowing the base by the fingerprint of the same stage, wherever it lies."""
    if base is None:
        return plan
    found = open_base(base, plan.stage)
    return dataclasses.replace(plan, inputs=plan.inputs | {"base": found.fingerprint})


# ---- corpus/ ------------------------------------------------------------------------------------------------------


def keep_splits(uri: str, queries: pa.Table) -> pa.Table:
    """Queries whose text the base knows stay in its split: its model has learned from some and is tested on others."""
    before = open_base(uri, "corpus").run
    known = Corpus(before.folder("corpus"), before.manifest("corpus")).table("queries", ["text", "split"])
    at_N = pc.index_in(comparable(queries["text"]), value_set=comparable(known["text"]).combine_chunks())
    kept = pc.coalesce(known["split"].take(at_N), queries["split"])
    return queries.set_column(queries.schema.get_field_index("split"), "split", kept)


# ---- model/ -------------------------------------------------------------------------------------------------------


def check_model(uri: str, described: dict[str, Any]) -> None:
    """ValueError if the base's model was made with another configuration."""
    theirs = open_base(uri, "model").manifest["config"]["model"]
    if changed := list(differences(theirs, described, "model")):
        raise ValueError(f"base={uri} holds another model ({'; '.join(changed[:6])}); configure it as it was there")


def take_model(uri: str, folder: Folder) -> dict[str, Any]:
    """Copies the base's model; what is told about it is what was told there."""
    base = open_base(uri, "model")
    names = _model_files(base.folder)
    for name in names:
        folder.write(name, base.folder.read(name))
    told = {key: base.manifest[key] for key in ("rows", "outputs", "history", "device") if key in base.manifest}
    log.info("train       model taken over from %s", uri)
    return told | {"learned": base.manifest["learned"], "parts": {"": [{"name": n} for n in names]}}


def _model_files(folder: Folder) -> list[str]:
    return [n for n in folder.names() if not n.startswith("_")]


# ---- scores/ ------------------------------------------------------------------------------------------------------


def check_scores(uri: str, plan: Plan) -> None:
    """ValueError if the base was scored in another way than this plan does."""
    before = open_base(uri, "scores").manifest
    if "pairs" not in before["config"]:
        raise ValueError(f"base={uri} was given its scores; there is nothing to go on from: leave base out")
    if {c["pairs"]["type"] for c in (before["config"], plan.config)} != {"Every"}:
        raise ValueError(f"base={uri} goes with pairs=every alone, there and here; leave base out")
    keys = ("model", "keep", "score_type", "top_k")
    old, new = (
        {k: c["config"][k] for k in keys} | {"tiles": {"threads": c["config"]["tiles"]["threads"]}}
        for c in (before, plan.content)
    )
    changed = list(differences(old, new))
    if before["version"] != plan.version:
        changed.append(f"version of the stage: {before['version']} -> {plan.version}")
    if changed:
        raise ValueError(
            f"base={uri} was scored in another way ({'; '.join(changed[:6])}); score as it was, or leave base out"
        )


def check_same(base: Base, run: Run, *, device: str, settled: dict[str, Any], versions: dict[str, str]) -> None:
    """ValueError if base and run would give different scores to the same pair."""
    ours, theirs = run.folder("model"), base.run.folder("model")
    found = [_digests(ours), _digests(theirs)]
    if changed := sorted(n for n in found[0].keys() | found[1].keys() if found[0].get(n) != found[1].get(n)):
        raise ValueError(
            f"base={base.uri} was scored by another model than {ours.path} ({changed[0]} differs), so that nothing can "
            f"be taken over; take its model over as well (`train` or `pipeline` with base={base.uri}), or leave base "
            "out"
        )
    here = {"resources.device": device, "model": settled}
    there = {"resources.device": base.manifest["device"], "model": base.manifest["settled"]}
    if changed := list(differences(there, here)):
        raise ValueError(
            f"base={base.uri} was scored on another processor ({'; '.join(changed)}), whose scores differ in the last "
            "digits; score where it was scored, or leave base out"
        )
    if changed := list(differences(base.manifest["versions"], versions)):
        log.info("base        was scored with other versions (%s): last digits may differ", "; ".join(changed))


def _digests(folder: Folder) -> dict[str, str]:
    return {name: hashlib.sha256(folder.read(name)).hexdigest() for name in _model_files(folder)}


def line_up(
    base: Base,
    corpus: Corpus,
    folder: Folder,
    markets: Sequence[Market],
    labelled_P2: np.ndarray,
    sizes: tuple[int | None, int | None],  # queries and items of a new tile, at most; None: as in the base
) -> list[Tile]:
    """The tiles of a plan that lines up with the base; leaves under `folder` (scores/) what the actors need to know."""
    old, old_N = base.corpus(), {}
    for name, columns in CONTENT.items():
        old_N[name] = delta.unchanged(old.table(name, columns), corpus.table(name, columns))
    labels = _labelled(base)
    base_L2 = np.stack([_rows(labels, old, "query"), _rows(labels, old, "item")], axis=1)
    at_L, settled_N = delta.known_labels(labelled_P2, base_L2, old_N["queries"], old_N["items"])
    before = _base_plan(base, old)
    plan = delta.plan(
        markets,
        before,
        query_old_N=np.where(settled_N, old_N["queries"], -1),
        item_old_N=old_N["items"],
        tile_queries=sizes[0] or max(t.query_stop - t.query_start for t in before.tiles),
        tile_items=sizes[1] or max(t.item_stop - t.item_start for t in before.tiles),
    )
    known_P2 = labelled_P2[at_L >= 0]
    known = labels.take(pa.array(at_L[at_L >= 0]))
    for name, row_L in zip(("query_row", "item_row"), known_P2.T, strict=True):
        known = known.append_column(name, pa.array(row_L))
    taken = [{"tile": tile} | dataclasses.asdict(before) for tile, before in plan.taken.items()]
    names = ["tile", *(f.name for f in dataclasses.fields(Tile))]
    sub = folder.join(DELTA)
    sub.write_table(LABELLED, known)
    sub.write_table("queries.parquet", plan.queries.to_table())
    sub.write_table("items.parquet", plan.items.to_table())
    sub.write_table("taken.parquet", pa.Table.from_pylist(taken, schema=pa.schema([(n, pa.int64()) for n in names])))
    return plan.tiles


def _labelled(base: Base) -> pa.Table:
    """The base's labelled pairs and their scores; damaged parts are left out, and so scored again."""
    sub = base.folder.join("labelled")
    parts = {name: read_part(sub, name) for name in sub.names()}
    for name in (n for n, part in parts.items() if part is None):
        log.info("base        labelled/%s is damaged: its pairs are scored again", name)
    tables = [part[1].replace_schema_metadata(None) for part in parts.values() if part is not None]
    if not tables:
        raise ValueError(f"base={base.uri} has no readable part in {sub.path}; leave base out")
    return pa.concat_tables(tables)


def _rows(table: pa.Table, corpus: Corpus, side: str) -> np.ndarray:
    key = f"{side}_id"
    ids = corpus.table({"query": "queries", "item": "items"}[side], [key])[key].combine_chunks()
    return pc.index_in(table[key], value_set=ids).to_numpy().astype(np.int64)


def _base_plan(base: Base, corpus: Corpus) -> Delta:
    """The base's plan; it may have had a base itself."""
    begun = Begun.read(base.folder, base.fingerprint)
    if begun is None:
        raise ValueError(
            f"{base.folder.path} has no {PLAN} of its own work; score it again, or leave base={base.uri} out"
        )
    if base.folder.join(DELTA).exists(LABELLED):
        return read_delta(base.folder, begun.tiles)
    queries, items = (delta.untouched(corpus.num_rows(name)) for name in ("queries", "items"))
    return Delta(queries=queries, items=items, tiles=begun.tiles, taken={})


def read_delta(folder: Folder, tiles: list[Tile]) -> Delta:
    """What `line_up` left under scores/."""
    sub = folder.join(DELTA)
    queries, items = (Side.from_table(sub.read_table(f"{name}.parquet")) for name in ("queries", "items"))
    taken = {row.pop("tile"): Tile(**row) for row in sub.read_table("taken.parquet").to_pylist()}
    return Delta(queries=queries, items=items, tiles=tiles, taken=taken)


def unknown_labels(folder: Folder, labelled_P2: np.ndarray) -> np.ndarray:
    """The labelled pairs that the base has no scores of."""
    known = folder.join(DELTA).read_table(LABELLED, ["query_row", "item_row"])
    stride = 1 + labelled_P2[:, 1].max()
    known_L = known["query_row"].to_numpy() * stride + known["item_row"].to_numpy()
    return labelled_P2[~np.isin(labelled_P2 @ (stride, 1), known_L)]


def take_labelled(base: Base, folder: Folder, index: int, fingerprint: str, model: str) -> dict[str, str]:
    """Writes the base's scores of labelled pairs as one more part of labelled/; its entry for the manifest."""
    table = folder.join(DELTA).read_table(LABELLED).drop_columns(["query_row", "item_row"])
    tile = Tile(index, index, 0, 0, 0, 0)
    nothing = pa.table({})
    receipt = write_part(
        folder.join("labelled"),
        tile,
        table,
        Counters(histogram=nothing, labelled=nothing, top=nothing),
        fingerprint=fingerprint,
        model=model,
        num_pairs=len(table),
        taken=base.fingerprint,
    )
    return {"name": tile.name, "checksum": receipt.checksum}


def take_over(score: TileScorer, scores: Folder, base: Folder, base_fingerprint: str) -> TakeOver:
    """Lets a scorer by rows score by position, and only what the base has not: its scores/, and their fingerprint."""
    plan = read_delta(scores, [])
    read_rows, row_N = score.read_items, plan.items.row_N
    by_position = dataclasses.replace(
        score,
        queries=plan.queries.permuted(score.queries),
        read_items=lambda position_I: read_rows(row_N[position_I]),
        frozen=delta.by_position(score.frozen, plan.queries, plan.items),
    )
    return TakeOver(score=by_position, base=base, base_fingerprint=base_fingerprint, delta=plan)
