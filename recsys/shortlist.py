"""The order of two models: the best items of the first, in the order of the second, stand above all others.

Each output of the second model has a shortlist of its own: the first N items of the first model's output, ties in order
of item row. They rank by the second model's score, ties tied. All others follow as the first model ranked them. An item
that only another output's shortlist holds was scored as well, but here it stays where the first model put it: so an
order depends on two rankings alone, and every rank is exact. Rows are positions in the corpus tables.

Shapes: P pairs scored by the second model (the union of the shortlists), N rows asked about.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, kw_only=True)
class Shortlist:
    """What the first model found, and which of its outputs each output of the second refines."""

    model: str  # the first model's name
    learned: bool  # whether it saw labels
    size: int  # items per query and output, at most
    firsts: dict[str, str]  # output of the second model -> output of the first
    num_items: int  # of the catalogue
    top: pa.Table  # query_row, output, rank, item_row, score: at least the first `size`
    ranks: pa.Table  # query_row, item_row, output, num_above, num_tied: of all labelled pairs

    def pairs(self) -> np.ndarray:
        """pair_P2 (query row, item row) of all shortlists, sorted, each once."""
        keys = np.unique(np.concatenate(list(self._keys.values())))
        return np.stack(np.divmod(keys, self.num_items), axis=1)

    def listed(self, pair_P2: np.ndarray) -> dict[str, np.ndarray] | None:
        """Output -> bool: which of the pairs are on its shortlist. None where all are on each."""
        listed = {o: np.isin(self._key(*pair_P2.T), self._keys[first]) for o, first in self.firsts.items()}
        return None if all(listed_P.all() for listed_P in listed.values()) else listed

    def below(
        self, query_row_N: np.ndarray, item_row_N: np.ndarray, output_N: pa.ChunkedArray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of labelled pairs: whether they are on their output's shortlist, and num_above and num_tied where not.

        Of the items a pair is tied with, some may have made the shortlist: they now stand above it. So at least `size`
        items do, and those that leave the tie are those that come to stand above.
        """
        listed_N = np.zeros(len(query_row_N), bool)
        above_N, tied_N = np.zeros((2, len(query_row_N)), np.int64)
        key_N = self._key(query_row_N, item_row_N)
        for output, first in self.firsts.items():
            mine = np.flatnonzero(pc.equal(output_N, output))
            ranks = self.ranks.filter(pc.equal(self.ranks["output"], first))
            key_R = self._key(ranks["query_row"].to_numpy(), ranks["item_row"].to_numpy())
            order = np.argsort(key_R)
            at = order[np.searchsorted(key_R, key_N[mine], sorter=order)]
            assert np.array_equal(key_R[at], key_N[mine]), "the first model ranked every labelled pair"
            first_above, first_tied = ranks["num_above"].to_numpy()[at], ranks["num_tied"].to_numpy()[at]
            listed_N[mine] = np.isin(key_N[mine], self._keys[first])
            above_N[mine] = np.maximum(first_above, self.size)
            tied_N[mine] = first_above + first_tied - above_N[mine]
        return listed_N, above_N, tied_N

    def rest(self, top_k: int) -> pa.Table:
        """query_row, output, rank, item_row, score of what the first model put beyond the shortlists, up to top_k."""
        beyond = pc.and_(pc.greater(self.top["rank"], self.size), pc.less_equal(self.top["rank"], top_k))
        found = self.top.filter(beyond)
        tables = []
        for output, first in self.firsts.items():
            own = found.filter(pc.equal(found["output"], first))
            name = pa.repeat(pa.scalar(output, pa.string()), own.num_rows)
            tables.append(own.set_column(own.column_names.index("output"), "output", name))
        return pa.concat_tables(tables)

    def told(self, second: str) -> dict[str, str | int]:
        """Both models by name, and N; two of one name are told apart."""
        first = self.model if self.model != second else f"first {second}"
        return {"first": first, "second": second, "top": self.size}

    @cached_property
    def _keys(self) -> dict[str, np.ndarray]:
        """Output of the first model -> the pairs of its shortlist, as numbers."""
        best = self.top.filter(pc.less_equal(self.top["rank"], self.size))
        return {
            first: self._key(own["query_row"].to_numpy(), own["item_row"].to_numpy())
            for first in dict.fromkeys(self.firsts.values())
            for own in (best.filter(pc.equal(best["output"], first)),)
        }

    def _key(self, query_row_N: np.ndarray, item_row_N: np.ndarray) -> np.ndarray:
        return query_row_N * self.num_items + item_row_N
