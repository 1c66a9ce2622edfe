from pathlib import Path

import bm25s
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.model import Bm25
from recsys.model.bm25 import tokenize
from recsys.scorer import Scorer
from tests.model import tiny


def open_bm25(folder: Path, items: pa.Table, *, stopwords: str | None = None) -> Scorer:
    folder.mkdir()
    model = Bm25(k1=1.2, b=0.6, stopwords=stopwords)
    model.fit(tiny.queries(), items, 0, folder)
    return model.load(folder, "cpu")


def all_scores(scorer: Scorer, queries: pa.Table, items: pa.Table) -> np.ndarray:
    return scorer.score(scorer.encode_queries(queries), scorer.encode_items(items))


@pytest.mark.parametrize("stopwords", [None, "en"])
def test_equals_bm25s_on_the_whole_catalogue(tmp_path: Path, stopwords: str | None) -> None:
    items, queries = tiny.items(60), tiny.queries(20)
    score_QI = all_scores(open_bm25(tmp_path / "m", items, stopwords=stopwords), queries, items)[0]
    reference = bm25s.BM25(k1=1.2, b=0.6, method="lucene")
    reference.index(tokenize(items["text"].to_pylist(), stopwords), show_progress=False)
    for query, tokens in enumerate(tokenize(queries["text"].to_pylist(), stopwords)):
        known = [t for t in tokens if t in reference.vocab_dict]
        expected_I = reference.get_scores(known) if known else 0.0
        np.testing.assert_allclose(score_QI[query], expected_I, atol=1e-4)
    assert score_QI.max() > 1


def test_hand_sum(tmp_path: Path) -> None:
    items = pa.table({"item_id": ["a", "b", "c"], "text": ["red shoe", "red red lamp desk", "blue shoe"]})
    queries = pa.table({"query_id": ["q"], "text": ["Red red lamp"]})
    score_I = all_scores(open_bm25(tmp_path / "m", items), queries, items)[0, 0]
    norm_a, norm_b = (1.2 * (0.4 + 0.6 * length / (8 / 3)) for length in (2, 4))
    idf_red, idf_lamp = np.log(1 + 1.5 / 2.5), np.log(1 + 2.5 / 1.5)
    expected = [2 * idf_red / (1 + norm_a), 2 * idf_red * 2 / (2 + norm_b) + idf_lamp / (1 + norm_b), 0]
    np.testing.assert_allclose(score_I, expected, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    query_rows=st.lists(st.integers(0, 19), min_size=1, max_size=8),
    item_rows=st.lists(st.integers(0, 59), min_size=1, max_size=9),
)
def test_a_cell_has_the_same_bits_in_every_tile_and_as_a_pair(
    tmp_path_factory: pytest.TempPathFactory, query_rows: list[int], item_rows: list[int]
) -> None:
    items, queries = tiny.items(60), tiny.queries(20)
    scorer = open_bm25(tmp_path_factory.mktemp("bm25") / "m", items)
    whole_TQI = all_scores(scorer, queries, items)
    encoded = scorer.encode_queries(queries.take(query_rows)), scorer.encode_items(items.take(item_rows))
    expected_TQI = whole_TQI[:, query_rows][:, :, item_rows]
    np.testing.assert_array_equal(scorer.score(*encoded), expected_TQI)
    pair_P2 = tiny.every_pair(len(query_rows), len(item_rows))
    np.testing.assert_array_equal(scorer.score_pairs(*encoded, pair_P2), expected_TQI.reshape(1, -1))


def test_japanese_runs_become_bigrams() -> None:
    assert tokenize(["Sony スピーカー xb-13", "本 箱", "東京"], None) == [
        ["sony", "スピ", "ピー", "ーカ", "カー", "xb", "13"],
        [],
        ["東京"],
    ]


def test_wrong_values_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="k1=-1"):
        Bm25(k1=-1, b=0.5, stopwords=None)
    with pytest.raises(ValueError, match=r"b=1\.5"):
        Bm25(k1=1, b=1.5, stopwords=None)
    with pytest.raises(ValueError, match="'klingon'"):
        Bm25(k1=1, b=0.5, stopwords="klingon")
    model = Bm25(k1=1, b=0.5, stopwords=None)
    with pytest.raises(ValueError, match=r"has no scorer\.json"):
        model.load(tmp_path, "cpu")
    (tmp_path / "scorer.json").write_text('{"model": "random", "outputs": ["match"], "seed": 1}')
    with pytest.raises(ValueError, match="'random', not a 'bm25'"):
        model.load(tmp_path, "cpu")
