"""The words of the built-in shop, and the same as arrays: types, brands and attribute values by number.

T product types, B brands per department, A attribute slots per type (3), V attribute values over all attributes.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NUM_SLOTS = 3  # attribute slots of a product type; -1 where a type has fewer
NONE = -1


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Names are lists of synonyms, the usual one first. Numbers index the lists; -1 means none."""

    type_names: list[list[str]]
    type_category_T: np.ndarray  # number of the category
    type_department_T: np.ndarray
    type_price_T: np.ndarray  # median price
    type_attribute_TA: np.ndarray  # number of the attribute in each slot
    category_names: list[str]
    department_names: list[str]
    brand_names: list[str]  # departments x B
    brand_tier: np.ndarray  # 0 budget, 1 middle, 2 premium
    value_names: list[list[str]]  # V
    attribute_names: list[str]
    attribute_first: np.ndarray  # first value of each attribute
    attribute_size: np.ndarray  # number of its values
    tier_words: list[list[str]]
    tier_phrases: list[str]
    quality_phrases: list[str]
    closing_phrases: list[str]
    segments: list[str]
    segment_tier: np.ndarray  # preferred tier
    segment_thrift: np.ndarray  # how much a high price puts off, 0 to 1
    age_bands: list[str]

    @property
    def brands_per_department(self) -> int:
        return len(self.brand_names) // len(self.department_names)


@functools.cache
def vocabulary() -> Vocabulary:
    """The vocabulary of `shop.json`."""
    raw = json.loads((Path(__file__).parent / "shop.json").read_text(encoding="utf-8"))
    attributes: dict[str, list[list[str]]] = raw["attributes"]
    sizes = [len(values) for values in attributes.values()]
    number_of = {name: n for n, name in enumerate(attributes)}
    departments = raw["departments"]
    categories = [(d, c) for d, department in enumerate(departments.values()) for c in department["categories"]]
    types = [
        (d, categories.index((d, c)), one)
        for d, department in enumerate(departments.values())
        for c, members in department["categories"].items()
        for one in members
    ]
    brands = [brand for department in departments.values() for brand in department["brands"]]
    slots = [[number_of[a] for a in one["attributes"]] for _, _, one in types]
    return Vocabulary(
        type_names=[one["names"] for _, _, one in types],
        type_category_T=np.array([c for _, c, _ in types]),
        type_department_T=np.array([d for d, _, _ in types]),
        type_price_T=np.array([float(one["price"]) for _, _, one in types]),
        type_attribute_TA=np.array([s + [NONE] * (NUM_SLOTS - len(s)) for s in slots]),
        category_names=[c for _, c in categories],
        department_names=list(departments),
        brand_names=[name for name, _ in brands],
        brand_tier=np.array([tier for _, tier in brands]),
        value_names=[names for values in attributes.values() for names in values],
        attribute_names=list(attributes),
        attribute_first=np.cumsum([0, *sizes[:-1]]),
        attribute_size=np.array(sizes),
        tier_words=raw["tier_words"],
        tier_phrases=raw["tier_phrases"],
        quality_phrases=raw["quality_phrases"],
        closing_phrases=raw["closing_phrases"],
        segments=list(raw["segments"]),
        segment_tier=np.array([tier for tier, _ in raw["segments"].values()]),
        segment_thrift=np.array([thrift for _, thrift in raw["segments"].values()]),
        age_bands=raw["age_bands"],
    )
