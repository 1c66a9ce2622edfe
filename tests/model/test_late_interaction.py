from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from recsys.model import LateInteraction
from tests.model import tiny
from tests.model.behaviour import (
    check_a_tile_does_not_depend_on_what_was_scored_before,
    check_no_pairs_have_no_scores,
    check_training_computes_what_the_scorer_does,
)
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
    check_a_tile_does_not_depend_on_what_was_scored_before(SCRATCH, tmp_path)


def test_network_in_training_equals_the_scorer(tmp_path: Path) -> None:
    check_training_computes_what_the_scorer_does(
        SCRATCH, SCRATCH.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5), tmp_path
    )


def test_no_pairs(tmp_path: Path) -> None:
    saved(SCRATCH, tmp_path)
    check_no_pairs_have_no_scores(SCRATCH, tmp_path)
