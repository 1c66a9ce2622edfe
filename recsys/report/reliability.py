"""Whether probabilities mean what they say: before and after calibration, on queries that neither has seen.

Shapes: Q queries, R weightings of the queries (column 0: the estimate).
"""

from dataclasses import dataclass

import numpy as np

from recsys import seed
from recsys.metric import bootstrap, cumulative, decomposition, reliability, smooth
from recsys.metric._query_mean import rarer_class
from recsys.metric._sample import Metric, Sample
from recsys.report._chart import Chart, ReliabilityDiagram
from recsys.report._evaluation import Evaluation, Record, Report
from recsys.report._rows import Part, TargetRows, rows
from recsys.report._statement import LEAST_CLASSES, ONE_SIDED

LEVEL = 0.95
COLUMNS = ("uncalibrated", "probability")  # before, after


@dataclass(frozen=True, kw_only=True)
class Behind:
    """What stands behind the records of one target."""

    target: str
    split: str
    num_queries: int
    num_pairs: int
    num_groups: int | None = None  # of queries, where those are what is resampled
    note: str = ""  # to every definition

    @property
    def resampled(self) -> int:
        """How many things are resampled."""
        return self.num_queries if self.num_groups is None else min(self.num_queries, self.num_groups)


@dataclass
class Reliability(Report):
    """Losses and calibration errors with intervals, and the reliability diagrams."""

    num_bins: int
    num_replicates: int

    def __post_init__(self) -> None:
        if not 2 <= self.num_bins <= 100:
            raise ValueError(f"report.reliability.num_bins={self.num_bins} must lie between 2 and 100")
        if self.num_replicates < 20:
            raise ValueError(f"report.reliability.num_replicates={self.num_replicates} is too few; use 100 or more")

    def records(self, evaluation: Evaluation) -> list[Record]:
        made: list[Record] = []
        for target in evaluation.targets:
            part = rows(evaluation, target, evaluation.split)
            before, after = (part.probability_from(c) for c in COLUMNS)
            counts = Part(part.sample)
            behind = Behind(
                target=target,
                split=evaluation.split,
                num_queries=counts.num_queries["row"],
                num_pairs=counts.num_pairs,
            )
            made += self.told(before, after, self._weights(evaluation, part), behind)
        return made

    def charts(self, evaluation: Evaluation) -> list[Chart]:
        made: list[Chart] = []
        for target in evaluation.targets:
            part = rows(evaluation, target, evaluation.split)
            before, after = (part.probability_from(c) for c in COLUMNS)
            made += self.diagrams(before, after, self._weights(evaluation, part), target)
        return made

    def told(self, before: Sample, after: Sample, weight_QR: np.ndarray, behind: Behind) -> list[Record]:
        """The records of the same rows with the probabilities before and after calibration."""
        made, one_sided = [], rarer_class(before) < LEAST_CLASSES
        for name, (metric, scale, definition) in self._metrics().items():
            before_R, after_R = metric(before, weight_QR), metric(after, weight_QR)
            for metric_name, about, value_R, shape in (
                (name, f"After calibration. {definition}", after_R, scale),
                (f"{name} uncalibrated", f"Before calibration, sigmoid(score). {definition}", before_R, scale),
                (f"{name} change", f"After less before, paired. {definition}", after_R - before_R, "paired"),
            ):
                if one_sided:  # and nothing to resample
                    about, value_R = f"{ONE_SIDED} {about}", value_R[:1]
                made.append(_record(behind, metric_name, f"{about}{behind.note}", value_R, shape))
        return made

    def diagrams(
        self, before: Sample, after: Sample, weight_QR: np.ndarray, target: str, *, counted: str = "queries"
    ) -> list[ReliabilityDiagram]:
        """Both diagrams, each with bins as fine as its probabilities ask for."""
        return [
            ReliabilityDiagram(
                target=target,
                column=column,
                bins=reliability.bins(sample, weight_QR, self._fine(sample), level=LEVEL),
                counted=counted,
            )
            for column, sample in zip(COLUMNS, (before, after), strict=True)
        ]

    def _fine(self, sample: Sample) -> int:
        """Bins between 0 and 1 so that about `num_bins` of them lie where nearly all probabilities are: a rare outcome
        would fill one wide bin."""
        reach = float(np.quantile(sample.probability_N, 0.99)) if len(sample) else 1.0
        return int(np.ceil(self.num_bins / min(max(reach, 0.01), 1.0)))

    def _metrics(self) -> dict[str, tuple[Metric, str, str]]:
        """Name -> metric, scale of its interval, definition."""
        bins = f"{self.num_bins} bins"
        return {
            "log_loss": (reliability.log_loss, "log", "Mean negative log-likelihood, in nats, per observation."),
            "brier": (reliability.brier, "logit", "Mean squared difference of probability and outcome (Brier, 1950)."),
            "ece": (
                reliability.ece(self.num_bins),
                "logit",
                f"Expected calibration error: mean gap of stated and observed share over {bins} of equal width (Naeini "
                "et al., 2015). Biased upward: never 0 in a finite sample, so read it beside the debiased error.",
            ),
            "ece_equal_mass": (
                reliability.ece_equal_mass(self.num_bins),
                "linear",
                f"Expected calibration error over {bins} of equally many observations.",
            ),
            "debiased_l2": (
                reliability.debiased_l2(self.num_bins),
                "linear",
                f"Root mean square calibration error over {bins} of equally many observations, less the part that "
                "chance alone would show (Kumar et al., 2019).",
            ),
            "smooth_ece": (
                smooth.smooth_ece,
                "linear",
                "Calibration error without bins: the width at which the residuals, smoothed with a Gaussian of that "
                "width, have that very mean absolute value (Błasiok & Nakkiran, 2023).",
            ),
            "ecce": (
                cumulative.ecce,
                "linear",
                "Range of the cumulative sum of outcome less probability, in order of probability, per observation "
                "(Arrieta-Ibarra et al., 2022). By chance alone it is about 1.6 ecce_scale.",
            ),
            "ecce_scale": (
                cumulative.ecce_scale,
                "linear",
                "What the end of the walk of ecce would vary by if every probability were true.",
            ),
            "mce": (
                reliability.mce(self.num_bins),
                "linear",
                f"Largest gap of stated and observed share in {bins} of equal width (Naeini et al., 2015); one row "
                "alone in a bin decides it.",
            ),
            "mce_equal_mass": (
                reliability.mce_equal_mass(self.num_bins),
                "linear",
                f"Largest gap of stated and observed share in {bins} of equally many observations.",
            ),
            "normalised_entropy": (
                reliability.normalised_entropy,
                "log",
                "Log-loss over that of always stating the share of positives (He et al., 2014).",
            ),
            "brier_reliability": (
                decomposition.brier_reliability(self.num_bins),
                "linear",
                f"Mean squared gap of stated and observed share, {bins} of equally many observations (Murphy, 1973).",
            ),
            "brier_resolution": (
                decomposition.brier_resolution(self.num_bins),
                "linear",
                f"Variance of the observed shares of {bins} of equally many observations; higher is better.",
            ),
            "brier_uncertainty": (
                decomposition.brier_uncertainty,
                "linear",
                "Variance of the outcome: the Brier score of always stating the share of positives.",
            ),
            "calibration_ratio": (
                reliability.calibration_ratio,
                "log",
                "Sum of probabilities over number of positives: 1 is right, 2 promises twice what happens.",
            ),
        }

    def _weights(self, evaluation: Evaluation, part: TargetRows) -> np.ndarray:
        run_seed = seed.seed(evaluation.seed, "report", "queries")
        return bootstrap.poisson_weights(part.query_ids, self.num_replicates, run_seed)


def _record(behind: Behind, name: str, about: str, value_R: np.ndarray, scale: str) -> Record:
    value, low, high = bootstrap.interval(value_R, LEVEL, num_queries=behind.resampled, scale=scale)
    if scale == "linear" and not name.endswith("change"):
        low = max(low, 0.0)
    value, low, high = (float(v) if np.isfinite(v) else None for v in (value, low, high))
    return Record(
        report="reliability",
        target=behind.target,
        split=behind.split,
        metric=name,
        definition=about,
        slice="overall",
        value=value,
        low=low,
        high=high,
        num_queries=behind.num_queries,
        num_pairs=behind.num_pairs,
    )
