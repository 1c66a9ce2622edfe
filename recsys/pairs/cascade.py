"""A cascade: a cheap model ranked every item, and this run's model scores its best ones again."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from recsys.pairs._pairs import Asked, Pairs
from recsys.shortlist import Shortlist
from recsys.store import MANIFEST, Folder, Run

SHARED = "match"  # the output of a model that has one for all targets


@dataclass
class Cascade(Pairs):
    """The first `top` items of each query, by each output of a finished run that an output of this run's model refines.

    They rank by this run's model above all others, which keep the order of the first: see `recsys.shortlist`.
    """

    not_semantic: ClassVar[tuple[str, ...]] = ("run",)  # known by the fingerprint of its scores, wherever it lies

    run: str
    top: int

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ValueError(f"pairs.top={self.top} leaves nothing to score; use at least 1")

    def identity(self, *, corpus: str, top_k: int) -> dict[str, str]:
        _, first = self._first()
        config, theirs = first["config"], first["inputs"]["corpus"]
        if config.get("pairs", {}).get("type") != "Every":
            done = f"pairs={config['pairs']['type'].lower()}" if "pairs" in config else "its scores were given"
            raise ValueError(f"pairs.run={self.run} did not score every pair ({done}); name a run with pairs=every")
        if theirs != corpus:
            raise ValueError(
                f"pairs.run={self.run} scored another corpus ({theirs[:8]}, not {corpus[:8]}); use the source, clean, "
                "split and target of that run, with reuse=<its name>, which takes over its corpus"
            )
        for key, value in (("pairs.top", self.top), ("top_k", top_k)):
            if value > config["top_k"]:
                raise ValueError(
                    f"{key}={value} is more than pairs.run={self.run} kept of each query (top_k={config['top_k']}); "
                    f"use {key}={config['top_k']} or less, or score it again under another name with top_k={value}"
                )
        return {"first": first["fingerprint"]}

    def candidates(self, query_ids: pa.ChunkedArray, item_ids: pa.ChunkedArray, outputs: tuple[str, ...]) -> Asked:
        """Raises ValueError if an output of the model has none to refine."""
        folder, first = self._first()
        found = tuple(first["outputs"])
        firsts = {output: output if output in found else SHARED for output in outputs}
        if lost := [o for o, f in firsts.items() if f not in found]:
            raise ValueError(
                f"pairs.run={self.run} has the outputs {', '.join(found)}, none of which this model's output "
                f"'{lost[0]}' can refine; name a run with an output '{lost[0]}', or with '{SHARED}', which serves all"
            )

        def rows(name: str, columns: list[str]) -> pa.Table:
            table = folder.read_table(name, ["query_id", "item_id", "output", *columns])
            table = table.filter(pc.is_in(table["output"], value_set=pa.array(sorted(set(firsts.values())))))
            query_row = pc.index_in(table["query_id"], value_set=query_ids.combine_chunks()).cast(pa.int64())
            item_row = pc.index_in(table["item_id"], value_set=item_ids.combine_chunks()).cast(pa.int64())
            assert query_row.null_count == item_row.null_count == 0, "both runs have one corpus"
            kept = {n: table[n] for n in ("output", *columns)}
            return pa.table({"query_row": query_row, "item_row": item_row} | kept)

        shortlist = Shortlist(
            model=first["model"],
            learned=first["learned"],
            size=self.top,
            firsts=firsts,
            num_items=len(item_ids),
            top=rows("top.parquet", ["rank", "score"]),
            ranks=rows("ranks.parquet", ["num_above", "num_tied"]),
        )
        return Asked(pair_P2=shortlist.pairs(), left_out={}, shortlist=shortlist)

    def _first(self) -> tuple[Folder, dict[str, Any]]:
        """The scores of the first run and their manifest."""
        folder = Run.at(self.run).folder("scores")
        if not folder.exists(MANIFEST):
            raise ValueError(
                f"pairs.run={self.run} has no finished scores/; give the folder of a run, such as runs/first, that "
                "`python -m ray_jobs.pipeline name=first model=bm25` has finished"
            )
        return folder, folder.read_json(MANIFEST)
