"""What a tile leaves: one Parquet file whose rows are the scores kept.

Its footer holds what the tile counted and a checksum, so the part is the commit.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.grid import Tile
from recsys.store import Folder, ipc_bytes, parquet_bytes

_KEY = "recsys."


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What a tile counts, whatever it keeps. Adds up over tiles: see `recsys.merge`."""

    histogram: pa.Table  # query_row, output, bin, count: only bins that are not empty
    labelled: pa.Table  # query_row, item_row, output, num_above, num_tied: within the tile
    top: pa.Table  # query_row, output, item_row, score: best first

    def to_text(self) -> str:
        data = b"".join(
            len(block).to_bytes(8, "little") + block
            for block in map(ipc_bytes, (self.histogram, self.labelled, self.top))
        )
        return base64.b64encode(pa.compress(data, "zstd", asbytes=True)).decode() + f":{len(data)}"

    @classmethod
    def from_text(cls, text: str) -> "Counters":
        encoded, size = text.split(":")
        data = pa.decompress(base64.b64decode(encoded), int(size), "zstd", asbytes=True)
        tables, at = [], 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            tables.append(pa.ipc.open_stream(data[at + 8 : at + 8 + length]).read_all())
            at += 8 + length
        return cls(histogram=tables[0], labelled=tables[1], top=tables[2])


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What is told about a committed tile."""

    tile: int
    num_pairs: int
    num_rows: int  # rows kept
    num_bytes: int
    checksum: str
    seconds: float  # from its start to its commit; 0 if it was committed before
    encode_s: float  # of these, to encode texts
    scored: bool  # False if it was committed before
    taken: bool = False  # over from a base, whenever that was: see `recsys.delta`


def _checksum(table: pa.Table, counters: str) -> str:
    return hashlib.sha256(ipc_bytes(table.replace_schema_metadata(None)) + counters.encode()).hexdigest()


def write_part(
    folder: Folder,
    tile: Tile,
    table: pa.Table,
    counters: Counters,
    *,
    fingerprint: str,
    model: str,
    num_pairs: int,
    taken: str = "",  # fingerprint of the base it was taken over from, if it was
) -> Receipt:
    """Commits a tile."""
    text = counters.to_text()
    checksum = _checksum(table, text)
    facts = {"tile": tile.index, "fingerprint": fingerprint, "pairs": num_pairs, "checksum": checksum, "model": model}
    facts |= {"taken": taken} if taken else {}
    metadata = {f"{_KEY}{k}": str(v) for k, v in facts.items()} | {f"{_KEY}counters": text}
    scores = [n for n in table.column_names if n.startswith("score_")]
    data = parquet_bytes(table.replace_schema_metadata(metadata), float_columns=scores)
    folder.write(f"{tile.name}.parquet", data)
    return _receipt(tile, facts, table.num_rows, data.size, scored=not taken)


def _receipt(tile: Tile, facts: dict[str, Any], num_rows: int, size: int, *, scored: bool) -> Receipt:
    return Receipt(
        tile=tile.index,
        num_pairs=int(facts["pairs"]),
        num_rows=num_rows,
        num_bytes=size,
        checksum=facts["checksum"],
        seconds=0.0,
        encode_s=0.0,
        scored=scored,
        taken="taken" in facts,
    )


def committed(folder: Folder, tile: Tile, fingerprint: str) -> Receipt | None:
    """The receipt of a tile whose part is there, readable and of this run; None otherwise."""
    name = f"{tile.name}.parquet"
    if not folder.exists(name):
        return None
    try:
        facts, num_rows = _facts(folder, name)
    except (pa.ArrowException, OSError, KeyError):
        return None  # truncated or foreign: scored again, and replaced
    if facts["fingerprint"] != fingerprint or int(facts["tile"]) != tile.index:
        return None
    size = folder.filesystem.get_file_info(f"{folder.path}/{name}").size
    return _receipt(tile, facts, num_rows, size, scored=False)


def _facts(folder: Folder, name: str) -> tuple[dict[str, str], int]:
    with folder.filesystem.open_input_file(f"{folder.path}/{name}") as stream:
        footer = pq.read_metadata(stream)
    metadata = {k.decode(): v.decode() for k, v in (footer.metadata or {}).items()}
    keys = ("tile", "fingerprint", "pairs", "checksum", "counters")
    keys += ("taken",) if f"{_KEY}taken" in metadata else ()
    return {k: metadata[f"{_KEY}{k}"] for k in keys}, footer.num_rows


def read_counters(folder: Folder, tile: Tile) -> Counters:
    """The counters of a committed tile."""
    return Counters.from_text(_facts(folder, f"{tile.name}.parquet")[0]["counters"])


def read_part(folder: Folder, name: str) -> tuple[dict[str, str], pa.Table] | None:
    """What a part's footer says, and its rows; None if these or its counters have not the checksum they had."""
    try:
        facts, _ = _facts(folder, name)
        table = folder.read_table(name)
        return (facts, table) if _checksum(table, facts["counters"]) == facts["checksum"] else None
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return None


def verify(folder: Folder, name: str) -> bool:
    """Whether a part can be read, and its rows and counters still have the checksum they were written with."""
    return read_part(folder, name) is not None
