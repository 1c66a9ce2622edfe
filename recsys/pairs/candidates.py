"""The pairs of a table: what another model or a search engine retrieved."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.pairs._pairs import Asked, Pairs
from recsys.store import ipc_bytes, open_filesystem


@dataclass
class Candidates(Pairs):
    """A Parquet file or folder with columns query_id and item_id; others are ignored, repeated pairs counted."""

    not_semantic: ClassVar[tuple[str, ...]] = ("path",)  # known by its content, wherever it lies

    path: str  # such as runs/<name>/scores/top.parquet of another run, or any URI pyarrow or fsspec opens

    def identity(self, *, corpus: str, top_k: int) -> dict[str, str]:
        table = self._read().group_by(["query_id", "item_id"], use_threads=False).aggregate([])
        table = table.sort_by([("query_id", "ascending"), ("item_id", "ascending")])
        return {"candidates": hashlib.sha256(ipc_bytes(table)).hexdigest()}

    def candidates(self, query_ids: pa.ChunkedArray, item_ids: pa.ChunkedArray, outputs: tuple[str, ...]) -> Asked:
        table = self._read()
        query_row = pc.index_in(table["query_id"], value_set=query_ids.combine_chunks())
        item_row = pc.index_in(table["item_id"], value_set=item_ids.combine_chunks())
        known = pc.and_(pc.is_valid(query_row), pc.is_valid(item_row))
        rows = pa.table({"q": query_row, "i": item_row}).filter(known)
        pair_N2 = np.stack([rows["q"].to_numpy(), rows["i"].to_numpy()], axis=1).astype(np.int64)
        pair_P2 = np.unique(pair_N2, axis=0)
        left_out = {
            "candidate_unknown_query": query_row.null_count,
            "candidate_unknown_item": table.num_rows - rows.num_rows - query_row.null_count,
            "candidate_repeated": len(pair_N2) - len(pair_P2),
        }
        if not len(pair_P2):
            raise ValueError(f"pairs.path={self.path}: none of its {table.num_rows} pairs has a known query and item")
        return Asked(pair_P2=pair_P2, left_out={reason: number for reason, number in left_out.items() if number})

    def _read(self) -> pa.Table:
        filesystem, path = open_filesystem(self.path)
        try:
            table = pq.read_table(path, filesystem=filesystem)
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise ValueError(f"pairs.path={self.path} is no readable Parquet file or folder ({error})") from error
        missing = [n for n in ("query_id", "item_id") if n not in table.column_names]
        if missing:
            raise ValueError(f"pairs.path={self.path} has no column {missing[0]!r}; it has {table.column_names}")
        return table.select(["query_id", "item_id"]).cast(
            pa.schema([("query_id", pa.string()), ("item_id", pa.string())])
        )
