"""CPU threads, fixed per actor because the order of float sums depends on them; and waiting for the GPU."""

import sys


def use_threads(number: int) -> None:
    """Computes with this many CPU threads from now on, where a model has loaded torch; the others use one anyway."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(number)


def wait_for_gpu() -> None:
    """Returns when the GPU has done what this process asked of it, where a model has loaded torch: calls come back
    before."""
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.synchronize()
