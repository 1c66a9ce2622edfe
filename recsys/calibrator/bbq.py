"""Bayesian binning into quantiles (Naeini, Cooper & Hauskrecht, 2015): many histograms, averaged by how well each
explains the labels. Shapes: M histograms, B bins of one, V distinct scores, U bins of all kept histograms together."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, gammaln

from recsys.calibrator._bins import edges, equal_mass, sums
from recsys.calibrator._calibrator import Calibrator, Rows, Tally, tally
from recsys.calibrator._fitted import Steps

PRIOR = 2.0  # N' of the paper: observations that the prior of a whole histogram is worth
INSIDE = 1e-6  # the prior mean of a bin keeps this far from 0 and 1
LEAST = 1e-12  # posterior weight, relative to the best, below which a histogram is left out


@dataclass
class Bbq(Calibrator):
    """The mean of equal-mass histograms, each weighted by its marginal likelihood with a beta prior per bin.

    A bin's prior is centred at the middle of its interval of sigmoid(score), so that bins of one class stay off 0
    and 1. The mean of steps is steps; ranking order is not kept.
    """

    range_factor: float  # numbers of bins run from n^(1/3) / this to n^(1/3) * this

    def __post_init__(self) -> None:
        if not 1 <= self.range_factor <= 100:
            raise ValueError(f"calibrator.bbq.range_factor={self.range_factor} must lie between 1 and 100")

    def fit(self, rows: Rows) -> Steps:
        counts = tally(rows)
        models = [histogram(counts, num_bins) for num_bins in self.numbers(counts)]
        evidence_M = np.array([evidence for _, _, evidence in models])
        weight_M = np.exp(evidence_M - evidence_M.max())
        kept = np.flatnonzero(weight_M > LEAST)
        weight_M /= weight_M[kept].sum()
        start_U = np.unique(np.concatenate([models[m][0] for m in kept]))
        probability_U = np.zeros(len(start_U))
        for m in kept:
            start_B, rate_B, _ = models[m]
            probability_U += weight_M[m] * rate_B[np.searchsorted(start_B, start_U, "right") - 1]
        probability_U = np.clip(probability_U, 0.0, 1.0)
        return Steps(edge_E=tuple(edges(counts, start_U).tolist()), probability_B=tuple(probability_U.tolist()))

    def numbers(self, counts: Tally) -> range:
        """The numbers of bins that are tried."""
        root = float(np.cbrt(counts.weight_V.sum()))
        most = max(1, min(int(np.ceil(root * self.range_factor)), len(counts.score_V)))
        return range(min(most, max(1, int(root / self.range_factor))), most + 1)


def histogram(counts: Tally, num_bins: int) -> tuple[np.ndarray, np.ndarray, float]:
    """start_B, the posterior mean rate_B, and the log marginal likelihood of the labels (beta-binomial; their order
    within a bin is given)."""
    start_B = equal_mass(counts, num_bins)
    positive_B, negative_B = sums(counts.positive_V, start_B), sums(counts.negative_V, start_B)
    edge_2 = np.r_[0.0, expit(edges(counts, start_B)), 1.0]
    middle_B = np.clip((edge_2[:-1] + edge_2[1:]) / 2, INSIDE, 1 - INSIDE)
    total = PRIOR / len(start_B)
    alpha_B, beta_B = total * middle_B, total * (1 - middle_B)
    weight_B = positive_B + negative_B
    evidence = (
        gammaln(total)
        - gammaln(weight_B + total)
        + gammaln(positive_B + alpha_B)
        - gammaln(alpha_B)
        + gammaln(negative_B + beta_B)
        - gammaln(beta_B)
    ).sum()
    return start_B, (positive_B + alpha_B) / (weight_B + total), float(evidence)
