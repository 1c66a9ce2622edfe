"""Reads a finished corpus: whole small tables, or a range of item rows from the shards that hold it."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.store import Folder


class Corpus:
    """The tables of corpus/. Queries and labels fit in memory; items are read by range."""

    def __init__(self, folder: Folder, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self._parts = manifest["parts"]
        self._last: tuple[str, pa.Table] | None = None

    def table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """All rows of a table, in corpus order."""
        parts = [self.folder.join(name).read_table(p["name"], columns) for p in self._parts[name]]
        return pa.concat_tables(parts)

    def columns(self, name: str) -> list[str]:
        """Names of a table's columns."""
        folder = self.folder.join(name)
        with folder.filesystem.open_input_file(f"{folder.path}/{self._parts[name][0]['name']}") as stream:
            return pq.read_schema(stream).names

    def num_rows(self, name: str) -> int:
        return sum(p["rows"] for p in self._parts[name])

    def has(self, name: str) -> bool:
        return name in self._parts

    def items(self, item_row_I: np.ndarray) -> pa.Table:
        """The given item rows (ascending), reading only the shards that hold them: item_id and text."""
        pieces, offset = [], 0
        for part in self._parts["items"]:
            low, high = np.searchsorted(item_row_I, (offset, offset + part["rows"]))
            if low < high:
                shard = self._shard(part["name"])
                pieces.append(shard.take(pa.array(item_row_I[low:high] - offset)))
            offset += part["rows"]
        return pa.concat_tables(pieces)

    def _shard(self, name: str) -> pa.Table:
        """One shard of items; the last one read is kept, since ranges are asked for in order."""
        if self._last is None or self._last[0] != name:
            self._last = (name, self.folder.join("items").read_table(name, ["item_id", "text"]))
        return self._last[1]
