"""CPU threads of this process: fixed per actor, because the order of float sums depends on them."""

import sys


def use_threads(number: int) -> None:
    """Computes with this many CPU threads from now on, where a model has loaded torch; the others use one anyway."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(number)
