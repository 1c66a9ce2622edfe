"""Open Bandit Dataset: a fashion shop's recommendations with the probabilities they were made with.

Saito, Aihara, Matsutani & Narita, NeurIPS 2021 Datasets and Benchmarks; github.com/st-tech/zr-obp.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.source._files import File, find, join
from recsys.source._mapping import distinct, number
from recsys.source._reader import DelimitedReader, check_rows
from recsys.source._source import Source
from recsys.tables import RAW, TableError

CONTEXT = "item_context.csv"
USER = [f"user_feature_{i}" for i in range(4)]
ITEM = [f"item_feature_{i}" for i in range(4)]
LOG = ["timestamp", "item_id", "position", "click", "propensity_score", *USER]


@dataclass
class Openbandit(Source):
    """One campaign under one logging policy: `<campaign>.csv` and `item_context.csv` in a folder.

    A query is a kind of user: the four features that the log knows of one. Nothing is bought in this log.
    """

    path: str

    def tables(self) -> tuple[str, ...]:
        return ("items", "queries", "impressions")

    def identity(self) -> dict[str, str]:
        known = {}
        for name, columns in ((CONTEXT, ["item_id", *ITEM]), (self._log(), LOG)):
            file = self._file(name)
            names = DelimitedReader(",").names(file)
            missing = [c for c in columns if c not in names]
            if missing:
                raise TableError(
                    f"{name} has no columns {missing}; it has {names}; use a file of the Open Bandit Dataset"
                )
            check_rows(DelimitedReader(","), [file])
            known[name] = file.identity()
        return known

    def read(self, table: str) -> Iterator[pa.Table]:
        if table == "items":
            shards = (_items(s) for s in DelimitedReader(",").shards(self._file(CONTEXT), ["item_id", *ITEM]))
        else:
            shown = DelimitedReader(",").shards(self._file(self._log()), LOG)
            shards = distinct(_users(s) for s in shown) if table == "queries" else _numbered(shown)
        for shard in shards:
            yield RAW[table].conform(shard)

    def _log(self) -> str:
        """The one other file of the folder."""
        names = [f.name for f in find(self.path, (".csv",)) if posixpath.dirname(f.name) == "" and f.name != CONTEXT]
        if len(names) != 1:
            raise TableError(
                f"{self.path} must hold {CONTEXT} and one log beside it, such as men/men.csv; it has the logs {names}; "
                "set source.path to the folder of one campaign under one policy"
            )
        return names[0]

    def _file(self, name: str) -> File:
        (file,) = find(join(self.path, name), ())
        return file


def _items(context: pa.Table) -> pa.Table:
    words = [pc.binary_join_element_wise(name, context[name], " ") for name in ITEM[1:]]
    columns = {"item_id": context["item_id"], "text": pc.binary_join_element_wise(*words, " ")}
    features = {name: context[name] for name in ITEM[1:]}
    return pa.table(columns | features | {ITEM[0]: number(context[ITEM[0]], ITEM[0])})


def _user(log: pa.Table) -> pa.ChunkedArray:
    """The user's id: its features, shortened."""
    return pc.binary_join_element_wise(*(pc.utf8_slice_codeunits(log[name], 0, 8) for name in USER), "-")


def _users(log: pa.Table) -> pa.Table:
    words = [pc.binary_join_element_wise(name, log[name], " ") for name in USER]
    columns = {
        "query_id": _user(log),
        "text": pc.binary_join_element_wise(*words, " "),
        "kind": pa.repeat(pa.scalar("user"), log.num_rows),
    }
    return pa.table(columns | {name: log[name] for name in USER})


def _numbered(shards: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Impressions, identified by the row of the log they stand in."""
    start = 0
    for log in shards:
        number_N = np.arange(start, start + log.num_rows)
        start += log.num_rows
        columns = {
            "impression_id": pa.array([f"{n:09d}" for n in number_N.tolist()], pa.string()),
            "query_id": _user(log),
            "item_id": log["item_id"],
            "position": log["position"].cast(pa.int32()),
            "propensity": number(log["propensity_score"], "propensity_score"),
            "click": log["click"].cast(pa.int8()),
            "purchase": pa.repeat(pa.scalar(0, pa.int8()), log.num_rows),
        }
        yield pa.table(columns)
