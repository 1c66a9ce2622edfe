from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from recsys.model import CrossEncoder, SplitEncoder, TwoTower
from recsys.model._cross_encoder import CrossNetwork
from recsys.model._first_row import FirstRow
from tests.model import tiny
from tests.model.behaviour import (
    check_a_tile_does_not_depend_on_what_was_scored_before,
    check_no_pairs_have_no_scores,
    check_training_computes_what_the_scorer_does,
)
from tests.model.weights import minilm

SCRATCH = CrossEncoder(pretrained=None, residual=False, **tiny.SIZES)
RESIDUAL = replace(SCRATCH, residual=True)
OUTPUTS = ("relevance", "click")


def saved(model: CrossEncoder, folder: Path) -> Path:
    folder.mkdir()
    network = model.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5)
    network.save(folder)
    return folder


def plain_scores(folder: Path, queries: list[str], items: list[str], *, matches: bool) -> np.ndarray:
    """score_TQI by transformers alone, one pair at a time."""
    model = AutoModelForSequenceClassification.from_pretrained(str(folder)).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    score_TQI = np.zeros((len(OUTPUTS), len(queries), len(items)), np.float32)
    for q, query in enumerate(queries):
        for i, item in enumerate(items):
            inputs = tokenizer([query], [item], return_tensors="pt")  # as lists: an empty item is an item
            if matches:
                sequence_W = inputs.encodings[0].sequence_ids
                ids_W = inputs["input_ids"][0].tolist()
                sides = [{t for t, s in zip(ids_W, sequence_W, strict=True) if s == side} for side in (0, 1)]
                both = (sides[0] & sides[1]) - {tokenizer.unk_token_id}
                inputs["token_type_ids"] += 2 * torch.tensor([[t in both for t in ids_W]])
            with torch.inference_mode():
                score_TQI[:, q, i] = model(**inputs).logits[0].numpy()
    return score_TQI


@pytest.mark.parametrize("kind", ["scratch", "roberta", "albert", "deberta"])
def test_scores_equal_transformers(tmp_path: Path, kind: str) -> None:
    """Of any architecture; where its layers are known, without the last one's rows that nobody reads."""
    model = SCRATCH
    if kind != "scratch":
        (tmp_path / "pretrained").mkdir()
        tiny.save_pretrained(tmp_path / "pretrained", kind)
        model = replace(SCRATCH, pretrained=str(tmp_path / "pretrained"))
    folder = saved(model, tmp_path / "model")
    scorer = model.load(folder, "cpu")
    queries, items = tiny.queries(), tiny.items()
    encoded = scorer.encode_queries(queries), scorer.encode_items(items)
    score_TQI = scorer.score(*encoded)
    expected_TQI = plain_scores(
        folder, queries["text"].to_pylist(), items["text"].to_pylist(), matches=kind == "scratch"
    )
    last = [m for m in scorer._network.modules() if isinstance(m, FirstRow)]  # type: ignore[attr-defined]
    assert len(last) == (kind in ("scratch", "roberta"))
    assert scorer.outputs == OUTPUTS
    assert score_TQI.dtype == np.float32
    assert np.ptp(score_TQI) > 0.01
    np.testing.assert_allclose(score_TQI, expected_TQI, atol=1e-4)
    pair_P2 = tiny.every_pair(len(queries), len(items))[::-3]
    pairs_TP = scorer.score_pairs(*encoded, pair_P2)
    np.testing.assert_allclose(pairs_TP, score_TQI[:, pair_P2[:, 0], pair_P2[:, 1]], atol=1e-4)


def test_a_tile_has_the_same_bits_whatever_was_scored_before(tmp_path: Path) -> None:
    folder = saved(SCRATCH, tmp_path / "model")
    check_a_tile_does_not_depend_on_what_was_scored_before(SCRATCH, folder)


def test_equal_texts_share_an_encoding_and_a_score(tmp_path: Path) -> None:
    scorer = SCRATCH.load(saved(SCRATCH, tmp_path / "model"), "cpu")
    queries, items = tiny.queries(), tiny.items()
    encoded = scorer.encode_items(items)
    assert len(encoded) == len(items)
    assert len(encoded.tokens) == len(set(items["text"].to_pylist()))  # type: ignore[attr-defined]
    score_TQI = scorer.score(scorer.encode_queries(queries), encoded)
    np.testing.assert_array_equal(score_TQI[:, :, 0], score_TQI[:, :, -1])


