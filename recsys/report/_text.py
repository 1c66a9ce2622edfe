"""Numbers and names as people read them."""

from recsys.report._evaluation import Record

NOUNS = {
    "relevance": ("relevant", "are relevant"),
    "click": ("clicked", "are clicked"),
    "purchase": ("bought", "are bought"),
}
METRICS = {
    "ndcg": "nDCG",
    "mrr": "MRR",
    "recall": "Recall",
    "auc": "AUC",
    "gauc": "GAUC",
    "log_loss": "Log-loss",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
    "ece_equal_mass": "Calibration error, equal mass",
    "debiased_l2": "Calibration error, debiased (L2)",
    "calibration_ratio": "Stated / observed",
    "smooth_ece": "Calibration error, smooth",
    "ecce": "Calibration error, cumulative (ECCE)",
    "normalised_entropy": "Normalised entropy",
    "map": "MAP",
    "precision": "Precision",
    "hit_rate": "Hit rate",
    "average_precision": "Average precision (PR-AUC)",
    "ks": "Kolmogorov–Smirnov",
    "gauc_by_positives": "GAUC by positives",
    "gauc_unweighted": "GAUC unweighted",
    "f1": "F1",
    "g_mean": "G-mean",
    "mcc": "Matthews correlation",
    "macro_f1": "Macro F1 of grades",
    "macro_precision": "Macro precision of grades",
    "macro_recall": "Macro recall of grades",
    "mean_probability": "Mean probability",
    "positive_rate": "Share positive",
    "coverage": "Coverage",
    "top 1 % exposure": "Taken by the top 1 %, at least one item",
    "gini": "Gini of exposure",
    "entropy": "Entropy of exposure",
    "popularity_bias": "Popularity over the catalogue's",
    "novelty": "Novelty, bits",
    "diversity": "Pairs from different categories",
}


def number(value: float | None, digits: int = 3) -> str:
    """'0.801', '−0.012', or an em dash where undefined."""
    if value is None:
        return "—"
    text = f"{value:.{digits}f}"
    text = text.lstrip("-") if float(text) == 0 else text
    return text.replace("-", "−")


def count(value: float) -> str:
    """'2,095,848'."""
    return f"{value:,.0f}"


def percent(value: float | None) -> str:
    """'29 %', '4.1 %', '0.32 %': two significant digits below ten per cent; '99.7 %': less than all is not 100 %."""
    if value is None:
        return "—"
    share = 100 * value
    digits = 0 if abs(share) >= 9.95 or share == 0 else 1 if abs(share) >= 0.995 else 2
    if 97.95 <= share < 100:
        digits = 1 if share < 99.95 else 2
        share = min(share, 99.99)
    return f"{share:.{digits}f}\u00a0%".replace("-", "−")


def bracket(low: float | None, high: float | None, digits: int = 3) -> str:
    """'[0.77, 0.83]', or nothing where there is no interval."""
    return "" if low is None or high is None else f"[{number(low, digits)}, {number(high, digits)}]"


def percent_bracket(low: float, high: float) -> str:
    """'[27, 31]' of per cents, or '[0.9, 1.4]' where they are small, '[98.7, 99.1]' where they are nearly 100."""
    digits = 0 if 100 * high >= 9.95 and 100 * low < 97.95 else 1 if 100 * high >= 0.995 else 2
    return f"[{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def metric(name: str) -> str:
    """'ndcg@10 catalogue' -> 'nDCG@10'."""
    stem, at, k = name.removesuffix(" catalogue").partition("@")
    return METRICS.get(stem, stem.replace("_", " ").capitalize()) + at + k


def column(name: str) -> str:
    """A column of a table as a heading."""
    special = {"frequency": "Query frequency", "popularity": "Item popularity", "kind": "Kind of query"}
    return special.get(name, name.replace("_", " ").strip().capitalize() or name)


def short(text: str, length: int = 48) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def why(record: Record) -> str:
    """Why a record has no value, or no interval."""
    if record.num_queries == 0:
        return "No query counts here: the metric needs labels that none of them has."
    if record.value is None:
        return "Undefined for these labels."
    if record.low is not None:
        return ""
    first = record.definition.partition(". ")[0]
    if first.endswith("so there is no interval"):
        return f"{first}."
    if record.num_queries < 10:
        return "No interval: too few queries."
    return "No interval: this figure has none, or what counts in it comes from too few queries."
