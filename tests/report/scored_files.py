"""Files of scored rows, and how they are counted: what every test of counted rows starts from."""

from typing import Any

import pyarrow.fs as pafs

from recsys.report._labelled import Labelled
from recsys.report._state_build import Dials


def labelled(*paths, **changed) -> Labelled:
    """Files with the columns query, item, label and score, or those named."""
    names = {"query": "query", "item": "item", "label": "label", "score": "score", "probability": None, "weight": None}
    values: dict[str, Any] = names | changed
    return Labelled(filesystem=pafs.LocalFileSystem(), paths=tuple(map(str, paths)), **values)


def dials(**changed) -> Dials:
    """Small ones."""
    values: dict[str, Any] = {
        "k": 5,
        "num_bins": 15,
        "num_cells": 4096,
        "num_coarse": 32,
        "num_groups": 64,
        "num_condensed": 512,
        "num_folds": 4,
        "max_values": 6,
        "named": (),
        "by_row": ("device",),
        "crosses": (),
        "seed": 3,
    }
    return Dials(**(values | changed))
