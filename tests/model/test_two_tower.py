from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from recsys.model import TwoTower
from tests.model import tiny
from tests.model.behaviour import (
    check_a_tile_does_not_depend_on_what_was_scored_before,
    check_training_computes_what_the_scorer_does,
)
from tests.model.weights import minilm

SCRATCH = TwoTower(pretrained=None, **tiny.SIZES)
OUTPUTS = ("relevance", "click")


def plain_vectors(folder: Path, texts: list[str]) -> np.ndarray:
    """Mean-pooled vectors of length 1 by transformers alone, one text at a time."""
    model = AutoModel.from_pretrained(str(folder)).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    vectors = []
    for text in texts:
        with torch.inference_mode():
            inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
            vectors.append(model(**inputs).last_hidden_state[0].mean(0).numpy())
    return np.stack([v / np.linalg.norm(v) for v in vectors])


@pytest.mark.parametrize("kind", ["scratch", "roberta", "minilm"])
def test_scores_equal_transformers(tmp_path: Path, kind: str) -> None:
    model = SCRATCH
    if kind == "roberta":
        (tmp_path / "pretrained").mkdir()
        tiny.save_pretrained(tmp_path / "pretrained")
        model = replace(SCRATCH, pretrained=str(tmp_path / "pretrained"))
    if kind == "minilm":
        model = replace(SCRATCH, pretrained=str(minilm()))
    queries, items = tiny.queries(), tiny.items()
    network = model.build(queries, items, OUTPUTS, seed=5)
    with torch.no_grad():
        for parameter in network.heads.parameters():
            parameter.copy_(0.003 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    network.save(tmp_path)
    scorer = model.load(tmp_path, "cpu")
    encoded = scorer.encode_queries(queries), scorer.encode_items(items)
    score_TQI = scorer.score(*encoded)
    query_QD, item_ID = (plain_vectors(tmp_path, t["text"].to_pylist()) for t in (queries, items))
    for output, score_QI in enumerate(score_TQI):
        turn_DD = np.eye(query_QD.shape[1]) + network.heads.turn_TDD[output].detach().numpy()
        scale = 10 * np.exp(100 * network.heads.log_scale_T[output].item())
        bias = -5 + 100 * network.heads.bias_T[output].item()
        np.testing.assert_allclose(score_QI, scale * (query_QD @ turn_DD.T) @ item_ID.T + bias, atol=1e-4)
    pair_P2 = tiny.every_pair(len(queries), len(items))[::-3]
    pairs_TP = scorer.score_pairs(*encoded, pair_P2)
    np.testing.assert_allclose(pairs_TP, score_TQI[:, pair_P2[:, 0], pair_P2[:, 1]], atol=1e-4)


def test_untrained_heads_rank_by_cosine(tmp_path: Path) -> None:
    SCRATCH.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5).save(tmp_path)
    scorer = SCRATCH.load(tmp_path, "cpu")
    score_TQI = scorer.score(scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.queries()))
    np.testing.assert_array_equal(score_TQI[0], score_TQI[1])
    np.testing.assert_allclose(score_TQI[0].diagonal(), 10 * 1 - 5, atol=1e-4)  # a text has cosine 1 with itself
    np.testing.assert_allclose(score_TQI[0], score_TQI[0].T, atol=1e-4)
    assert score_TQI.min() < 4.9


def test_a_tile_has_the_same_bits_whatever_was_scored_before(tmp_path: Path) -> None:
    SCRATCH.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5).save(tmp_path)
    check_a_tile_does_not_depend_on_what_was_scored_before(SCRATCH, tmp_path)


def test_network_in_training_equals_the_scorer(tmp_path: Path) -> None:
    check_training_computes_what_the_scorer_does(
        SCRATCH, SCRATCH.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5), tmp_path
    )


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        replace(SCRATCH, pretrained=str(tmp_path / "missing")).check()
    (tmp_path / "scorer.json").write_text('{"model": "two_tower", "outputs": ["click"]}')
    with pytest.raises(ValueError, match="not a complete two_tower"):
        SCRATCH.load(tmp_path, "cpu")


def test_from_scratch_and_untrained_it_finds_the_text_that_shares_words(tmp_path: Path) -> None:
    network = SCRATCH.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5)
    network.save(tmp_path)
    scorer = SCRATCH.load(tmp_path, "cpu")
    query, items = ["lamp desk"], ["boot for usb", "a desk and a lamp", "green shoe", "pan"]
    encoded_queries = scorer.encode_queries(pa.table({"query_id": ["q"], "text": query}))
    encoded_items = scorer.encode_items(pa.table({"item_id": ["a", "b", "c", "d"], "text": items}))
    assert scorer.score(encoded_queries, encoded_items)[0, 0].argmax() == 1
