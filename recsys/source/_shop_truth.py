"""What is true of a pair: how well the item fits, and the probabilities that follow. P pairs, A slots, H history.

fit            z: 3 = exactly what was wanted, 0 = unrelated; below 0 = from elsewhere in the shop.
relevance      a judge's grade is at least k with probability sigmoid((z - (k - 1/2)) / noise): a proportional-odds
               model (McCullagh, 1980) whose noise-free limit is z rounded into 0..3.
click          examination(position) x attraction: the position-based model (Richardson et al., 2007).
purchase       only after a click, by fit, quality and price.
"""

import numpy as np
from scipy.special import expit

from recsys.source._shop_items import Items
from recsys.source._shop_queries import Queries
from recsys.source._shop_vocabulary import NONE, vocabulary

MAX_GRADE = 3
POSITIVE_GRADE = 2
_ELSEWHERE = -0.8


def fit(queries: Queries, items: Items) -> np.ndarray:
    """z_P: how well each item fits its query (aligned rows)."""
    fit_P = np.where(queries.is_user, _fit_user(queries, items), _fit_search(queries, items))
    fit_P = fit_P + 0.25 * (items.quality - 1)
    return np.where(queries.locale == items.locale, fit_P, 2 * _ELSEWHERE)


def grade_probability(fit_P: np.ndarray, judge_noise: float) -> np.ndarray:
    """probability_PG of each grade 0..3; judge_noise = 0 puts all mass on one grade."""
    at_least_PK = [np.ones_like(fit_P)]
    for grade in range(1, MAX_GRADE + 1):
        margin_P = fit_P - (grade - 0.5)
        at_least_PK.append(expit(margin_P / judge_noise) if judge_noise > 0 else (margin_P >= 0).astype(np.float64))
    at_least_PK.append(np.zeros_like(fit_P))
    return -np.diff(np.stack(at_least_PK, axis=1), axis=1)


def examination(position: np.ndarray, position_bias: float) -> np.ndarray:
    """Probability that a position (1 = top) is looked at: position^-bias."""
    return np.asarray(position, np.float64) ** -position_bias


def attraction(fit_P: np.ndarray, queries: Queries, items: Items) -> np.ndarray:
    """Probability of a click on an item that is looked at."""
    return expit(-2.0 + 1.1 * (fit_P - 1.0) + queries.click_taste + _price_effect(queries, items))


def conversion(fit_P: np.ndarray, queries: Queries, items: Items) -> np.ndarray:
    """Probability of a purchase after a click."""
    return expit(-2.6 + 0.6 * fit_P + 0.3 * (items.quality - 1) + 1.5 * _price_effect(queries, items))


def _price_effect(queries: Queries, items: Items) -> np.ndarray:
    """Negative for what is dear for its type, the more so for thrifty users; half as thrifty for unknown searchers."""
    words = vocabulary()
    thrift_P = np.where(queries.is_user, words.segment_thrift[queries.segment], 0.5)
    return -thrift_P * np.log(items.price / words.type_price_T[items.type])


def _nearness(type_P: np.ndarray, items: Items) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Same type, same category, same department."""
    words = vocabulary()
    return (
        type_P == items.type,
        words.type_category_T[type_P] == words.type_category_T[items.type],
        words.type_department_T[type_P] == words.type_department_T[items.type],
    )


def _fit_search(queries: Queries, items: Items) -> np.ndarray:
    missed_P = np.zeros(len(items.number))
    wanted_P = np.zeros(len(items.number))
    for value_P in queries.value_NA.T:
        wanted_P += value_P != NONE
        missed_P += (value_P != NONE) & ~(items.value_NA == value_P[:, None]).any(axis=1)
    for weight, want_P, have_P in (
        (1.0, queries.brand, items.brand),
        (0.8, queries.tier, items.tier),
    ):
        wanted_P += weight * (want_P != NONE)
        missed_P += weight * ((want_P != NONE) & (want_P != have_P))
    wanted_P += 2.0 * queries.model_known
    missed_P += 2.0 * (queries.model_known & (queries.model != items.model))
    share_P = missed_P / np.maximum(wanted_P, 1e-9)
    same_type_P, same_category_P, same_department_P = _nearness(queries.type, items)
    elsewhere_P = np.where(same_department_P, -0.3, _ELSEWHERE)
    near_P = np.where(same_category_P, 0.8 - 0.5 * share_P, elsewhere_P)
    return np.where(same_type_P, 3.0 - 2.2 * share_P, near_P)


def _fit_user(queries: Queries, items: Items) -> np.ndarray:
    best_P = np.full(len(items.number), -np.inf)
    for h in range(queries.history_type_NH.shape[1]):
        same_type_P, same_category_P, same_department_P = _nearness(queries.history_type_NH[:, h], items)
        value_PA = queries.history_value_NHA[:, h]
        shares_PA = ((value_PA[:, :, None] == items.value_NA[:, None, :]) & (value_PA != NONE)[:, :, None]).any(axis=1)
        fit_P = np.where(same_type_P, 1.9, np.where(same_category_P, 1.1, np.where(same_department_P, 0.2, _ELSEWHERE)))
        best_P = np.maximum(best_P, fit_P + 0.35 * shares_PA.any(axis=1) * same_category_P)
    same_brand_P = (queries.history_brand_NH == items.brand[:, None]).any(axis=1)
    return best_P + 0.7 * same_brand_P - 0.45 * np.abs(items.tier - queries.tier)
