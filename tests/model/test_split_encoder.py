from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.model import SplitEncoder, TwoTower
from recsys.model._split_encoder import SplitNetwork
from tests.model import tiny
from tests.model.behaviour import (
    check_a_tile_does_not_depend_on_what_was_scored_before,
    check_no_pairs_have_no_scores,
    check_training_computes_what_the_scorer_does,
)
from tests.model.weights import minilm

SCRATCH = SplitEncoder(pretrained=None, joint_layers=2, **{**tiny.SIZES, "num_layers": 3})
OUTPUTS = ("relevance", "click")


def shaken(model: SplitEncoder, folder: Path) -> SplitNetwork:
    """A network whose correction is not zero, saved."""
    network = model.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5).eval()
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in (network.correction.head_TD, network.correction.mark_JD, network.towers.heads.turn_TDD):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=random))
    network.save(folder)
    return network


def plain_matches(network: SplitNetwork, query: str, item: str) -> torch.Tensor:
    """match_W of [CLS] query [SEP]: the share of the query's tokens that the item has, 1 or 0 for each, 0."""
    tokenizer = network.towers.tokenizer
    query_tokens, item_tokens = (
        [t if t != tokenizer.unk_token else None for t in tokenizer.tokenize(text)] for text in (query, item)
    )
    found = [float(t is not None and t in item_tokens) for t in query_tokens]
    known = sum(t is not None for t in query_tokens)
    return torch.tensor([sum(found) / max(known, 1), *found, 0.0])


def plain_score(network: SplitNetwork, query: str, item: str) -> np.ndarray:
    """score_T from whole transformer layers over the concatenated texts, under a mask that hides the query from the
    item; what passes by the first one's attention bears the mark of tokens that stand in both texts."""
    model, tokenizer = network.towers.model, network.towers.tokenizer
    with torch.inference_mode():
        sides = [tokenizer([text], return_tensors="pt", return_token_type_ids=False) for text in (query, item)]
        states = [model(**side, output_hidden_states=True).hidden_states for side in sides]
        num = len(network.correction.layers)
        hidden_1WD = states[0][-1 - num]
        for j, joint in enumerate(network.correction.layers):
            item_1WD = states[1][-1 - num + j] + network.correction.mark_JD[j]
            both = torch.cat([hidden_1WD, item_1WD], dim=1)
            width = hidden_1WD.shape[1]
            mask = torch.zeros(1, 1, both.shape[1], both.shape[1])
            mask[:, :, width:, :width] = -torch.inf
            output = joint.layer.attention.output  # type: ignore[union-attr]
            mark_1WD = torch.zeros_like(both)
            if j == 0:
                mark_1WD[0, :width] = torch.outer(plain_matches(network, query, item), network.correction.match_D)
            hook = output.register_forward_pre_hook(lambda _, x, m=mark_1WD: (x[0], x[1] + m))  # type: ignore[operator]
            hidden_1WD = joint.layer(both, mask)[:, :width]  # type: ignore[operator]
            hook.remove()  # type: ignore[union-attr]
        vectors = [torch.nn.functional.normalize(s[-1].mean(1), dim=-1)[0] for s in states]
        heads = network.towers.heads
        base = [
            10 * torch.exp(100 * heads.log_scale_T[t]) * (vectors[0] + heads.turn_TDD[t] @ vectors[0]) @ vectors[1]
            - 5
            + 100 * heads.bias_T[t]
            for t in range(len(OUTPUTS))
        ]
        return (torch.stack(base) + 10 * network.correction.head_TD @ hidden_1WD[0, 0]).numpy()


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_scores_equal_whole_layers_under_a_mask(tmp_path: Path, num_layers: int) -> None:
    model = replace(SCRATCH, joint_layers=num_layers)
    network, queries, items = shaken(model, tmp_path), tiny.queries(), tiny.items()
    scorer = model.load(tmp_path, "cpu")
    encoded = scorer.encode_queries(queries), scorer.encode_items(items)
    score_TQI = scorer.score(*encoded)
    expected_TQI = np.zeros_like(score_TQI)
    for q, query in enumerate(queries["text"].to_pylist()):
        for i, item in enumerate(items["text"].to_pylist()):
            expected_TQI[:, q, i] = plain_score(network, query, item)
    assert score_TQI.dtype == np.float32
    np.testing.assert_allclose(score_TQI, expected_TQI, atol=1e-4)
    pair_P2 = tiny.every_pair(len(queries), len(items))[::-3]
    pairs_TP = scorer.score_pairs(*encoded, pair_P2)
    np.testing.assert_allclose(pairs_TP, score_TQI[:, pair_P2[:, 0], pair_P2[:, 1]], atol=1e-4)


def test_pretrained_scores_equal_whole_layers_under_a_mask(tmp_path: Path) -> None:
    model = replace(SCRATCH, pretrained=str(minilm()))
    network, queries, items = shaken(model, tmp_path), tiny.queries(), tiny.items()
    scorer = model.load(tmp_path, "cpu")
    score_TQI = scorer.score(scorer.encode_queries(queries), scorer.encode_items(items))
    for q, i in ((0, 0), (2, 5), (4, 22), (5, 20)):
        expected = plain_score(network, queries["text"][q].as_py(), items["text"][i].as_py())
        np.testing.assert_allclose(score_TQI[:, q, i], expected, atol=2e-4)


def test_untrained_it_is_the_two_tower(tmp_path: Path) -> None:
    """From the same seed and sizes: the correction starts at zero."""
    (tmp_path / "two").mkdir()
    tower = TwoTower(pretrained=None, **{**tiny.SIZES, "num_layers": 3})
    scores = []
    for model, folder in ((SCRATCH, tmp_path), (tower, tmp_path / "two")):
        model.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5).save(folder)
        scorer = model.load(folder, "cpu")
        scores.append(scorer.score(scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.items())))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)


def test_small_blocks_score_what_large_ones_do(tmp_path: Path) -> None:
    shaken(SCRATCH, tmp_path)
    scorer = SCRATCH.load(tmp_path, "cpu")
    encoded = scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.items())
    large_TQI = scorer.score(*encoded)
    scorer._rows = 1  # type: ignore[attr-defined]
    np.testing.assert_allclose(scorer.score(*encoded), large_TQI, atol=1e-5)


def test_a_tile_has_the_same_bits_whatever_was_scored_before(tmp_path: Path) -> None:
    shaken(SCRATCH, tmp_path)
    check_a_tile_does_not_depend_on_what_was_scored_before(SCRATCH, tmp_path)


def test_network_in_training_equals_the_scorer(tmp_path: Path) -> None:
    check_training_computes_what_the_scorer_does(SCRATCH, shaken(SCRATCH, tmp_path).train(), tmp_path)


def test_no_pairs(tmp_path: Path) -> None:
    shaken(SCRATCH, tmp_path)
    check_no_pairs_have_no_scores(SCRATCH, tmp_path)


def test_wrong_numbers_of_layers_are_refused() -> None:
    for num in (0, 4):
        with pytest.raises(ValueError, match=f"model.joint_layers={num} must lie between 1 and 3"):
            replace(SCRATCH, joint_layers=num)
    with pytest.raises(ValueError, match="must lie between 1 and 2"):
        replace(SCRATCH, num_layers=2, joint_layers=3)
