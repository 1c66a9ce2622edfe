"""The shop's own search engine: what it retrieves, shows, and hence what is judged and logged.

Q queries, R retrieved items, K positions, G candidates per group, M = K x G candidates of a query, S sessions,
N = S x K impressions, J judged items.

The logging policy has propensities in closed form. A query's M best candidates, in the engine's order, form K groups of
G. A session draws a rotation r of the groups (none with probability 1 - e + e/K, each other one with e/K) and shows, at
position k, one item of group (k - r) mod K, drawn by a softmax of the engine's score mixed with e times the uniform.
Hence P(item i of group g at position k) = P(r = (k - g) mod K) x P(i | g): with e > 0 positive for every candidate at
every position, summing to one at each position, and no item comes twice on a page.
"""

from dataclasses import dataclass

import numpy as np

from recsys.source._shop_chance import draw, draw_normal
from recsys.source._shop_items import Catalogue, slot_types
from recsys.source._shop_queries import Audience, Queries
from recsys.source._shop_truth import fit
from recsys.source._shop_vocabulary import NONE, vocabulary

GROUP = 4
_DEPTH = 160  # items looked at per wanted type; half as many from its category and from anywhere
_ENGINE_NOISE, _APPEAL_WEIGHT = 0.7, 0.25
_LAST = -1e9  # score of an item that was retrieved twice


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the engine may show for each of Q queries."""

    candidate_QM: np.ndarray  # item numbers, best first; group g holds columns g x G to (g + 1) x G - 1
    within_QM: np.ndarray  # P(item | its group)
    rotation_K: np.ndarray  # P(rotation)

    def propensity_QMK(self) -> np.ndarray:
        """P(candidate m is shown at position k + 1)."""
        num_positions = len(self.rotation_K)
        group_M = np.arange(self.candidate_QM.shape[1]) // GROUP
        rotation_MK = (np.arange(num_positions)[None, :] - group_M[:, None]) % num_positions
        return self.within_QM[:, :, None] * self.rotation_K[rotation_MK][None]


@dataclass(frozen=True)
class Engine:
    """Retrieves by true fit seen through noise, plus popularity."""

    catalogue: Catalogue
    audience: Audience
    num_positions: int
    exploration: float

    def policy(self, number_Q: np.ndarray) -> Policy:
        queries = self.audience.queries(number_Q)
        num_candidates = self.num_positions * GROUP
        retrieved_QR, score_QR = self._retrieve(queries)
        order_QM = np.argsort(-score_QR, axis=1, kind="stable")[:, :num_candidates]
        score_QKG = np.take_along_axis(score_QR, order_QM, axis=1).reshape(-1, self.num_positions, GROUP)
        weight_QKG = np.exp(score_QKG - score_QKG.max(axis=2, keepdims=True))
        soft_QKG = weight_QKG / weight_QKG.sum(axis=2, keepdims=True)
        within_QKG = (1 - self.exploration) * soft_QKG + self.exploration / GROUP
        rotation_K = np.full(self.num_positions, self.exploration / self.num_positions)
        rotation_K[0] += 1 - self.exploration
        return Policy(
            candidate_QM=np.take_along_axis(retrieved_QR, order_QM, axis=1),
            within_QM=within_QKG.reshape(len(number_Q), num_candidates),
            rotation_K=rotation_K,
        )

    def pool(self, number_Q: np.ndarray, num_judged: int) -> np.ndarray:
        """item_QJ to be judged: half from the top of the engine, the rest deeper in what it retrieved, all distinct.

        What is retrieved also holds items of the category and from anywhere, so grades of 0 are not missing.
        """
        retrieved_QR, score_QR = self._retrieve(self.audience.queries(number_Q))
        order_QR = np.argsort(-score_QR, axis=1, kind="stable")
        rank_QR = np.argsort(order_QR, axis=1, kind="stable")
        chance_QR = draw(self.catalogue.seed, "pool", np.asarray(number_Q)[:, None], retrieved_QR)
        first_QR = np.where(rank_QR < num_judged // 2, -1.0, np.where(score_QR <= _LAST, 2.0, chance_QR))
        order_QJ = np.argsort(first_QR, axis=1, kind="stable")[:, :num_judged]
        return np.take_along_axis(retrieved_QR, order_QJ, axis=1)

    def _retrieve(self, queries: Queries) -> tuple[np.ndarray, np.ndarray]:
        """Item numbers and engine scores; an item retrieved twice scores _LAST the second time."""
        number_QR = np.stack([self._near(queries, n) for n in range(len(queries.number))])
        num_queries, num_retrieved = number_QR.shape
        items = self.catalogue.items(np.maximum(number_QR, 0).ravel())
        fit_P = fit(queries.take(np.repeat(np.arange(num_queries), num_retrieved)), items)
        noise_QR = draw_normal(self.catalogue.seed, "engine", queries.number[:, None], number_QR)
        score_QR = fit_P.reshape(number_QR.shape) + _ENGINE_NOISE * noise_QR
        score_QR = score_QR + _APPEAL_WEIGHT * items.appeal.reshape(number_QR.shape)
        return number_QR, np.where(_repeated(number_QR) | (number_QR == NONE), _LAST, score_QR)

    def _near(self, queries: Queries, n: int) -> np.ndarray:
        """number_R: items of the wanted types, of their categories, and from anywhere; the seed item first."""
        words, locale = vocabulary(), int(queries.locale[n])
        wanted = set(queries.history_type_NH[n].tolist()) if queries.is_user[n] else {int(queries.type[n])}
        category_T = words.type_category_T
        slot_S = slot_types(self.catalogue.seed)
        own_S = np.isin(slot_S, list(wanted))
        near_S = np.isin(category_T[slot_S], category_T[list(wanted)]) & ~own_S
        start = draw(self.catalogue.seed, "retrieval", int(queries.number[n]), np.arange(3))
        lists = [
            self.catalogue.of_types(np.flatnonzero(mask_S), locale, start=float(s), num=num)
            for mask_S, s, num in (
                (own_S, start[0], _DEPTH),
                (near_S, start[1], _DEPTH // 2),
                (np.ones_like(own_S), start[2], max(_DEPTH // 2, self.num_positions * GROUP)),
            )
        ]
        return np.concatenate([[queries.seed_item[n]], *lists])


def most_candidates(num_positions: int) -> int:
    """Distinct items of a market that a query needs."""
    return num_positions * GROUP


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Impressions of S sessions, K each, session by session."""

    query_N: np.ndarray
    item_N: np.ndarray
    position_N: np.ndarray
    propensity_N: np.ndarray


