"""8-bit inference: the layer against integers in NumPy, and every model that has it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DistilBertConfig, DistilBertModel

from recsys.model import CrossEncoder, LateInteraction, SplitEncoder, TwoTower
from recsys.model._int8 import Int8Linear, SharedRows, use_dtype
from recsys.model._transformer import Transformer
from recsys.scorer import Scorer
from tests.model import tiny
from tests.model.behaviour import (
    check_a_tile_does_not_depend_on_what_was_scored_before,
    check_no_pairs_have_no_scores,
)
from tests.model.weights import minilm

SIZES = {**tiny.SIZES, "dtype": "int8"}
MODELS: list[Transformer] = [
    CrossEncoder(pretrained=None, residual=False, **SIZES),
    CrossEncoder(pretrained=None, residual=True, **SIZES),
    TwoTower(pretrained=None, **SIZES),
    LateInteraction(pretrained=None, **SIZES),
    SplitEncoder(pretrained=None, joint_layers=1, **SIZES),
]


def random_layer(num_inputs: int, num_outputs: int) -> tuple[torch.nn.Linear, torch.Tensor]:
    """A layer and rows for it: of very different sizes, one of them all zeros."""
    random = torch.Generator().manual_seed(num_inputs)
    layer = torch.nn.Linear(num_inputs, num_outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=random))
        layer.bias.copy_(torch.randn(layer.bias.shape, generator=random))
        layer.weight[1] *= 30
    x_RK = torch.randn(37, num_inputs, generator=random) * torch.logspace(-6, 6, 37)[:, None]
    x_RK[5] = 0
    return layer, x_RK


def integer_product(layer: torch.nn.Linear, x_RK: np.ndarray) -> np.ndarray:
    """What the layer gives in 8 bits, by NumPy's integers."""

    def rounded(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        largest = np.maximum(np.abs(value).max(1, keepdims=True), np.float32(1e-30))
        return np.rint(value * (np.float32(1) / largest * np.float32(127))).astype(np.int64), largest / np.float32(127)

    weight_NK, scale_N1 = rounded(layer.weight.detach().numpy())
    value_RK, scale_R1 = rounded(x_RK)
    assert np.abs(value_RK).max() == np.abs(weight_NK).max() == 127
    bias_N = layer.bias.detach().numpy().astype(np.float64)
    return (value_RK @ weight_NK.T) * scale_N1.T.astype(np.float64) * scale_R1 + bias_N


def scores(model: Transformer, folder: Path) -> np.ndarray:
    scorer = model.load(folder, "cpu")
    return scorer.score(scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.items()))


def saved(model: Transformer, folder: Path) -> Transformer:
    model.build(tiny.queries(), tiny.items(), ("relevance", "click"), seed=5).save(folder)
    return model


def int8_layers(scorer: Scorer) -> list[Int8Linear]:
    return [m for m in scorer._network.modules() if isinstance(m, Int8Linear)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("num_inputs", "num_outputs"), [(384, 96), (33, 7), (8, 8)])
def test_the_layer_is_its_integer_product(num_inputs: int, num_outputs: int) -> None:
    layer, x_RK = random_layer(num_inputs, num_outputs)
    with torch.inference_mode():
        y_RN = Int8Linear(layer, SharedRows())(x_RK).numpy()
    expected_RN = integer_product(layer, x_RK.numpy())
    assert (np.abs(y_RN - expected_RN) / np.abs(expected_RN).max(1, keepdims=True)).max() < 1e-6
    np.testing.assert_array_equal(y_RN[5], layer.bias.detach().numpy())


@pytest.mark.parametrize(("num_inputs", "num_outputs"), [(384, 96), (33, 7)])
def test_a_row_does_not_depend_on_the_others(num_inputs: int, num_outputs: int) -> None:
    """Bit for bit, whether it comes alone, among rows a million times larger, or in another place."""
    layer, x_RK = random_layer(num_inputs, num_outputs)
    with torch.inference_mode():
        layer8 = Int8Linear(layer, SharedRows())
        all_RN = layer8(x_RK)
        for rows in (slice(3, 4), slice(11, 30), slice(0, 18)):
            assert torch.equal(layer8(x_RK[rows].clone()), all_RN[rows])
        assert torch.equal(layer8(x_RK.flip(0)), all_RN.flip(0))
        assert torch.equal(layer8(x_RK[:36].unflatten(0, (4, 9))), all_RN[:36].unflatten(0, (4, 9)))