def test_no_pairs(tmp_path: Path) -> None:
    folder = saved(SCRATCH, tmp_path / "model")
    check_no_pairs_have_no_scores(SCRATCH, folder)


def test_network_in_training_equals_the_scorer(tmp_path: Path) -> None:
    check_training_computes_what_the_scorer_does(
        SCRATCH, SCRATCH.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5), tmp_path
    )


def corrected(model: CrossEncoder) -> CrossNetwork:
    """A network with a residual, whose correction is not 0."""
    network = model.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5)
    torch.nn.init.normal_(network.model.get_submodule("classifier").get_parameter("weight"), std=0.05)
    return network


@pytest.mark.parametrize("kind", ["scratch", "roberta"])
def test_a_residual_adds_the_similarity_of_its_own_transformer(tmp_path: Path, kind: str) -> None:
    model = RESIDUAL
    if kind == "roberta":
        tiny.save_pretrained(tmp_path)
        model = replace(RESIDUAL, pretrained=str(tmp_path))
    queries, items = tiny.queries(), tiny.items()
    folders = [tmp_path / n for n in ("cross", "towers")]
    network = model.build(queries, items, OUTPUTS, seed=5)
    assert network.towers is not None
    for folder, some in zip(folders, (network, network.towers), strict=True):
        folder.mkdir()
        some.save(folder)
    towers = TwoTower(**{f.name: getattr(model, f.name) for f in fields(TwoTower)})
    scores = []
    for option, folder in zip((model, towers), folders, strict=True):
        scorer = option.load(folder, "cpu")
        scores.append(scorer.score(scorer.encode_queries(queries), scorer.encode_items(items)))
    assert np.ptp(scores[0]) > 0.01
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)  # untrained, the correction is 0


def test_a_residual_behaves_as_every_model_does(tmp_path: Path) -> None:
    network = corrected(RESIDUAL)
    check_training_computes_what_the_scorer_does(RESIDUAL, network, tmp_path)
    check_a_tile_does_not_depend_on_what_was_scored_before(RESIDUAL, tmp_path)
    check_no_pairs_have_no_scores(RESIDUAL, tmp_path)
    scorer = RESIDUAL.load(tmp_path, "cpu")
    encoded = scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.items())
    pair_P2 = tiny.every_pair(7, 23)[::-3]
    expected_TP = scorer.score(*encoded)[:, pair_P2[:, 0], pair_P2[:, 1]]
    np.testing.assert_allclose(scorer.score_pairs(*encoded, pair_P2), expected_TP, atol=1e-4)
    plain = replace(RESIDUAL, residual=False).load(saved(SCRATCH, tmp_path / "plain"), "cpu")
    assert np.abs(plain.score(*encoded) - scorer.score(*encoded)).max() > 0.1


def test_same_seed_same_weights_and_other_random_numbers_untouched() -> None:
    torch.manual_seed(1)
    first = SCRATCH.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5).state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn
    second = SCRATCH.build(tiny.queries(), tiny.items(), OUTPUTS, seed=5).state_dict()
    other = SCRATCH.build(tiny.queries(), tiny.items(), OUTPUTS, seed=6).state_dict()
    assert all(torch.equal(first[n], second[n]) for n in first)
    assert not all(torch.equal(first[n], other[n]) for n in first)


