"""The metrics of a balanced report as named things: what each is, where it applies, which way is better."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from recsys.metric import grade, ranking, reliability, separation, threshold
from recsys.metric._query_mean import QueryMean, by_observations, mean_by_query
from recsys.metric._sample import Metric, Sample

NUM_BINS = 15
JUDGED = "Only labelled pairs are ranked, so a random order scores high too: see 'random'."
CATALOGUE = "All scored items are ranked; unjudged ones gain 0 and are not relevant."
TIES = "Ties count in expectation over random order."
DECISIONS = {
    "precision": "Share of positives among what is said to be positive.",
    "recall": "Share of the positives that is said to be positive.",
    "f1": "Harmonic mean of precision and recall.",
    "balanced_accuracy": "Mean of the shares of positives and of negatives that are called what they are.",
    "g_mean": "Geometric mean of the shares of positives and of negatives that are called what they are.",
    "mcc": "Correlation of what is said and what is (Matthews, 1975).",
}
POOLED = ("average_precision", "ks")  # over rows of any query; a random order is not what ties make of them
NAMES = {"precision": "precision", "recall": "recall", "f1": "F1"}
FLATTERED = "on the main split; there it is judged by the labels it was chosen on, and looks better than it is"
CUT = f"A grade is said by cutting the score where macro recall, each grade counting the same, is highest {FLATTERED}."


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a number of a report is. `needs` tells which queries count in it."""

    name: str
    definition: str
    needs: str  # which queries count, and an interval rests on: see `Part.num_queries`
    pool: str  # judged or catalogue (ranking), probability, rate, or decision
    scale: str  # of its interval: see `bootstrap.interval`
    better: str  # higher, lower or neither
    headline: bool = True  # the page shows it; the others fold away, and have no lift and no detectable difference


@dataclass(frozen=True, kw_only=True)
class RowMeasure(Measure):
    """A measure that is computed from labelled rows."""

    metric: Metric


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """What is said of a row by its probability and its score, chosen once and kept for every slice and split."""

    threshold: float  # on the probability: highest F1; NaN where it is undefined
    num_grades: int  # 0 where labels are no grades
    cut_L: np.ndarray  # on the score: highest macro recall


def choose(sample: Sample, num_grades: int) -> Cuts:
    """The cuts that are best on these rows."""
    cut_L = grade.cuts(sample, num_grades) if num_grades > 2 else np.zeros(0)
    return Cuts(threshold=threshold.recommend("f1", sample), num_grades=num_grades, cut_L=cut_L)


def measures(k: int, gain: str, num_bins: int = NUM_BINS) -> list[RowMeasure]:
    """All measures, the headline's first. `gain` is the sentence of the target, `num_bins` are those of `ece`."""
    ndcg = (
        f"nDCG of the first {k} places, discount 1/log2(1 + rank); {gain}. Mean over queries in which something gains."
    )
    mrr = "1 / rank of the first positive item, mean over queries with one."
    recall = f"Share of a query's positive items in the first {k} places, mean over queries with one."
    auc = "Probability that a positive row scores above a negative row, of any query (Mann–Whitney)."
    gauc = "AUC within a query, averaged by observations (Zhou et al., 2018); queries of one class do not count."
    auc_catalogue = "Probability that a positive item stands above one not known to be positive, mean over queries."
    log_loss = "Mean negative log-likelihood of the calibrated probability, in nats, per observation."
    brier = "Mean squared difference of calibrated probability and outcome (Brier, 1950)."
    ece = (
        f"Expected calibration error: mean gap of stated and observed share over {num_bins} bins of equal width "
        "(Naeini et al., 2015). Biased upward, most of all in small slices."
    )
    return [
        _ranking(f"ndcg@{k}", ranking.ndcg(k), "judged", "gain", ndcg),
        _ranking("mrr", ranking.mrr, "judged", "positive", mrr),
        _ranking(f"recall@{k}", ranking.recall(k), "judged", "positive", recall),
        _ranking("auc", ranking.auc, "judged", "classes", auc),
        _ranking("gauc", ranking.gauc, "judged", "both", gauc),
        _ranking(f"ndcg@{k} catalogue", ranking.ndcg_catalogue(k), "catalogue", "gain", ndcg),
        _ranking("mrr catalogue", ranking.mrr_catalogue, "catalogue", "positive", mrr),
        _ranking(f"recall@{k} catalogue", ranking.recall_catalogue(k), "catalogue", "positive", recall),
        _ranking("auc catalogue", ranking.auc_catalogue, "catalogue", "positive", auc_catalogue),
        _loss("log_loss", reliability.log_loss, "log", log_loss),
        _loss("brier", reliability.brier, "logit", brier),
        _loss("ece", reliability.ece(num_bins), "logit", ece),
        _rate("mean_probability", _probability, "Mean calibrated probability, per observation."),
        _rate("positive_rate", _positive, "Share of observations with a positive label."),
        *_further(k),
    ]


