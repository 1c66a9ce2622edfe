"""Parity of losses and calibration errors: against scikit-learn, torchmetrics, netcal, uncertainty-calibration, relplot
and plain loops.

torchmetrics and netcal know no weights and put p = 1 into a bin of its own: they get rows of weight 1 and p < 1.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import brier_score_loss, log_loss

from benchmarks._parity import Parity, apart
from benchmarks._parity_ranking import EXACT, estimate
from recsys.metric import Metric, cumulative, decomposition, reliability, smooth
from tests.metric import naive, samples

BINS = 5
Rows = list[tuple[float, bool, float]]


def _loops(name: str, metric: Metric, value: Callable[[Rows], float]) -> Parity:
    def difference(seed: int) -> float:
        sample = samples.draw(seed)
        return apart(estimate(metric, sample), value(naive.observed(sample)))

    return Parity(name=name, reference="loops over rows and bins", tolerance=EXACT, difference=difference)


def _scikit_learn(name: str, metric: Metric, loss: Callable[..., float]) -> Parity:
    def difference(seed: int) -> float:
        sample = samples.draw(seed)
        kept = sample.weight_N > 0
        probability_N = np.clip(sample.probability_N[kept], 1e-15, 1 - 1e-15)
        theirs = math.nan
        if kept.any():
            theirs = loss(
                sample.positive_N[kept], probability_N, sample_weight=sample.weight_N[kept], labels=[False, True]
            )
        return apart(estimate(metric, sample), theirs)

    return Parity(name=name, reference=f"scikit-learn {loss.__name__}", tolerance=EXACT, difference=difference)


def _library(name: str, reference: str, metric: Metric, value: Callable[[np.ndarray, np.ndarray], float]):
    """Rows of weight 1 with distinct probabilities below 1, as many in each of the bins of equal mass."""

    def difference(seed: int) -> float:
        rng = np.random.default_rng(seed)
        count = BINS * int(rng.integers(2, 40))
        probability_N = rng.random(count) ** rng.choice([0.5, 1.0, 3.0])
        label_N = (rng.random(count) < probability_N ** rng.choice([0.5, 1.0, 2.0])).astype(np.int64)
        query = np.sort(rng.integers(0, 5, count)).tolist()
        sample = samples.make(query, [0.0] * count, label_N.tolist(), probability=probability_N.tolist())
        return apart(estimate(metric, sample), value(probability_N, label_N))

    return Parity(name=name, reference=reference, tolerance=EXACT, difference=difference)


def _torchmetrics(norm: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def value(probability_N: np.ndarray, label_N: np.ndarray) -> float:
        import torch
        from torchmetrics.functional.classification import binary_calibration_error

        return float(
            binary_calibration_error(torch.tensor(probability_N), torch.tensor(label_N), n_bins=BINS, norm=norm)  # pyright: ignore[reportArgumentType]
        )

    return value


def _netcal(kind: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def value(probability_N: np.ndarray, label_N: np.ndarray) -> float:
        from netcal import metrics

        return float(getattr(metrics, kind)(BINS).measure(probability_N, label_N))

    return value


def _kumar(error: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def value(probability_N: np.ndarray, label_N: np.ndarray) -> float:
        from calibration import utils

        binned: Any = utils.bin(
            list(zip(probability_N, label_N, strict=True)), utils.get_equal_bins(list(probability_N), BINS)
        )
        return float(utils.unbiased_l2_ce(binned) if error == "debiased" else utils.plugin_ce(binned, power=1))

    return value


def _relplot(seed: int) -> float:
    """relplot looks for the width in steps of 1/1024, cuts its kernel off at 1/2 and mirrors no mass on 0 or 1: it gets
    hundreds of rows inside, so that the width is small."""
    import relplot

    rng = np.random.default_rng(seed)
    count = int(rng.integers(300, 1000))
    probability_N = rng.uniform(0.02, 0.98, count)
    label_N = (rng.random(count) < probability_N ** rng.choice([0.8, 1.0, 1.25])).astype(np.int64)
    sample = samples.make([0] * count, [0.0] * count, label_N.tolist(), probability=probability_N.tolist())
    return apart(estimate(smooth.smooth_ece, sample), float(relplot.smECE(probability_N, label_N)))  # pyright: ignore[reportArgumentType]


def _entropy(rows: Rows) -> float:
    share = naive.share_positive(rows)
    if not 0 < share < 1:
        return math.nan
    return naive.log_loss(rows) / -(share * math.log(share) + (1 - share) * math.log(1 - share))


def _ratio(rows: Rows) -> float:
    positive = sum(w for _, y, w in rows if y)
    return sum(p * w for p, _, w in rows) / positive if positive else math.nan


def _ece(bins: Callable[[Rows, int], dict[int, Rows]]) -> Callable[[Rows], float]:
    def value(rows: Rows) -> float:
        total = sum(r[2] for r in rows)
        return (
            sum(w * abs(said - seen) for w, said, seen in naive.about(bins(rows, BINS))) / total if total else math.nan
        )

    return value


def _mce(bins: Callable[[Rows, int], dict[int, Rows]]) -> Callable[[Rows], float]:
    return lambda rows: max((abs(said - seen) for _, said, seen in naive.about(bins(rows, BINS))), default=math.nan)


def _debiased(rows: Rows) -> float:
    total, square = sum(r[2] for r in rows), 0.0
    for weight, said, seen in naive.about(naive.mass_bins(rows, BINS)):
        noise = seen * (1 - seen) / (weight - 1) if weight > 1 else 0.0
        square += weight * ((said - seen) ** 2 - noise)
    return max(square / total, 0.0) ** 0.5 if total else math.nan


def _part(index: int) -> Callable[[Rows], float]:
    return lambda rows: naive.brier_parts(rows, BINS)[index]


CASES = [
    _scikit_learn("log_loss", reliability.log_loss, log_loss),
    _scikit_learn("brier", reliability.brier, brier_score_loss),
    _loops("normalised_entropy", reliability.normalised_entropy, _entropy),
    _loops("calibration_ratio", reliability.calibration_ratio, _ratio),
    _loops("brier_reliability", decomposition.brier_reliability(BINS), _part(0)),
    _loops("brier_resolution", decomposition.brier_resolution(BINS), _part(1)),
    _loops("brier_uncertainty", decomposition.brier_uncertainty, _part(2)),
    _loops("brier_within", decomposition.brier_within(BINS), _part(3)),
    _loops("ece", reliability.ece(BINS), _ece(naive.width_bins)),
    _library("ece, one weight", "torchmetrics binary_calibration_error l1", reliability.ece(BINS), _torchmetrics("l1")),
    _library("ece, one weight", "netcal ECE", reliability.ece(BINS), _netcal("ECE")),
    _loops("ece_equal_mass", reliability.ece_equal_mass(BINS), _ece(naive.mass_bins)),
    _library(
        "ece_equal_mass, one weight",
        "uncertainty-calibration plugin_ce",
        reliability.ece_equal_mass(BINS),
        _kumar("plugin"),
    ),
    _loops("mce", reliability.mce(BINS), _mce(naive.width_bins)),
    _library(
        "mce, one weight", "torchmetrics binary_calibration_error max", reliability.mce(BINS), _torchmetrics("max")
    ),
    _library("mce, one weight", "netcal MCE", reliability.mce(BINS), _netcal("MCE")),
    _loops("mce_equal_mass", reliability.mce_equal_mass(BINS), _mce(naive.mass_bins)),
    _loops("debiased_l2", reliability.debiased_l2(BINS), _debiased),
    _library(
        "debiased_l2, one weight",
        "uncertainty-calibration unbiased_l2_ce",
        reliability.debiased_l2(BINS),
        _kumar("debiased"),
    ),
    _loops("smooth_ece", smooth.smooth_ece, naive.smooth_ece),
    Parity(name="smooth_ece, one weight", reference="relplot smECE", tolerance=1.5e-3, difference=_relplot),
    _loops("ecce", cumulative.ecce, naive.ecce),
]