def show(engine: Engine, session_S: np.ndarray, query_S: np.ndarray, policy: Policy, row_S: np.ndarray) -> Shown:
    """What each session's page held; row_S is each session's row in `policy`."""
    num_positions, shop_seed = engine.num_positions, engine.catalogue.seed
    rotation_S = np.searchsorted(np.cumsum(policy.rotation_K), draw(shop_seed, "rotation", session_S), side="right")
    rotation_S = np.minimum(rotation_S, num_positions - 1)
    position_K = np.arange(num_positions)
    group_SK = (position_K[None, :] - rotation_S[:, None]) % num_positions
    within_QKG = policy.within_QM.reshape(-1, num_positions, GROUP)[row_S[:, None], group_SK]
    chance_SK = draw(shop_seed, "shown", session_S[:, None], position_K[None, :])
    member_SK = np.minimum((np.cumsum(within_QKG, axis=2) <= chance_SK[:, :, None]).sum(axis=2), GROUP - 1)
    chosen_SK = group_SK * GROUP + member_SK
    propensity_SK = policy.within_QM[row_S[:, None], chosen_SK] * policy.rotation_K[rotation_S][:, None]
    return Shown(
        query_N=np.repeat(query_S, num_positions),
        item_N=policy.candidate_QM[row_S[:, None], chosen_SK].ravel(),
        position_N=np.tile(position_K + 1, len(session_S)),
        propensity_N=propensity_SK.ravel(),
    )


def _repeated(number_QR: np.ndarray) -> np.ndarray:
    """bool_QR: the number stands further left in the same row already."""
    order_QR = np.argsort(number_QR, axis=1, kind="stable")
    sorted_QR = np.take_along_axis(number_QR, order_QR, axis=1)
    same_QR = np.zeros(number_QR.shape, bool)
    same_QR[:, 1:] = sorted_QR[:, 1:] == sorted_QR[:, :-1]
    repeated_QR = np.empty_like(same_QR)
    np.put_along_axis(repeated_QR, order_QR, same_QR, axis=1)
    return repeated_QR
