"""Writes the small files that source tests read, and reads a source whole."""

from pathlib import Path

import pyarrow as pa

from recsys.source import Source
from recsys.tables import RAW


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))
    return path


def read(source: Source, table: str) -> pa.Table:
    """All shards; each must conform to its contract already."""
    shards = list(source.read(table))
    assert all(s.schema.equals(RAW[table].conform(s).schema) for s in shards)
    return pa.concat_tables(shards)
