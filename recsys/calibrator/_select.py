"""Chooses a calibrator by cross-validation over queries.

Shapes: N rows, Q queries, C candidates.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from recsys.calibrator._calibrator import Calibrator, Fitted, Rows
from recsys.calibrator.identity import Identity
from recsys.metric.reliability import CLIP
from recsys.seed import hash_ids, uniform

LEVEL = 0.95  # of the candidates' intervals
MARGIN = 1.0  # standard errors: of 40 simulated scorers that were right, 0 left 29 alone, 1 left 38, 2 all


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Log-loss on queries it was not fitted on, with its 95 % interval; None where it cannot be known."""

    name: str
    log_loss: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What was chosen, why, and what it says."""

    chosen: str  # name of a candidate, or 'identity' where nothing could be compared
    reason: str
    candidates: list[Candidate]
    probability_N: np.ndarray  # float64, of the chosen one, each row by a map fitted without its query
    low_N: np.ndarray  # of its interval, likewise; the probability itself where only a point is known
    high_N: np.ndarray
    fitted: Fitted  # the chosen one, fitted on all rows


def folds(query_ids: list[str], num_folds: int, seed: int) -> np.ndarray:
    """fold_Q in 0 ... num_folds - 1 by a hash of (seed, query id): whichever other queries there are."""
    if num_folds < 2:
        raise ValueError(f"num_folds={num_folds} must be at least 2: a fold is predicted by what the others taught")
    return (uniform(hash_ids(query_ids, seed)) * num_folds).astype(np.int64)


def select(candidates: dict[str, Calibrator], rows: Rows, query_N: np.ndarray) -> Selection:
    """The simplest candidate that is not clearly worse than the best on queries it has not seen.

    `candidates` come from simple to complex. Best is the lowest held-out log-loss; the first candidate within one
    standard error of the paired difference per query is chosen (one-standard-error rule; Breiman et al., 1984).
    `rows.fold_N` is the fold of the row's query. Where nothing can be compared (one class, one fold), identity is
    chosen and the reason says so. Raises ValueError without candidates, or for a query in two folds.
    """
    if not candidates:
        raise ValueError("calibrator has no candidates; name at least one, such as calibrator=[identity,platt]")
    _check_folds(query_N, rows.fold_N)
    if reason := _nothing_to_compare(rows.take(rows.weight_N > 0)):
        identity = Identity().fit(rows)
        probability_N = identity.predict(rows.score_N)
        unknown = [Candidate(name=name, log_loss=None, low=None, high=None) for name in candidates]
        return Selection(
            chosen="identity",
            reason=reason,
            candidates=unknown,
            probability_N=probability_N,
            low_N=probability_N,
            high_N=probability_N,
            fitted=identity,
        )

    order = np.lexsort((rows.weight_N, rows.positive_N, rows.score_N))  # sorted once, every fit's own sorting is cheap
    ordered = rows.take(order)
    probability_CN = np.empty((len(candidates), len(rows)))
    for candidate, probability_N in zip(candidates.values(), probability_CN, strict=True):
        probability_N[order] = _out_of_fold(candidate, ordered)[0]
    loss_CQ, weight_Q = _loss_by_query(probability_CN, rows, query_N)
    mean_C = loss_CQ.sum(axis=1) / weight_Q.sum()
    best = int(np.argmin(mean_C))
    excess_C = [_mean_and_error(loss_Q - loss_CQ[best], weight_Q) for loss_Q in loss_CQ]
    choice = next(c for c, (excess, error) in enumerate(excess_C) if excess <= MARGIN * error)
    names = list(candidates)
    if choice == best:
        reason = f"lowest log-loss of {len(names)} on queries not seen in fitting"
    else:
        reason = (
            f"{names[best]} has a log-loss lower by only {excess_C[choice][0]:.2g}, within one standard error "
            f"({excess_C[choice][1]:.2g}) over queries: the simpler one is kept"
        )
    chosen = candidates[names[choice]]
    fitted = chosen.fit(rows)
    low_N = high_N = probability_CN[choice]
    if fitted.gives_interval:
        low_N, high_N = np.empty(len(rows)), np.empty(len(rows))
        _, low_N[order], high_N[order] = _out_of_fold(chosen, ordered)
    return Selection(
        chosen=names[choice],
        reason=reason,
        candidates=[_candidate(name, loss_Q, weight_Q) for name, loss_Q in zip(names, loss_CQ, strict=True)],
        probability_N=probability_CN[choice],
        low_N=low_N,
        high_N=high_N,
        fitted=fitted,
    )


def _check_folds(query_N: np.ndarray, fold_N: np.ndarray) -> None:
    _, first_Q, query_N = np.unique(query_N, return_index=True, return_inverse=True)
    if (moved := np.flatnonzero(fold_N != fold_N[first_Q][query_N])).size:
        raise ValueError(
            f"row {moved[0]} is in fold {fold_N[moved[0]]}, but its query has rows in another; "
            "fold by query, never by row"
        )


def _nothing_to_compare(rows: Rows) -> str:
    if not len(rows):
        return "no labelled row"
    if rows.positive_N.all() or not rows.positive_N.any():
        return f"all {len(rows)} labelled rows are {'positive' if rows.positive_N[0] else 'negative'}"
    if len(np.unique(rows.fold_N)) < 2:
        return "all labelled rows are in one fold: too few queries to hold some out"
    return ""


def _out_of_fold(candidate: Calibrator, rows: Rows) -> np.ndarray:
    """Probability and ends of its interval, float64 (3, N), of each row by the map fitted on the other folds."""
    said_3N = np.empty((3, len(rows)))
    for fold in np.unique(rows.fold_N):
        held_N = rows.fold_N == fold
        held, fitted = rows.take(held_N), candidate.fit(rows.take(~held_N))
        said_3N[0, held_N] = fitted.predict(held.score_N, held.segment)
        said_3N[1:, held_N] = fitted.interval(held.score_N, held.segment)
    return said_3N


def _loss_by_query(probability_CN: np.ndarray, rows: Rows, query_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, query_N = np.unique(query_N, return_inverse=True)
    clipped_CN = np.clip(probability_CN, CLIP, 1 - CLIP)
    loss_CN = -np.log(np.where(rows.positive_N, clipped_CN, 1 - clipped_CN)) * rows.weight_N
    loss_CQ = np.stack([_sum_by_query(loss_N, query_N) for loss_N in loss_CN])
    weight_Q = _sum_by_query(rows.weight_N, query_N)
    return loss_CQ[:, weight_Q > 0], weight_Q[weight_Q > 0]


def _sum_by_query(value_N: np.ndarray, query_N: np.ndarray) -> np.ndarray:
    order = np.lexsort((value_N, query_N))
    return np.bincount(query_N[order], weights=value_N[order])


def _mean_and_error(total_Q: np.ndarray, weight_Q: np.ndarray) -> tuple[float, float]:
    """Weighted mean and its standard error over queries (ratio estimator; Cochran, 1977); error inf for one query."""
    mean = total_Q.sum() / weight_Q.sum()
    num = len(total_Q)
    if num < 2:
        return float(mean), math.inf
    deviation = ((total_Q - mean * weight_Q) ** 2).sum() * num / (num - 1)
    return float(mean), float(math.sqrt(deviation) / weight_Q.sum())


def _candidate(name: str, loss_Q: np.ndarray, weight_Q: np.ndarray) -> Candidate:
    mean, error = _mean_and_error(loss_Q, weight_Q)
    half = float(t.ppf(0.5 + LEVEL / 2, len(loss_Q) - 1)) * error
    return Candidate(name=name, log_loss=mean, low=max(0.0, mean - half), high=mean + half)
