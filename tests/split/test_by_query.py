import hashlib
import math
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.seed import seed
from recsys.source import Chorus
from recsys.split import ByQuery
from recsys.split.by_query import counts
from recsys.tables import SPLITS
from tests.data import data_folder

texts = st.lists(st.text("abAB \t", max_size=3), min_size=1, max_size=40)


def split(train: float = 0.6, validation: float = 0.2, test: float = 0.2, seed: int = 0) -> ByQuery:
    return ByQuery(train=train, validation=validation, test=test, seed=seed)


def queries(words: list[str], **columns: Any) -> pa.Table:
    return pa.table({"query_id": [str(n) for n in range(len(words))], "text": pa.array(words, pa.string()), **columns})


def assigned(words: list[str], by: ByQuery | None = None) -> list[str]:
    return (by or split()).assign(queries(words)).to_pylist()


def test_sizes_are_exact() -> None:
    assert Counter(assigned([f"query {n}" for n in range(1000)])) == {"train": 600, "validation": 200, "test": 200}


def test_texts_are_placed_by_their_hash() -> None:
    words = [f"query {n}" for n in range(50)]
    key = seed(7, "split").to_bytes(8, "little")
    ordered = sorted(
        words, key=lambda w: int.from_bytes(hashlib.blake2b(w.encode(), digest_size=8, key=key).digest(), "little")
    )
    wanted = dict(zip(ordered, ["train"] * 30 + ["validation"] * 10 + ["test"] * 10, strict=True))
    assert assigned(words, split(seed=7)) == [wanted[w] for w in words]
    assert assigned(words, split(seed=8)) != assigned(words, split(seed=7))


def test_the_same_text_never_straddles() -> None:
    words = [w for n in range(60) for w in (f"Red  Sofa {n}", f" red sofa {n}\t", f"ＲＥＤ SOFA {n}")]
    found = assigned(words)
    assert all(len(set(found[n : n + 3])) == 1 for n in range(0, len(words), 3))
    assert set(found) == set(SPLITS)


@settings(max_examples=50, deadline=None)
@given(texts, st.randoms(use_true_random=False), st.integers(0, 40))
def test_order_chunks_and_repetition_do_not_matter(words: list[str], random: Any, cut: int) -> None:
    order = random.sample(range(len(words)), len(words))
    found = assigned(words)
    shuffled = queries([words[n] for n in order])
    shuffled = pa.concat_tables([shuffled.slice(0, cut), shuffled.slice(cut)])
    assert split().assign(shuffled).to_pylist() == [found[n] for n in order]
    places = {}
    for word, place in zip(words, found, strict=True):
        assert places.setdefault(" ".join(word.lower().split()), place) == place
    assert assigned([*words, words[0]])[:-1] == found


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10), st.integers(0, 10), st.integers(1, 10), st.integers(1, 60))
def test_counts_add_up_and_nobody_is_left_out(train: int, validation: int, test: int, num_texts: int) -> None:
    parts: dict[str, int] = dict(zip(SPLITS, (train, validation, test), strict=True))
    fractions = {n: p / sum(parts.values()) for n, p in parts.items()}
    found: dict[str, int] = dict(zip(SPLITS, counts(fractions, num_texts), strict=True))
    wanted = [n for n in SPLITS if parts[n]]
    assert sum(found.values()) == num_texts
    assert all(found[n] == 0 for n in SPLITS if not parts[n])
    if num_texts >= len(wanted):
        assert all(found[n] >= 1 for n in wanted)
    if all(math.floor(f * num_texts) for f in fractions.values() if f):
        assert all(abs(found[n] - fractions[n] * num_texts) < 1 for n in SPLITS)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["a"], {"test": 1}),
        (["a", "A "], {"test": 2}),
        (["a", "b"], {"test": 1, "train": 1}),
        (["a", "b", "c"], {"test": 1, "train": 1, "validation": 1}),
        (["a", "b", "c", "d"], {"test": 1, "train": 2, "validation": 1}),
    ],
)
def test_few_queries_go_to_test_first(words: list[str], wanted: dict[str, int]) -> None:
    assert Counter(assigned(words)) == wanted


def test_a_split_may_be_switched_off() -> None:
    assert Counter(assigned(["a", "b", "c", "d"], split(0, 0.5, 0.5))) == {"validation": 2, "test": 2}
    assert assigned(["a"], split(1, 0, 0)) == ["train"]
    assert assigned([]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": 0.7}, r"train \+ split.validation \+ split.test = 1.1; they must add up to 1"),
        ({"train": -0.2, "test": 1.0}, r"split.train=-0.2 must lie in \[0, 1\]"),
        ({"seed": -1}, r"split.seed=-1"),
    ],
)
def test_fractions_are_checked(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split(**changes)


def test_chorus() -> None:
    shop = Chorus(path=str(data_folder("chorus_icecat")), fields=["title"], category=None, attributes=[])
    (asked,) = shop.read("queries")
    found = split().assign(asked)
    assert Counter(found.to_pylist()) == {"train": 65, "validation": 21, "test": 22}
