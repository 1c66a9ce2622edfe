"""The catalogue: every item by itself, found again by arithmetic."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.source._shop_items import CYCLE, Catalogue, slot_types
from recsys.source._shop_vocabulary import vocabulary
from tests.source._small_shop import small_shop, whole


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**9), min_size=1, max_size=20), st.integers(1, 5))
def test_an_item_does_not_depend_on_the_company_it_is_made_in(seed, numbers, num_locales):
    catalogue = Catalogue(seed, 10**9 + 1, num_locales)
    together = catalogue.items(np.array(numbers))
    for n, number in enumerate(numbers):
        alone = catalogue.items(np.array([number]))
        for name in ("type", "brand", "value_NA", "price", "quality", "model", "appeal", "locale"):
            assert np.array_equal(getattr(alone, name)[0], getattr(together, name)[n])


@settings(max_examples=25, deadline=None)
@given(st.integers(100, 3000), st.integers(1, 3), st.sets(st.integers(0, CYCLE - 1), min_size=1, max_size=40))
def test_the_items_of_some_slots_are_listed_without_a_scan(num_items, num_locales, slots):
    catalogue = Catalogue(1, num_items, num_locales)
    everything = np.arange(num_items)
    for locale in range(num_locales):
        here = everything[everything % num_locales == locale]
        expected = [n for n in here.tolist() if (n // num_locales) % CYCLE in slots]
        assert catalogue.size(locale) == len(here)
        listed = catalogue.of_types(np.array(sorted(slots)), locale, start=0.4, num=num_items)
        assert sorted(listed[listed >= 0].tolist()) == expected
        some = catalogue.of_types(np.array(sorted(slots)), locale, start=0.4, num=5)
        assert len(set(some[some >= 0].tolist())) == min(5, len(expected))


def test_growing_the_catalogue_keeps_its_items():
    few, many = whole(small_shop(num_items=300), "items"), whole(small_shop(num_items=900), "items")
    assert many.slice(0, 300).to_pylist() == few.to_pylist()


def test_every_type_occurs_and_some_far_more_often():
    counts = np.bincount(slot_types(5), minlength=len(vocabulary().type_names))
    assert counts.sum() == CYCLE
    assert counts.min() >= 1
    assert counts.max() >= 6 * counts.min()


def test_prices_are_log_normal_and_rise_with_the_tier():
    words, items = vocabulary(), Catalogue(2, 20_000, 1).items(np.arange(20_000))
    level = np.log(items.price / words.type_price_T[items.type])
    for tier in range(3):
        mine = level[items.tier == tier]
        assert abs(mine.mean() - 0.45 * (tier - 1)) < 0.03
        assert abs(mine.std() - 0.3) < 0.03


def test_variants_share_a_model_and_differ_in_their_first_attribute():
    items = Catalogue(2, 20_000, 1).items(np.arange(20_000))
    _, inverse, count = np.unique(items.model, return_inverse=True, return_counts=True)
    assert 0.2 < np.mean(count[inverse] > 1) < 0.5
    for name in ("type", "brand", "quality"):
        value = getattr(items, name)
        assert all(len(set(value[inverse == m].tolist())) == 1 for m in np.flatnonzero(count > 1)[:200])
    differing = [len(set(items.value_NA[inverse == m, 0].tolist())) > 1 for m in np.flatnonzero(count > 1)[:200]]
    assert 0.5 < np.mean(differing) < 1


def test_values_belong_to_the_attributes_of_the_type():
    words, items = vocabulary(), Catalogue(4, 5000, 1).items(np.arange(5000))
    attribute_NA = words.type_attribute_TA[items.type]
    first, size = words.attribute_first[attribute_NA], words.attribute_size[attribute_NA]
    inside = (items.value_NA >= first) & (items.value_NA < first + size)
    assert np.array_equal(inside, attribute_NA >= 0)
    assert np.array_equal(items.value_NA == -1, attribute_NA < 0)
