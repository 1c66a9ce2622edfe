import math

import pytest
import torch

from recsys.objective import Pointwise

NAN = float("nan")


def test_hand_sum() -> None:
    logit_BT = torch.tensor([[0.0, 2.0], [1.0, -1.0], [5.0, 3.0]])
    label_BT = torch.tensor([[1.0, NAN], [0.25, 0.0], [NAN, 1.0]])
    weight_BT = torch.tensor([[1.0, 9.0], [3.0, 2.0], [7.0, 1.0]])
    soft = -(0.25 * math.log(1 / (1 + math.exp(-1))) + 0.75 * math.log(1 / (1 + math.exp(1))))
    first = (math.log(2) + 3 * soft) / 4
    second = (2 * math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 3
    loss = Pointwise(label_smoothing=0.0).loss(logit_BT, label_BT, weight_BT)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_equals_torch_where_everything_is_observed_once() -> None:
    generator = torch.Generator().manual_seed(0)
    logit_BT, label_BT = torch.randn(50, 3, generator=generator), torch.rand(50, 3, generator=generator)
    expected = torch.nn.BCEWithLogitsLoss()(logit_BT, label_BT)
    loss = Pointwise(label_smoothing=0.0).loss(logit_BT, label_BT, torch.full((50, 3), 2.5))
    torch.testing.assert_close(loss, expected)
    smoothed = torch.nn.BCEWithLogitsLoss()(logit_BT, 0.8 * label_BT + 0.1)
    torch.testing.assert_close(Pointwise(label_smoothing=0.2).loss(logit_BT, label_BT, torch.ones(50, 3)), smoothed)


def test_soft_label_is_the_optimum() -> None:
    label_BT, weight_BT = torch.tensor([[0.3]]), torch.ones(1, 1)
    logit_BT = torch.logit(label_BT).requires_grad_()
    Pointwise(label_smoothing=0.0).loss(logit_BT, label_BT, weight_BT).backward()
    assert logit_BT.grad is not None
    assert abs(logit_BT.grad.item()) < 1e-7


def test_unobserved_cells_and_outputs_have_no_gradient_and_do_not_dilute() -> None:
    logit_BT = torch.tensor([[1.0, 4.0], [-2.0, -4.0]], requires_grad=True)
    label_BT = torch.tensor([[1.0, NAN], [NAN, NAN]])
    loss = Pointwise(label_smoothing=0.0).loss(logit_BT, label_BT, torch.ones(2, 2))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-6)
    assert logit_BT.grad is not None
    assert logit_BT.grad[0, 0] < 0
    assert logit_BT.grad.flatten()[1:].tolist() == [0, 0, 0]


def test_nothing_observed_is_zero() -> None:
    logit_BT = torch.zeros(2, 1, requires_grad=True)
    loss = Pointwise(label_smoothing=0.0).loss(logit_BT, torch.full((2, 1), NAN), torch.ones(2, 1))
    loss.backward()
    assert loss.item() == 0
    assert logit_BT.grad is not None
    assert logit_BT.grad.tolist() == [[0], [0]]


def test_smoothing_is_checked() -> None:
    with pytest.raises(ValueError, match=r"label_smoothing=1\.0"):
        Pointwise(label_smoothing=1.0)
