"""An evaluation with a log of impressions whose policy is known."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from recsys.report import Evaluation
from tests.report.synthetic import evaluation

NUM_ITEMS = 8


def with_log(
    *, num: int = 1500, skew: float = 0.5, seed: int = 0, rate: float = 1.0, learned: bool = False
) -> Evaluation:
    """Item i is clicked with chance rate * (i + 1) / 12 at position 1, half of it at position 2; it is shown with
    probability proportional to exp(-skew i)."""
    rng = np.random.default_rng(seed)
    shop = evaluation(num_queries=30, num_items=NUM_ITEMS, judged=6, targets=("click",), learned=learned)
    chance_I = np.exp(-skew * np.arange(NUM_ITEMS))
    chance_I /= chance_I.sum()
    item_N, position_N = rng.choice(NUM_ITEMS, num, p=chance_I), rng.integers(1, 3, num)
    click_N = rng.random(num) < rate * (item_N + 1) / 12 / position_N
    shown = pa.table(
        {
            "impression_id": [f"m{i:06d}" for i in range(num)],
            "query_id": [f"q{q:04d}" for q in rng.integers(0, 30, num)],
            "item_id": [f"i{i:05d}" for i in item_N],
            "position": pa.array(position_N, pa.int32()),
            "propensity": chance_I[item_N],
            "click": pa.array(click_N, pa.int8()),
            "purchase": pa.array(np.zeros(num), pa.int8()),
            "session_id": [f"s{i // 3}" for i in range(num)],
        }
    )
    return replace(shop, impressions=shown)
