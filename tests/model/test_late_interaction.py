from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from recsys.model import LateInteraction
from tests.model import tiny
from tests.model.weights import minilm

SCRATCH = LateInteraction(pretrained=None, **tiny.SIZES)
OUTPUTS = ("relevance", "click")


def saved(model: LateInteraction, folder: Path) -> LateInteraction:
    network = model.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5)
    with torch.no_grad():
        network.towers.heads.log_scale_T.copy_(torch.tensor([0.001, -0.002]))
        network.towers.heads.bias_T.copy_(torch.tensor([0.01, 0.03]))
    network.save(folder)
    return model


def plain_matches(folder: Path, queries: list[str], items: list[str]) -> np.ndarray:
    """The mean largest cosine by transformers alone, one pair at a time."""
    model, tokenizer = AutoModel.from_pretrained(str(folder)).eval(), AutoTokenizer.from_pretrained(str(folder))

    def vectors(text: str) -> np.ndarray:
        with torch.inference_mode():
            inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
            hidden_WD = model(**inputs).last_hidden_state[0].double().numpy()
        return hidden_WD / np.linalg.norm(hidden_WD, axis=1, keepdims=True)

    return np.array([[(vectors(q) @ vectors(i).T).max(1).mean() for i in items] for q in queries])


@pytest.mark.parametrize("kind", ["scratch", "minilm"])
def test_scores_equal_transformers(tmp_path: Path, kind: str) -> None:
    model = SCRATCH if kind == "scratch" else replace(SCRATCH, pretrained=str(minilm()))
    saved(model, tmp_path)
    queries, items = tiny.queries(), tiny.items()
    scorer = model.load(tmp_path, "cpu")
    encoded = scorer.encode_queries(queries), scorer.encode_items(items)
    score_TQI = scorer.score(*encoded)
    match_QI = plain_matches(tmp_path, queries["text"].to_pylist(), items["text"].to_pylist())
    for score_QI, scale, bias in zip(score_TQI, (10 * np.exp(0.1), 10 * np.exp(-0.2)), (-4.0, -2.0), strict=True):
        np.testing.assert_allclose(score_QI, scale * match_QI + bias, atol=2e-4)
    pair_P2 = tiny.every_pair(len(queries), len(items))[::-3]
    pairs_TP = scorer.score_pairs(*encoded, pair_P2)
    np.testing.assert_allclose(pairs_TP, score_TQI[:, pair_P2[:, 0], pair_P2[:, 1]], atol=1e-4)


def test_small_blocks_score_what_large_ones_do(tmp_path: Path) -> None:
    scorer = saved(SCRATCH, tmp_path).load(tmp_path, "cpu")
    encoded = scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.items())
    large_TQI = scorer.score(*encoded)
    scorer._logits = 1  # type: ignore[attr-defined]
    np.testing.assert_allclose(scorer.score(*encoded), large_TQI, atol=1e-5)


def test_a_tile_has_the_same_bits_whatever_was_scored_before(tmp_path: Path) -> None:
    saved(SCRATCH, tmp_path)
    tile = tiny.queries().slice(1, 4), tiny.items().slice(3, 11)
    first, second = SCRATCH.load(tmp_path, "cpu"), SCRATCH.load(tmp_path, "cpu")
    second.score(second.encode_queries(tiny.queries()), second.encode_items(tiny.items()))
    scores = [s.score(s.encode_queries(tile[0]), s.encode_items(tile[1])) for s in (first, second)]
    np.testing.assert_array_equal(scores[0], scores[1])


def test_network_in_training_equals_the_scorer(tmp_path: Path) -> None:
    network = SCRATCH.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5)
    query_texts, item_texts = tiny.queries()["text"].to_pylist(), tiny.items()["text"].to_pylist()[:7]
    logit_BT = network(**network.collate(query_texts, item_texts))
    assert logit_BT.shape == (7, 2)
    logit_BT.sum().backward()
    assert [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None] == []
    network.save(tmp_path)
    scorer = SCRATCH.load(tmp_path, "cpu")
    score_TQI = scorer.score(scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.items()))
    np.testing.assert_allclose(logit_BT.detach().numpy(), score_TQI[:, range(7), range(7)].T, atol=1e-4)


def test_no_pairs(tmp_path: Path) -> None:
    scorer = saved(SCRATCH, tmp_path).load(tmp_path, "cpu")
    encoded = scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.items())
    assert scorer.score_pairs(*encoded, np.zeros((0, 2), np.int64)).shape == (2, 0)
