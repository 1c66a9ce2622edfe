"""recsys: score every query-item pair of a shop, exactly once, and believe the numbers."""

__version__ = "0.1.0"
