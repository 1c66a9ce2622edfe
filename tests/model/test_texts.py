"""Assembled inputs against the tokenizer's own."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from recsys.model._distinct import distinct
from recsys.model._texts import Template, batches, tokenize
from recsys.model._tokenizer import train_tokenizer
from tests.model import tiny


def own(texts: list[str]) -> PreTrainedTokenizerBase:
    """A tokenizer that knows every word of the texts."""
    return train_tokenizer([*texts, *(f"{t} !" for t in texts)], vocabulary_size=300)


@pytest.fixture(params=["bert", "roberta"])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> PreTrainedTokenizerBase:
    if request.param == "roberta":
        tiny.save_pretrained(tmp_path)
        return AutoTokenizer.from_pretrained(str(tmp_path))
    return own(tiny.texts(40, longest=9, seed=3))


def test_assembled_pairs_are_the_tokenizers_own(tokenizer: PreTrainedTokenizerBase) -> None:
    first, second = tiny.texts(9, longest=5, seed=4), [*tiny.texts(8, longest=30, seed=5), ""]
    template = Template.of(tokenizer, num_texts=2)
    row_B = np.arange(9)
    parts = [(tokenize(tokenizer, t, 16), torch.from_numpy(row_B), row_B) for t in (first, second)]
    batch = template.assemble(parts)
    cut = [" ".join(t.split()[:16]) for t in second]  # every word is one token
    assert max(len(tokenizer.tokenize(t)) for t in cut) == 16 < max(len(tokenizer.tokenize(t)) for t in second)
    expected = tokenizer(first, cut, padding=True, return_tensors="pt", return_token_type_ids=True)
    torch.testing.assert_close(batch.ids_BW, expected["input_ids"])
    torch.testing.assert_close(batch.mask_BW, expected["attention_mask"])
    kept_BW = expected["attention_mask"] == 1
    torch.testing.assert_close(batch.types_BW[kept_BW], expected["token_type_ids"][kept_BW])


def test_assembled_texts_are_the_tokenizers_own(tokenizer: PreTrainedTokenizerBase) -> None:
    texts = [*tiny.texts(9, longest=8, seed=4), ""]
    row_B = np.array([3, 9, 0, 0])
    parts = [(tokenize(tokenizer, texts, 64), torch.from_numpy(row_B), row_B)]
    batch = Template.of(tokenizer, num_texts=1).assemble(parts)
    expected = tokenizer([texts[r] for r in row_B], padding=True, return_tensors="pt")
    torch.testing.assert_close(batch.ids_BW, expected["input_ids"])
    torch.testing.assert_close(batch.mask_BW, expected["attention_mask"])


def test_no_mask_where_nothing_is_padded() -> None:
    tokenizer = own(["red shoe", "blue shoe"])
    row_B = np.array([0, 1])
    parts = [(tokenize(tokenizer, ["red shoe", "blue shoe"], 9), torch.from_numpy(row_B), row_B)]
    assert Template.of(tokenizer, num_texts=1).assemble(parts).mask_BW is None


def test_matched_tokens_occur_in_both_texts() -> None:
    tokenizer = own(["red shoe", "blue shoe"])
    row_B = np.arange(2)
    first, second = ["red shoe 水", "blue"], ["blue shoe shoe 水", "red"]
    parts = [(tokenize(tokenizer, t, 9), torch.from_numpy(row_B), row_B) for t in (first, second)]
    batch = Template.of(tokenizer, num_texts=2).assemble(parts)
    tokens_B = [tokenizer.convert_ids_to_tokens(ids_W.tolist()) for ids_W in batch.ids_BW]
    marked = [
        [t for t, m in zip(ts, ms, strict=True) if m] for ts, ms in zip(tokens_B, batch.matched_BW(), strict=True)
    ]
    assert marked == [["shoe", "shoe", "shoe"], []]  # neither special, unknown nor padding tokens


def test_distinct_texts_and_nulls() -> None:
    texts, code_N = distinct(pa.chunked_array([["b", "a"], [None, "b", ""]], pa.string()))
    assert texts == ["b", "a", ""]
    assert code_N.tolist() == [0, 1, 2, 0, 2]


@given(length_P=st.lists(st.integers(0, 40), max_size=60), budget=st.integers(1, 100))
def test_batches_hold_every_input_once_within_the_budget(length_P: list[int], budget: int) -> None:
    lengths = np.array(length_P, np.int64)
    found = list(batches(lengths, budget))
    assert sorted(np.concatenate(found).tolist() if found else []) == list(range(len(lengths)))
    for row_B in found:
        assert len(row_B) == 1 or len(row_B) * lengths[row_B].max() <= budget
    longest = [lengths[row_B].max() for row_B in found]
    assert longest == sorted(longest)


def test_tokenizer_depends_on_the_set_of_texts_alone_and_survives_a_folder(tmp_path: Path) -> None:
    texts = tiny.texts(60, longest=9, seed=8)
    tokenizer = own(texts)
    again = own(texts[::-1] + texts)
    assert again.get_vocab() == tokenizer.get_vocab()
    tokenizer.save_pretrained(tmp_path)
    opened = AutoTokenizer.from_pretrained(str(tmp_path))
    pair = ("Red SHÓE", "128gb blue")
    assert opened(*pair).data == tokenizer(*pair).data


def test_tokenizer_reads_accents_units_and_japanese() -> None:
    tokenizer = own(["teléfono 128 gb", "スピーカー ガラス"])
    assert tokenizer.tokenize("TELEFONO 128GB") == ["telefono", "128", "gb"]
    assert tokenizer.tokenize("ガラス") == ["ガ", "ラ", "ス"]  # the voicing mark of ガ stays
    assert tokenizer.tokenize("㍻") == ["[UNK]", "[UNK]"]
