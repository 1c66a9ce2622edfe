"""Inference in 8-bit integers: the linear layers of a transformer, and nothing else of it (Dettmers et al., 2022).

Weights have one scale per output, inputs one per row, so what a row gives does not depend on the rows beside it. The
integer product is exact; what is lost is what rounding to 1/127 of the largest value of a row or output loses.

Shapes: R rows, K inputs and N outputs of a layer, both padded to multiples of 8.
"""

from weakref import ref

import torch
from torch.nn.functional import pad
from transformers import PreTrainedModel

from recsys.model._first_row import FirstRow
from recsys.model._layer import LAYERS

_MOST = 127  # -128 is not used: its negative would not fit
_LEAST = 1e-30  # of a row's largest value: a row of zeros has no scale, and its inverse must not overflow
_MULTIPLE, _MIN_ROWS = 8, 17  # what CUDA's integer product asks for; the same everywhere


def use_dtype(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Brings a transformer, or layers of one, to the dtype of inference; int8 leaves all but linear layers float32.

    Raises ValueError where int8 cannot be had: another architecture, or a processor whose integer products saturate.
    """
    if dtype != torch.int8:
        torch.nn.Module.to(model, dtype=dtype)
        return
    layers = [module for module in model.modules() if isinstance(module, (*LAYERS, FirstRow))]
    if not layers:
        kind = model.config.model_type if isinstance(model, PreTrainedModel) else type(model).__name__
        raise ValueError(
            f"model.dtype='int8' replaces the layers of BERT, RoBERTa and XLM-RoBERTa, and this is a {kind}; "
            "use float32 or bfloat16"
        )
    model.float()
    _check_products(next(model.parameters()).device)
    for layer in layers:
        shared = SharedRows()
        for module in list(layer.modules()):
            for name, child in list(module.named_children()):
                if type(child) is torch.nn.Linear:
                    setattr(module, name, Int8Linear(child, shared))


def _check_products(device: torch.device) -> None:
    """Raises ValueError where products of large int8 values are wrong, as on x86 without VNNI instructions."""
    most_RK = torch.full((32, 64), _MOST, dtype=torch.int8, device=device)
    product_RR = torch._int_mm(most_RK, most_RK.t())  # type: ignore[attr-defined]
    if not bool((product_RR == 64 * _MOST**2).all()):
        raise ValueError(
            f"model.dtype='int8': this processor ({device}) gives {int(product_RR[0, 0])} for 64 times 127 x 127; it "
            "needs exact 8-bit products (on x86: AVX-512 VNNI or AVX-VNNI); use float32 or bfloat16"
        )


class SharedRows:
    """Rows in int8 with their scales; those of the last input are kept, since query, key and value have the same."""

    def __init__(self) -> None:
        self._last = lambda: None
        self._made: tuple[torch.Tensor, torch.Tensor] | None = None

    def of(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """value_RK, int8, and scale_R1, float32, of any number of leading dimensions."""
        if self._made is None or self._last() is not x:
            self._made, self._last = quantised(x.flatten(0, -2)), ref(x)
        return self._made


def quantised(x_RK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """value_RK, int8, and scale_R1: x is about value * scale, wrong by half a scale at most."""
    largest_R1 = torch.maximum(x_RK.amax(-1, keepdim=True), x_RK.amin(-1, keepdim=True).neg_()).clamp_(min=_LEAST)
    return (x_RK * largest_R1.reciprocal().mul_(_MOST)).round_().to(torch.int8), largest_R1.div_(_MOST)


class Int8Linear(torch.nn.Module):
    """What replaces a `torch.nn.Linear` in inference."""

    weight_KN: torch.Tensor
    scale_N: torch.Tensor
    bias_N: torch.Tensor | None

    def __init__(self, linear: torch.nn.Linear, rows: SharedRows) -> None:
        super().__init__()
        with torch.no_grad():
            value_NK, scale_N1 = quantised(linear.weight.float())
        self.num_outputs = linear.out_features
        more_N, more_K = (-n % _MULTIPLE for n in value_NK.shape)
        self._more_K, self._rows = more_K, rows
        self.register_buffer("weight_KN", pad(value_NK, (0, more_K, 0, more_N)).t())
        self.register_buffer("scale_N", scale_N1.flatten())
        self.register_buffer("bias_N", None if linear.bias is None else linear.bias.detach().float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value_RK, scale_R1 = self._rows.of(x)
        num_rows = len(value_RK)
        if self._more_K or num_rows < _MIN_ROWS:
            value_RK = pad(value_RK, (0, self._more_K, 0, max(0, _MIN_ROWS - num_rows)))
        sum_RN = torch._int_mm(value_RK, self.weight_KN)[:num_rows, : self.num_outputs]  # type: ignore[attr-defined]
        product_RN = (sum_RN * self.scale_N).mul_(scale_R1)
        if self.bias_N is not None:
            product_RN.add_(self.bias_N)
        return product_RN.unflatten(0, x.shape[:-1])
