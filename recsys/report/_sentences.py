"""Three to five sentences that a product manager can repeat, never stronger than their intervals."""

import numpy as np

from recsys.metric.reliability import Bins
from recsys.report import _text
from recsys.report._chart import Chart, Finding, ReliabilityDiagram
from recsys.report._evaluation import Evaluation, Record

LEAST_QUERIES = 20  # with labels, before anything is said of probabilities
Sentence = tuple[str, str]  # the verdict, and what it rests on
Found = dict[tuple[str, str, str, str], Record]  # (report, target, metric, slice) on the main split


def sentences(evaluation: Evaluation, records: list[Record], charts: list[Chart]) -> list[Sentence]:
    """What the page says first. Ranking, tail and detectable difference are those of the first target."""
    found = {(r.report, r.target, r.metric, r.slice): r for r in records if r.split in (evaluation.split, "all")}
    diagrams = [c for c in charts if isinstance(c, ReliabilityDiagram) and c.column == "probability"]
    made = _cascade(evaluation) + _believable(diagrams)
    for target in list(evaluation.targets)[:1]:
        main = next((r.metric for r in records if r.target == target and r.metric.startswith("ndcg@")), "")
        candidates = (
            (_apart(found, target, main), _catalogue(evaluation, found, target, main))
            if _nothing_to_order(found, target, main)
            else (
                _ranking(found, target, main),
                _catalogue(evaluation, found, target, main),
                _tail(found, target, main),
                _smallest(evaluation, found, target, main),
            )
        )
        made += [s for s in candidates if s]
    return made + [(c.lead, c.rest) for c in charts if isinstance(c, Finding)]


def _cascade(evaluation: Evaluation) -> list[Sentence]:
    """Which of two models stands behind which figure."""
    if evaluation.first is None:
        return []
    first, second = (name.replace("_", " ") for name in (evaluation.first.model, evaluation.model))
    return [
        (
            f"A cascade of {first} and {second}:",
            f"{first} ranked every item, and the first {_text.count(evaluation.first.top)} of each query stand in the "
            f"order of {second}. Probabilities, and figures among labelled items, are those of {second} alone.",
        )
    ]


def _believable(diagrams: list[ReliabilityDiagram]) -> list[Sentence]:
    """One sentence for the targets whose bins agree with the diagonal, one for each that does not."""
    good, made = [], []
    for diagram in diagrams:
        name = diagram.target.capitalize()
        verdict, row = _verdict(diagram.bins)
        if verdict == "agree":
            good.append((diagram.target, _example(diagram, row)))
        elif verdict == "off":
            high = diagram.bins.predicted_B[row] > diagram.bins.observed_B[row]
            words = f"{name} probabilities are too {'high' if high else 'low'} in places"
            made.append((f"{words}:", f"{_example(diagram, row)}."))
        else:
            made.append((f"{name} probabilities cannot be judged yet:", _too_few(diagram)))
    if good:
        about = "" if len(diagrams) == 1 else f" for {_join([target for target, _ in good])}"
        made.insert(0, (f"Probabilities are believable{about}:", "; ".join(example for _, example in good) + "."))
    return made


def _verdict(bins: Bins) -> tuple[str, int]:
    """'off' if the bands of more than a tenth of the observations exclude what was stated; 'agree' if not and the band
    of the bin that is quoted is narrow enough to say so; else 'unknown', as with few queries, whatever their labels.
    And the bin to quote."""
    if bins.num_queries < LEAST_QUERIES:
        return "unknown", -1
    inside_B = (bins.low_B <= bins.predicted_B) & (bins.predicted_B <= bins.high_B)
    share = float(bins.weight_B[inside_B].sum() / bins.weight_B.sum())
    if share < 0.9:
        distance_B = np.where(inside_B, 0.0, np.abs(bins.predicted_B - bins.observed_B) * bins.weight_B)
        return "off", int(np.argmax(distance_B))
    worth_B = bins.weight_B * bins.predicted_B * (1 - bins.predicted_B)
    row = int(np.argmax(np.where(inside_B, worth_B, -1.0)))
    narrow = bins.high_B[row] - bins.low_B[row] <= max(0.2, bins.predicted_B[row])
    return ("agree" if narrow else "unknown"), row


def _too_few(diagram: ReliabilityDiagram) -> str:
    num = diagram.bins.num_queries
    if num < LEAST_QUERIES:
        return f"{num} labelled {'query' if num == 1 else 'queries'}, and labels of one query may be alike."
    return "too few labels for useful intervals."


