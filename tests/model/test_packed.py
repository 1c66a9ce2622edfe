"""Packed encoders against the padded layers of Hugging Face."""

import copy
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel, XLMRobertaConfig, XLMRobertaModel

from recsys.model._packed import Packing, pack_encoders

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
MODELS = {
    "bert": lambda **more: BertModel(BertConfig(**SIZES, **more)),
    "roberta": lambda **more: RobertaModel(RobertaConfig(**SIZES, pad_token_id=1, **more)),
    "xlm_roberta": lambda **more: XLMRobertaModel(XLMRobertaConfig(**SIZES, pad_token_id=1, **more)),
}


def batch(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(lengths)
    mask_BW = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    ids_BW = torch.randint(5, 50, mask_BW.shape, generator=torch.Generator().manual_seed(1))
    return torch.where(mask_BW.bool(), ids_BW, 1), mask_BW


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("lengths", [[3, 9, 1, 5], [4, 4], [1], [6, 2]])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_states_and_gradients_are_those_of_the_padded_layers(name: str, lengths: list[int], attention: str) -> None:
    torch.manual_seed(0)
    padded = MODELS[name](attn_implementation=attention)
    packed = copy.deepcopy(padded)
    pack_encoders(packed)
    ids_BW, mask_BW = batch(lengths)
    target_BWD = torch.randn(*ids_BW.shape, 32) * mask_BW[:, :, None]
    found = []
    for model in (padded, packed):
        state_BWD = model(input_ids=ids_BW, attention_mask=mask_BW).last_hidden_state
        (state_BWD * target_BWD).sum().backward()
        found.append((state_BWD.detach() * mask_BW[:, :, None], {n: p.grad for n, p in model.named_parameters()}))
    (expected_BWD, expected), (state_BWD, gradients) = found
    torch.testing.assert_close(state_BWD, expected_BWD, rtol=1e-5, atol=1e-5)
    assert expected.keys() == gradients.keys()
    for parameter, gradient in gradients.items():
        if expected[parameter] is None:  # the pooler
            assert gradient is None
        else:
            torch.testing.assert_close(gradient, expected[parameter], rtol=1e-4, atol=1e-5)


def test_what_is_saved_keeps_its_names() -> None:
    model = MODELS["bert"]()
    names = list(model.state_dict())
    pack_encoders(model)
    assert list(model.state_dict()) == names


def test_dropout_is_that_of_training() -> None:
    model = MODELS["bert"]()
    pack_encoders(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    ids_BW, mask_BW = batch([3, 5])
    first, second = (model.train()(input_ids=ids_BW, attention_mask=mask_BW).last_hidden_state for _ in range(2))
    assert not torch.equal(first, second)
    first, second = (model.eval()(input_ids=ids_BW, attention_mask=mask_BW).last_hidden_state for _ in range(2))
    assert torch.equal(first, second)


def test_packing_goes_there_and_back() -> None:
    _, mask_BW = batch([3, 1])
    packing = Packing.of((2, 3), mask_BW)
    rows_BWD = torch.arange(12.0).view(2, 3, 2)
    rows_ND = packing.pack(rows_BWD)
    assert rows_ND.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert packing.pad(rows_ND).tolist() == [[[0, 1], [2, 3], [4, 5]], [[6, 7], [0, 0], [0, 0]]]
