"""Where the real data sets lie that some tests read."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2].glob("*/data/README.md")  # a folder of data next to the repository
ROOT = Path(os.environ.get("RECSYS_DATA") or next((p.parent for p in BESIDE), "data"))


def data_folder(name: str) -> Path:
    """The folder of a real data set; skips the test where it is absent."""
    folder = ROOT / name
    if not folder.is_dir():
        pytest.skip(f"the data set '{name}' is not at {folder}; set RECSYS_DATA to the folder that holds it")
    return folder