def _example(diagram: ReliabilityDiagram, row: int) -> str:
    bins, said = diagram.bins, _text.percent(diagram.bins.predicted_B[row])
    seen = f"{_text.percent(bins.observed_B[row])} {_text.percent_bracket(bins.low_B[row], bins.high_B[row])}"
    return f"when it says {said}, {seen} {_text.NOUNS.get(diagram.target, ('', 'are positive'))[1]}"


def _nothing_to_order(found: Found, target: str, main: str) -> bool:
    """Nearly every query has one labelled item, or items that all gain the same: any order is as good as any other."""
    random = found.get(("balanced", target, f"random {main}", "overall"))
    return random is not None and random.value is not None and random.value > 0.99


def _apart(found: Found, target: str, main: str) -> Sentence:
    random, auc = (found[("balanced", target, name, "overall")] for name in (f"random {main}", "auc"))
    score = _text.number(random.value, 3)
    lead = "There are hardly any labelled items to put in order:"
    about = f"a random order scores {score} {_text.metric(main)}."
    if auc.value is None or auc.low is None or auc.high is None:
        return lead, about
    noun = _text.NOUNS.get(target, ("positive", ""))[0]
    return (
        lead,
        f"{about} Across queries, a pair that is {noun} scores above one that is not in {_text.percent(auc.value)} "
        f"{_text.percent_bracket(auc.low, auc.high)} of cases; 50\u00a0% would be chance.",
    )


def _ranking(found: Found, target: str, main: str) -> Sentence | None:
    value, random, lift = (
        found.get(("balanced", target, f"{prefix}{main}", "overall")) for prefix in ("", "random ", "lift ")
    )
    if not (value and random and lift and value.value is not None and random.value is not None):
        return None
    name = _text.metric(main)
    about = (
        f"{name} {_of(value)} over the labelled items of {_text.count(value.num_queries)} queries, where a random "
        f"order scores {_text.number(random.value, 2)}."
    )
    if lift.low is None or lift.high is None:
        return "How well it ranks cannot be said yet:", about
    if lift.low > 0:
        return "It ranks better than chance:", about
    if lift.high < 0:
        return "It ranks worse than chance:", about
    return "Its order cannot be told from chance:", about


def _catalogue(evaluation: Evaluation, found: Found, target: str, main: str) -> Sentence | None:
    recall = found.get(("balanced", target, f"{main.replace('ndcg', 'recall')} catalogue", "overall"))
    if recall is None or recall.value is None or recall.low is None or recall.high is None:
        return None
    k = main.partition("@")[2]
    noun = _text.NOUNS.get(target, ("positive", ""))[0]
    return (
        f"Out of all {_text.count(evaluation.num_items)} items,",
        f"the first {k} hold {_text.percent(recall.value)} {_text.percent_bracket(recall.low, recall.high)} of those "
        f"known to be {noun}; unjudged items count as not {noun}.",
    )


def _tail(found: Found, target: str, main: str) -> Sentence | None:
    gap = found.get(("balanced", target, f"difference {main}", "frequency=tail vs head"))
    if gap is None or gap.value is None or gap.low is None or gap.high is None:
        return None
    size = f"{_text.number(abs(gap.value), 2)} {_text.metric(main)}"
    if gap.low <= 0 <= gap.high:
        return (
            "Head and tail queries cannot be told apart:",
            f"tail less head is {_of(gap)} {_text.metric(main)}.",
        )
    least, most = sorted((abs(gap.low), abs(gap.high)))
    word = "worse" if gap.value < 0 else "better"
    random = found.get(("balanced", target, f"difference random {main}", "frequency=tail vs head"))
    caveat = ""
    if random and random.value is not None and random.value / gap.value > 0.5:
        caveat = f"; a random order would differ by {_text.number(abs(random.value), 2)} in the same direction"
    return (f"Tail queries rank {word} than head queries", f"by {size} {_text.bracket(least, most, 2)}{caveat}.")


def _smallest(evaluation: Evaluation, found: Found, target: str, main: str) -> Sentence | None:
    smallest = found.get(("balanced", target, f"detectable difference {main}", "overall"))
    if smallest is None:
        return None
    split = "" if evaluation.split == "all" else f" {evaluation.split}"
    usable = f"{_text.count(smallest.num_queries)} usable{split} {'query' if smallest.num_queries == 1 else 'queries'}:"
    if smallest.value is None:
        return usable, "too few to say how well anything ranks."
    digits = next((d for d in (2, 3, 4) if smallest.value >= 0.5 * 10**-d), 5)
    size = f"{_text.number(smallest.value, digits)} {_text.metric(main)}"
    return usable, f"differences under about {size} cannot be seen."


def _of(record: Record) -> str:
    return f"{_text.number(record.value, 2)} {_text.bracket(record.low, record.high, 2)}".strip()


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
