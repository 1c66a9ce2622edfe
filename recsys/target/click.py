"""Clicks per impression (CTR)."""

from dataclasses import dataclass

from recsys.target._outcome import Outcome


@dataclass
class Click(Outcome):
    """Was the item clicked when it was shown?"""

    name: str

    def describe(self) -> str:
        return "clicked or not, once per impression; gain = 1 for a click"