def _further(k: int) -> list[RowMeasure]:
    """Those that the headline does without."""
    average_precision = "Precision at the ranks of a query's positive items, mean over them and over queries with one."
    precision = f"Share of the first {k} places that hold a positive item, mean over queries with a label."
    hit_rate = f"Chance of at least one positive item in the first {k} places, mean over queries with a positive."
    pooled = (
        "Area under the precision-recall curve of rows of any query: sum of recall gained times precision over the "
        "distinct scores (Davis & Goadrich, 2006). A random order has about the share of positives, and more where "
        "these are few."
    )
    ks = (
        "Largest difference of the shares of positives and of negatives above a score; it does not tell the direction. "
        "A random order never has 0, but about 0.87 sqrt(1/positives + 1/negatives)."
    )
    gauc = "AUC within a query, averaged"
    entropy = (
        "Log-loss over that of always stating the share of positives (He et al., 2014): below 1 the probabilities know "
        "more than the average."
    )
    ranked = [
        _ranking("map", ranking.mean_average_precision, "judged", "positive", average_precision),
        _ranking(f"precision@{k}", ranking.precision(k), "judged", "row", precision),
        _ranking(f"hit_rate@{k}", ranking.hit_rate(k), "judged", "positive", hit_rate),
        _ranking("average_precision", separation.average_precision, "judged", "classes", pooled),
        _ranking("ks", separation.ks, "judged", "classes", ks),
        _ranking("gauc_by_positives", ranking.gauc_by_positives, "judged", "both", f"{gauc} by positives."),
        _ranking("gauc_unweighted", ranking.gauc_unweighted, "judged", "both", f"{gauc} over queries, each once."),
        _ranking("map catalogue", ranking.mean_average_precision_catalogue, "catalogue", "positive", average_precision),
        _ranking(f"precision@{k} catalogue", ranking.precision_catalogue(k), "catalogue", "row", precision),
        _ranking(f"hit_rate@{k} catalogue", ranking.hit_rate_catalogue(k), "catalogue", "positive", hit_rate),
    ]
    together = "Only labelled rows are ranked. Those of equal score are taken together."
    ranked = [
        replace(m, definition=m.definition.replace(f"{JUDGED} {TIES}", together)) if m.name in POOLED else m
        for m in ranked
    ]
    made = [*ranked, _loss("normalised_entropy", reliability.normalised_entropy, "log", entropy)]
    return [replace(measure, headline=False) for measure in made]


def decisions(cuts: Cuts) -> list[RowMeasure]:
    """What happens if everything from the threshold on is said to be positive, and grades are said by the cuts."""
    made = []
    if np.isfinite(cuts.threshold):
        where = f"Saying yes from a probability of {cuts.threshold:.4g} on, which has the highest F1 {FLATTERED}."
        for name, definition in DECISIONS.items():
            metric, scale = threshold.at(name, cuts.threshold), "linear" if name == "mcc" else "logit"
            made.append(_decision(name, metric, scale, f"{definition} {where}"))
    if cuts.num_grades > 2 and not np.isnan(cuts.cut_L).any():
        for statistic in grade.STATISTICS:
            metric = grade.macro(statistic, cuts.num_grades, cuts.cut_L)
            made.append(
                _decision(
                    f"macro_{statistic}", metric, "logit", f"Mean {NAMES[statistic]} of the grades that occur. {CUT}"
                )
            )
    return made


def of_grades(cuts: Cuts) -> list[tuple[int, RowMeasure]]:
    """(grade, measure) of each grade against all others."""
    if cuts.num_grades <= 2 or np.isnan(cuts.cut_L).any():
        return []
    return [
        (
            g,
            _decision(
                f"grade_{statistic}",
                grade.of_grade(statistic, g, cuts.num_grades, cuts.cut_L),
                "logit",
                f"{NAMES[statistic][0].upper()}{NAMES[statistic][1:]} of the grade against all others. {CUT}",
            ),
        )
        for g in range(cuts.num_grades)
        for statistic in grade.STATISTICS
    ]


def _decision(name: str, metric: Metric, scale: str, definition: str) -> RowMeasure:
    return RowMeasure(
        name=name,
        metric=metric,
        definition=definition,
        needs="classes",
        pool="decision",
        scale=scale,
        better="higher",
        headline=False,
    )


def _ranking(name: str, metric: Metric, pool: str, needs: str, definition: str) -> RowMeasure:
    about = f"{definition} {JUDGED if pool == 'judged' else CATALOGUE} {TIES}"
    return RowMeasure(
        name=name, metric=metric, definition=about, needs=needs, pool=pool, scale="logit", better="higher"
    )


def _loss(name: str, metric: Metric, scale: str, definition: str) -> RowMeasure:
    return RowMeasure(
        name=name, metric=metric, definition=definition, needs="row", pool="probability", scale=scale, better="lower"
    )


def _rate(name: str, value: Callable[[Sample], np.ndarray], definition: str) -> RowMeasure:
    metric = QueryMean(value=lambda sample: mean_by_query(sample, value(sample)), mass=by_observations)
    return RowMeasure(
        name=name, metric=metric, definition=definition, needs="row", pool="rate", scale="logit", better="neither"
    )


def _probability(sample: Sample) -> np.ndarray:
    return sample.probability_N


def _positive(sample: Sample) -> np.ndarray:
    return sample.positive_N.astype(np.float64)
