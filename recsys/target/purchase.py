"""Purchases per impression, or per click (CVR)."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recsys.target._outcome import Outcome


@dataclass
class Purchase(Outcome):
    """Was the item bought when it was shown (or, with exposure = click, once it was clicked)?"""

    name: str
    exposure: str  # impression: bought per showing; click: bought per click (conversion rate)

    def __post_init__(self) -> None:
        if self.exposure not in ("impression", "click"):
            raise ValueError(f"target.purchase.exposure={self.exposure!r} is unknown; use impression or click")

    def exposed(self, impressions: pa.Table) -> pa.Table:
        if self.exposure == "click":
            return impressions.filter(pc.equal(impressions["click"], 1))
        return impressions

    def describe(self) -> str:
        return f"bought or not, once per {self.exposure}; gain = 1 for a purchase"