def test_layers_of_one_input_share_its_rows_and_no_others_do() -> None:
    layer, x_RK = random_layer(16, 8)
    rows = SharedRows()
    with torch.inference_mode():
        first, second = Int8Linear(layer, rows), Int8Linear(layer, rows)
        y_RN = first(x_RK)
        made = rows.of(x_RK)
        assert torch.equal(second(x_RK), y_RN)
        assert rows.of(x_RK) is made
        other_RK = -x_RK
        assert torch.equal(second(other_RK), Int8Linear(layer, SharedRows())(other_RK))


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_models_keep_what_every_model_must_do(model: Transformer, tmp_path: Path) -> None:
    saved(model, tmp_path)
    check_a_tile_does_not_depend_on_what_was_scored_before(model, tmp_path)
    check_no_pairs_have_no_scores(model, tmp_path)
    layers = int8_layers(model.load(tmp_path, "cpu"))
    towers = 2 if isinstance(model, CrossEncoder) and model.residual else 1  # texts alone and pairs: a copy each
    assert len(layers) == 6 * model.num_layers * towers
    assert all(layer.weight_KN.dtype == torch.int8 for layer in layers)
    score_TQI, plain_TQI = scores(model, tmp_path), scores(replace(model, dtype="float32"), tmp_path)
    assert 0 < np.abs(score_TQI - plain_TQI).max() < 0.2
    assert score_TQI.dtype == np.float32


def test_pairs_score_as_in_a_tile_up_to_rounding(tmp_path: Path) -> None:
    model = saved(MODELS[0], tmp_path)
    scorer = model.load(tmp_path, "cpu")
    encoded = scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.items())
    pair_P2 = tiny.every_pair(7, 23)[::-3]
    score_TP = scorer.score(*encoded)[:, pair_P2[:, 0], pair_P2[:, 1]]
    np.testing.assert_allclose(scorer.score_pairs(*encoded, pair_P2), score_TP, atol=0.02)


@pytest.mark.parametrize("place", [0, 2], ids=["cross_encoder", "two_tower"])
def test_real_weights_rank_as_in_float32(place: int, tmp_path: Path) -> None:
    """Untrained heads and texts of random words: a trained model on real texts is closer (benchmarks/bench_dtype)."""
    model = saved(replace(MODELS[place], pretrained=str(minilm())), tmp_path)
    score_TQI, plain_TQI = scores(model, tmp_path), scores(replace(model, dtype="float32"), tmp_path)
    for score_QI, plain_QI in zip(score_TQI, plain_TQI, strict=True):
        order, plain_order = (np.argsort(np.argsort(s.ravel())) for s in (score_QI, plain_QI))
        assert np.corrcoef(order, plain_order)[0, 1] > 0.96
        assert 0 < np.abs(score_QI - plain_QI).max() < 0.2 * np.ptp(plain_QI)


def test_auto_never_means_int8() -> None:
    assert replace(MODELS[0], dtype="auto").settle("cpu").dtype in ("float32", "bfloat16")
    assert MODELS[0].settle("cpu").dtype == "int8"


def test_other_architectures_are_refused() -> None:
    model = DistilBertModel(DistilBertConfig(vocab_size=8, dim=16, n_layers=1, n_heads=2, hidden_dim=16))
    with pytest.raises(ValueError, match="this is a distilbert; use float32 or bfloat16"):
        use_dtype(model, torch.int8)


@pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="needs a processor on which instructions can be hidden")
def test_a_processor_without_exact_products_is_refused() -> None:
    """The library computes as if the instructions were not there, and its products saturate."""
    code = "import torch; from recsys.model._int8 import _check_products; _check_products(torch.device('cpu'))"
    hidden = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert hidden.returncode == 1
    assert "needs exact 8-bit products" in hidden.stderr
