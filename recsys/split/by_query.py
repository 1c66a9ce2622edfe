"""Whole queries, by a hash of what they say."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.seed import hash_ids, seed
from recsys.split._split import Split
from recsys.tables import SPLITS

FIRST_SERVED = ("test", "train", "validation")  # who gets a text when there are too few for all


@dataclass
class ByQuery(Split):
    """Queries with the same text (case and white space aside), in whatever locale, share a split: nothing leaks.

    Texts are ordered by their hash and cut at the fractions, so the number of texts in each split is exact (largest
    remainder). Every split with a fraction above 0 gets at least one text; if there are too few, test is served before
    train, and train before validation: a single text is test.
    """

    train: float
    validation: float
    test: float
    seed: int

    def __post_init__(self) -> None:
        for name, fraction in self._fractions().items():
            if not 0 <= fraction <= 1:
                raise ValueError(f"split.{name}={fraction} must lie in [0, 1]")
        total = sum(self._fractions().values())
        if abs(total - 1) > 1e-9:
            raise ValueError(f"split.train + split.validation + split.test = {total:g}; they must add up to 1")
        if self.seed < 0:
            raise ValueError(f"split.seed={self.seed} must be at least 0")

    def assign(self, queries: pa.Table) -> pa.Array:
        encoded = pc.dictionary_encode(comparable(queries["text"])).combine_chunks()
        texts = encoded.dictionary.to_pylist()
        hash_U = hash_ids(texts, seed(self.seed, "split"))
        order_U = np.lexsort((np.array(texts, dtype=object), hash_U))
        split_U = np.empty(len(texts), np.int64)
        split_U[order_U] = np.repeat(np.arange(len(SPLITS)), counts(self._fractions(), len(texts)))
        return pa.array(SPLITS, pa.string()).take(pa.array(split_U).take(encoded.indices))

    def _fractions(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in SPLITS}


def comparable(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts that count as the same are equal: NFKC, lower case, white space collapsed."""
    folded = pc.utf8_lower(pc.utf8_normalize(pc.fill_null(texts, ""), "NFKC"))
    return pc.utf8_trim(pc.replace_substring_regex(folded, r"[\p{Z}\p{Cc}]+", " "), " ")


def counts(fractions: dict[str, float], num_texts: int) -> list[int]:
    """How many texts each split gets, in the order of the fractions: largest remainder, at least one where possible."""
    wanted = [n for n in FIRST_SERVED if fractions[n] > 0]
    if num_texts <= len(wanted):
        return [int(n in wanted[:num_texts]) for n in fractions]
    exact = {n: f * num_texts for n, f in fractions.items()}
    number = {n: int(np.floor(e + 1e-9)) for n, e in exact.items()}
    by_remainder = sorted(wanted, key=lambda n: number[n] - exact[n])
    for name in by_remainder[: num_texts - sum(number.values())]:
        number[name] += 1
    for name in (n for n in wanted if not number[n]):
        number[max(wanted, key=lambda n: number[n])] -= 1
        number[name] = 1
    return list(number.values())
