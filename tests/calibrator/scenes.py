"""Scorers whose true probabilities are known."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from recsys.calibrator import Rows


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Rows of a simulated scorer; truth_N is P(positive | score)."""

    score_N: np.ndarray
    positive_N: np.ndarray
    weight_N: np.ndarray
    query_N: np.ndarray
    truth_N: np.ndarray

    def rows(self, fold_Q: np.ndarray) -> Rows:
        """What calibrators are given, with the fold of each query."""
        return rows(self.score_N, self.positive_N, self.weight_N, fold_N=fold_Q[self.query_N])


def rows(score_N, positive_N, weight_N=None, *, fold_N=None, segment=None) -> Rows:
    """Rows of one fold and no segment, each observed once, unless told otherwise."""
    score_N = np.asarray(score_N, np.float32)
    return Rows(
        score_N=score_N,
        positive_N=np.asarray(positive_N, bool),
        weight_N=np.ones(len(score_N)) if weight_N is None else np.asarray(weight_N, np.float64),
        fold_N=np.zeros(len(score_N), np.int64) if fold_N is None else fold_N,
        segment=segment or {},
    )


def simulate(seed: int, *, num_queries: int = 80, scale: float = 1.0, shift: float = 0.0) -> Scene:
    """About 20 rows a query. The true logit is (score - shift) / scale: the scorer distorts it by scale and shift."""
    rng = np.random.default_rng(seed)
    query_N = np.repeat(np.arange(num_queries), rng.integers(5, 36, num_queries))
    logit_N = rng.normal(-0.5, 0.7, num_queries)[query_N] + rng.normal(0, 1.5, len(query_N))
    return Scene(
        score_N=(scale * logit_N + shift).astype(np.float32),
        positive_N=rng.random(len(query_N)) < expit(logit_N),
        weight_N=np.ones(len(query_N)),
        query_N=query_N,
        truth_N=expit(logit_N),
    )


def log_loss(probability_N: np.ndarray, target_N: np.ndarray, weight_N: np.ndarray) -> float:
    """Weighted mean log-loss in nats; targets may be soft."""
    loss_N = target_N * -np.log(probability_N) - (1 - target_N) * np.log1p(-probability_N)
    return float((weight_N * loss_N).sum() / weight_N.sum())


def single(score: list[float]) -> np.ndarray:
    """score_N as scorers give them."""
    return np.array(score, np.float32)