def test_a_network_from_scratch_learns_to_match_words() -> None:
    """100 steps are enough to tell whether an item holds the query's words, also for words not seen in training."""
    rng = np.random.default_rng(0)
    network = SCRATCH.build(tiny.queries(), tiny.items(), ("relevance",), seed=0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)

    def sample(words: list[str]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        query = [str(rng.choice(words)) for _ in range(32)]
        label = rng.random(32) < 0.5
        others = [[w for w in words if w != q] for q in query]
        texts = [[*rng.choice(o, 4), q if y else o[0]] for q, o, y in zip(query, others, label, strict=True)]
        item = [" ".join(rng.permutation(t)) for t in texts]
        return network.collate(query, item), torch.tensor(label[:, None], dtype=torch.float32)

    for _ in range(100):
        inputs, label_B1 = sample(tiny.WORDS[:9])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(**inputs), label_B1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    inputs, label_B1 = sample(tiny.WORDS[9:])
    accuracy = ((network(**inputs) > 0) == (label_B1 > 0)).float().mean()
    assert accuracy > 0.8


def test_wrong_folders_and_values_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        replace(SCRATCH, pretrained=str(tmp_path / "missing")).check()
    with pytest.raises(ValueError, match=r"no config\.json"):
        replace(SCRATCH, pretrained=str(tmp_path)).check()
    replace(SCRATCH, pretrained="owner/name").check()
    with pytest.raises(ValueError, match=r"scorer\.json"):
        SCRATCH.load(tmp_path, "cpu")
    (tmp_path / "scorer.json").write_text('{"model": "cross_encoder", "outputs": ["click"]}')
    with pytest.raises(ValueError, match="not a complete cross_encoder") as caught:
        SCRATCH.load(tmp_path, "cpu")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="dtype='float8'"):
        replace(SCRATCH, dtype="float8")
    with pytest.raises(ValueError, match="num_heads=5"):
        replace(SCRATCH, num_heads=5)
    with pytest.raises(ValueError, match="batch_tokens=-5 must be at least 1"):
        replace(SCRATCH, batch_tokens=-5)


def test_a_transformer_that_cannot_do_it_is_refused_before_training(tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path, "deberta")
    replace(SCRATCH, pretrained=str(tmp_path)).check()
    with pytest.raises(ValueError, match=r"is a deberta-v2, and model\.dtype=int8 replaces layers of bert"):
        replace(SCRATCH, pretrained=str(tmp_path), dtype="int8").check()
    with pytest.raises(ValueError, match=r"is a deberta-v2, and a split encoder joins layers of bert"):
        SplitEncoder(**{**tiny.SIZES, "pretrained": str(tmp_path)}, joint_layers=1).check()
    (tmp_path / "towers").mkdir()
    TwoTower(**{**tiny.SIZES, "max_query_tokens": 40}, pretrained=None).build(
        tiny.queries(), tiny.items(), OUTPUTS, seed=5
    ).save(tmp_path / "towers")
    with pytest.raises(ValueError, match="knows one type of token"):
        replace(SCRATCH, pretrained=str(tmp_path / "towers")).build(tiny.queries(), tiny.items(), OUTPUTS, seed=5)


def test_a_hub_id_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"'owner/not-here'.*model\.pretrained=<folder>"):
        replace(SCRATCH, pretrained="owner/not-here").build(tiny.queries(), tiny.items(), OUTPUTS, seed=0)


def test_too_long_for_the_transformer(tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path)
    model = replace(SCRATCH, pretrained=str(tmp_path), max_item_tokens=30)
    with pytest.raises(ValueError, match="46 tokens exceed the transformer's 38 positions"):
        model.build(tiny.queries(), tiny.items(), OUTPUTS, seed=0)


def test_bfloat16_keeps_a_float32_head(tmp_path: Path) -> None:
    folder = saved(SCRATCH, tmp_path / "model")
    scores = []
    for dtype in ("float32", "bfloat16"):
        scorer = replace(SCRATCH, dtype=dtype).load(folder, "cpu")
        scores.append(scorer.score(scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.items())))
    np.testing.assert_allclose(scores[1], scores[0], atol=0.05)
    rounded = torch.from_numpy(scores[1]).to(torch.bfloat16).float().numpy()
    assert np.mean(rounded == scores[1]) < 0.1


def test_real_weights_equal_transformers(tmp_path: Path) -> None:
    model = replace(SCRATCH, pretrained=str(minilm()))
    folder = saved(model, tmp_path / "model")
    scorer = model.load(folder, "cpu")
    queries, items = tiny.queries(3), tiny.items(6)
    score_TQI = scorer.score(scorer.encode_queries(queries), scorer.encode_items(items))
    texts = [t["text"].to_pylist() for t in (queries, items)]
    assert not any(len(t.split()) > 18 for t in texts[1])
    np.testing.assert_allclose(score_TQI, plain_scores(folder, *texts, matches=False), atol=1e-4)
