"""CPU threads of this process: fixed per actor, because the order of float sums depends on them."""

import torch


def use_threads(number: int) -> None:
    """Computes with this many CPU threads from now on."""
    torch.set_num_threads(number)
