from pathlib import Path

import numpy as np
import pytest

from recsys.model import Random
from tests.model import tiny


def open_random(folder: Path, *, seed: int, spread: float):
    folder.mkdir()
    model = Random(spread=spread)
    model.fit(tiny.queries(), tiny.items(), seed, folder)
    return model.load(folder, "cpu")


def test_score_is_a_function_of_the_ids_alone(tmp_path: Path) -> None:
    scorer = open_random(tmp_path / "a", seed=3, spread=2.0)
    queries, items = tiny.queries(), tiny.items()
    score_TQI = scorer.score(scorer.encode_queries(queries), scorer.encode_items(items))
    backwards = items.take(np.arange(len(items))[::-1])
    again_TQI = scorer.score(scorer.encode_queries(queries.slice(2, 3)), scorer.encode_items(backwards))
    assert score_TQI.shape == (1, len(queries), len(items))
    assert score_TQI.dtype == np.float32
    np.testing.assert_array_equal(again_TQI, score_TQI[:, 2:5, ::-1])
    pair_P2 = tiny.every_pair(len(queries), len(items))
    pairs_TP = scorer.score_pairs(scorer.encode_queries(queries), scorer.encode_items(items), pair_P2)
    np.testing.assert_array_equal(pairs_TP.reshape(score_TQI.shape), score_TQI)


def test_scores_are_uniform_and_differ_by_seed(tmp_path: Path) -> None:
    num = 300
    queries, items = tiny.queries(num), tiny.items(num)
    score, other = (
        s.score(s.encode_queries(queries), s.encode_items(items)).ravel()
        for s in (open_random(tmp_path / str(k), seed=k, spread=2.0) for k in (1, 2))
    )
    error = 4 / np.sqrt(num * num)  # four standard errors of a uniform on [-1, 1) have about this size
    assert -2.0 <= score.min() < -1.99
    assert 1.99 < score.max() < 2.0
    np.testing.assert_allclose(score.mean(), 0.0, atol=2 * error)
    np.testing.assert_allclose(score.std(), 2 / np.sqrt(3), atol=2 * error)
    assert abs(np.corrcoef(score, other)[0, 1]) < error


def test_spread_must_be_positive() -> None:
    with pytest.raises(ValueError, match="spread=0"):
        Random(spread=0)
