"""Truth of single pairs, against what anybody would say of them."""

import itertools

import numpy as np
import pytest

from recsys.source._shop_items import Catalogue
from recsys.source._shop_queries import INTENTS, Audience
from recsys.source._shop_text import query_texts
from recsys.source._shop_truth import attraction, conversion, examination, fit, grade_probability
from recsys.source._shop_vocabulary import NONE

CATALOGUE = Catalogue(1, 5000, 1)
AUDIENCE = Audience(CATALOGUE, 400, 50, 0.8)


def test_grade_probabilities_by_hand():
    """z = 1.5, noise 0.5: P(>=1) = sigmoid(2), P(>=2) = 1/2, P(>=3) = sigmoid(-2)."""
    high = 1 / (1 + np.exp(-2.0))
    expected = [1 - high, high - 0.5, 0.5 - (1 - high), 1 - high]
    np.testing.assert_allclose(grade_probability(np.array([1.5]), 0.5)[0], expected, atol=1e-12)
    assert grade_probability(np.array([-1.0, 0.6, 1.6, 9.0]), 0.0).argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_the_item_a_search_was_made_from_fits_it():
    queries = AUDIENCE.queries(np.arange(400))
    specific = queries.take(np.flatnonzero(queries.intent != INTENTS.index("broad")))
    items = CATALOGUE.items(specific.seed_item)
    np.testing.assert_allclose(fit(specific, items), 3 + 0.25 * (items.quality - 1.0))


def test_fit_falls_with_every_wish_that_is_missed_and_with_distance():
    queries = AUDIENCE.queries(np.arange(400))
    wishes = (queries.value_NA != NONE).sum(axis=1) + (queries.brand != NONE) + (queries.tier != NONE)
    rich = int(np.flatnonzero((wishes >= 2) & ~queries.model_known)[0])
    everything = CATALOGUE.items(np.arange(5000))
    one = queries.take(np.full(5000, rich))
    fit_P = fit(one, everything) - 0.25 * (everything.quality - 1)
    same_type = everything.type == queries.type[rich]
    met = sum((everything.value_NA == v).any(axis=1) for v in queries.value_NA[rich] if v != NONE)
    met = met + (everything.brand == queries.brand[rich]) + (everything.tier == queries.tier[rich])
    levels = [fit_P[same_type & (met == k)] for k in sorted(set(met[same_type].tolist()))]
    assert len(levels) >= 2
    assert all(low.max() < high.min() for low, high in itertools.pairwise(levels))
    assert fit_P[~same_type].max() <= 0.8
    assert fit_P[same_type].min() >= 0.8 - 1e-12


def test_users_like_what_they_bought_better_than_the_rest():
    users = AUDIENCE.queries(np.arange(400, 450))
    bought, anything = CATALOGUE.items(users.seed_item), CATALOGUE.items(np.arange(50) * 97)
    assert fit(users, bought).mean() > fit(users, anything).mean() + 1
    assert np.all(users.is_user)


def test_a_dearer_item_is_bought_less_by_the_thrifty():
    users = AUDIENCE.queries(np.arange(400, 450))
    cheap = CATALOGUE.items(users.seed_item)
    dear = cheap.take(np.arange(50))
    dear.price[:] = 2 * cheap.price
    fit_P = fit(users, cheap)
    assert np.all(conversion(fit_P, users, dear) < conversion(fit_P, users, cheap))
    assert np.all(attraction(fit_P, users, dear) < attraction(fit_P, users, cheap))
    thrifty, lavish = users.segment == 0, users.segment == 2
    loss = np.log(conversion(fit_P, users, cheap) / conversion(fit_P, users, dear))
    assert loss[thrifty].min() > loss[lavish].max()


def test_examination_by_hand():
    assert examination(np.array([1, 2, 4]), 0.5).tolist() == pytest.approx([1, 2**-0.5, 0.5])


def test_misspelling_changes_one_place_of_typed_text_only():
    queries = AUDIENCE.queries(np.arange(450))
    right, wrong = (query_texts(queries, 1, rate) for rate in (0.0, 1.0))
    changed = [a != b for a, b in zip(right, wrong, strict=True)]
    assert not any(changed[400:])
    assert np.mean(changed[:400]) > 0.9
    assert all(abs(len(a) - len(b)) <= 1 for a, b in zip(right, wrong, strict=True))


def test_broad_searches_are_distinct_and_most_searches_are():
    queries = AUDIENCE.queries(np.arange(400))
    texts = query_texts(queries, 1, 0.0)
    broad = queries.type[queries.intent == INTENTS.index("broad")]
    assert len(set(broad.tolist())) == len(broad)
    assert len(set(texts)) > 0.97 * len(texts)
