import itertools
import re
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    matthews_corrcoef,
    ndcg_score,
    roc_auc_score,
)

from recsys.report import Balanced, Evaluation, Record
from recsys.report._chart import ExposureCurve, Remark, SliceGroup
from recsys.report._slicing import OF_COLUMN, OF_LABELS, _by_value
from tests.report.synthetic import evaluation

CONF = Path(__file__).parents[2] / "conf" / "report"


def balanced(**changed) -> Balanced:
    values = {
        "k": 5,
        "num_replicates": 40,
        "min_queries": 5,
        "min_size": 1,
        "slices": [],
        "crosses": [],
        "max_values": 6,
    }
    return Balanced(**(values | changed))


@pytest.fixture(scope="module")
def shop() -> Evaluation:
    return evaluation(num_queries=60, judged=10)


@pytest.fixture(scope="module")
def found(shop) -> dict[tuple[str, str, str], Record]:
    return by_name(balanced().records(shop))


def by_name(records: list[Record]) -> dict[tuple[str, str, str], Record]:
    named = {(r.split, r.metric, r.slice): r for r in records}
    assert len(named) == len(records)  # one target: nothing is said twice
    return named


def labels(shop: Evaluation, split: str) -> list[dict]:
    return shop.calibrated.filter(pc.equal(shop.calibrated["split"], split)).to_pylist()


def mean_ndcg(rows: list[dict], k: int) -> float:
    values = []
    for query_id in sorted({r["query_id"] for r in rows}):
        own = [r for r in rows if r["query_id"] == query_id]
        gain = np.array([[2 ** r["label"] - 1 for r in own]])
        if gain.sum() > 0:
            score = np.array([[r["score"] for r in own]])
            values.append(ndcg_score(gain, score, k=k) if len(own) > 1 else 1.0)
    return float(np.mean(values))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_overall_figures_agree_with_scikit_learn(shop, found, split):
    rows = labels(shop, split)
    positive = [r["label"] >= 2 for r in rows]
    probability = [r["probability"] for r in rows]
    assert found[split, "auc", "overall"].value == pytest.approx(roc_auc_score(positive, [r["score"] for r in rows]))
    assert found[split, "log_loss", "overall"].value == pytest.approx(log_loss(positive, probability))
    assert found[split, "brier", "overall"].value == pytest.approx(brier_score_loss(positive, probability))
    assert found[split, "ndcg@5", "overall"].value == pytest.approx(mean_ndcg(rows, 5))
    assert found[split, "positive_rate", "overall"].value == pytest.approx(np.mean(positive))
    assert found[split, "auc", "overall"].num_pairs == len(rows)


def test_the_recommended_threshold_is_that_of_the_test_queries_for_every_split(shop, found):
    rows = labels(shop, "test")
    truth, said = [r["label"] >= 2 for r in rows], np.array([r["probability"] for r in rows])
    hits = np.array(truth)[None] & (said[None] >= said[:, None])  # one row per threshold
    best = (2 * hits.sum(axis=1) / (np.sum(truth) + (said[None] >= said[:, None]).sum(axis=1))).max()
    cut = found["test", "threshold", "overall"].value
    assert found["test", "f1", "overall"].value == pytest.approx(best)
    assert best == pytest.approx(f1_score(truth, said >= cut))
    assert (found["test", "threshold", "overall"].low, found["test", "threshold", "overall"].high) == (None, None)
    rows = labels(shop, "train")
    truth, said = [r["label"] >= 2 for r in rows], np.array([r["probability"] for r in rows]) >= cut
    assert found["train", "f1", "overall"].value == pytest.approx(f1_score(truth, said))
    assert found["train", "mcc", "overall"].value == pytest.approx(matthews_corrcoef(truth, said))
    about = found["train", "f1", "overall"].definition
    assert f"{cut:.4g}" in about
    assert "judged by the labels it was chosen on, and looks better than it is" in about


def test_grades_are_classes(shop, found):
    of_grades = [found["test", "grade_recall", f"grade={g}"].value for g in range(4)]
    assert found["test", "macro_recall", "overall"].value == pytest.approx(np.mean(of_grades))
    assert found["test", "macro_f1", "category=Sofa"].value is not None
    assert found["test", "macro macro_f1", "category=*"].value is not None
    assert np.mean(of_grades) > 0.25  # of four grades said at random


def test_further_measures_agree_with_scikit_learn_and_have_no_lift(shop, found):
    rows = labels(shop, "test")
    truth, score = [r["label"] >= 2 for r in rows], [r["score"] for r in rows]
    record = found["test", "average_precision", "overall"]
    assert record.value == pytest.approx(average_precision_score(truth, score))
    assert record.low < record.value < record.high
    for name in ("average_precision", "ks"):  # all scores tied are not a random order of rows that count one by one
        assert ("test", f"random {name}", "overall") not in found
        assert ("test", f"lift {name}", "overall") not in found
    assert ("test", "random map", "overall") in found
    assert {"map", "precision@5", "hit_rate@5", "map catalogue"} <= {m for _, m, w in found if w == "overall"}


def test_slices_agree_with_the_same_rows_alone(shop, found):
    category = dict(zip(shop.items["item_id"].to_pylist(), shop.items["category"].to_pylist(), strict=True))
    locale = dict(zip(shop.queries["query_id"].to_pylist(), shop.queries["locale"].to_pylist(), strict=True))
    rows = labels(shop, "test")
    sofas = [r for r in rows if category[r["item_id"]] == "Sofa"]
    german = [r for r in rows if locale[r["query_id"]] == "de"]
    for where, own in (("category=Sofa", sofas), ("query_locale=de", german)):
        record = found["test", "auc", where]
        assert record.value == pytest.approx(roc_auc_score([r["label"] >= 2 for r in own], [r["score"] for r in own]))
        assert found["test", "ndcg@5", where].value == pytest.approx(mean_ndcg(own, 5))
        assert record.num_pairs == len(own)
        asked = [{r["query_id"] for r in own if (r["label"] >= 2) == positive} for positive in (True, False)]
        assert record.num_queries == min(map(len, asked))  # of the rarer class


def test_label_slices_have_losses_and_no_ranking(shop, found):
    zeros = [r["probability"] for r in labels(shop, "test") if r["label"] == 0]
    assert found["test", "log_loss", "label=0"].value == pytest.approx(-np.mean(np.log1p(-np.array(zeros))))
    assert ("test", "auc", "label=0") not in found


def test_random_order_is_what_shuffling_gives(shop, found):
    rng = np.random.default_rng(3)
    rows = labels(shop, "test")
    shuffled = [
        mean_ndcg([r | {"score": s} for r, s in zip(rows, rng.random(len(rows)), strict=True)], 5) for _ in range(16)
    ]
    error = np.std(shuffled) / np.sqrt(len(shuffled))
    assert found["test", "random ndcg@5", "overall"].value == pytest.approx(np.mean(shuffled), abs=4 * error)
    lift = found["test", "lift ndcg@5", "overall"]
    assert lift.value == pytest.approx(
        found["test", "ndcg@5", "overall"].value - found["test", "random ndcg@5", "overall"].value
    )
    assert lift.low > 0  # scores are the true logits


def test_catalogue_recall_counts_positives_in_the_first_places(shop, found):
    first = {(r["query_id"], r["item_id"]) for r in shop.top.to_pylist() if r["rank"] <= 5}
    shares = []
    for query_id in sorted({r["query_id"] for r in labels(shop, "test")}):
        own = [r for r in labels(shop, "test") if r["query_id"] == query_id and r["label"] >= 2]
        if own:
            shares.append(np.mean([(query_id, r["item_id"]) in first for r in own]))
    record = found["test", "recall@5 catalogue", "overall"]
    assert record.value == pytest.approx(np.mean(shares))
    assert record.num_queries == len(shares)


def test_slices_together(found):
    slices = [found["test", "auc", f"category={c}"].value for c in ("Drill", "Lamp", "Rug", "Sofa")]
    assert found["test", "macro auc", "category=*"].value == pytest.approx(np.mean(slices))
    assert found["test", "worst auc", "category=*"].value == pytest.approx(min(slices))
    assert found["test", "gap auc", "category=*"].value == pytest.approx(max(slices) - min(slices))
    losses = [found["test", "log_loss", f"category={c}"].value for c in ("Drill", "Lamp", "Rug", "Sofa")]
    worst = found["test", "worst log_loss", "category=*"]
    assert worst.value == pytest.approx(max(losses))  # a loss is worst where it is highest
    assert worst.low < worst.value < worst.high


def test_small_slices_stay_out_of_the_worst(shop):
    made = by_name(balanced(min_queries=15).records(shop))
    assert made["test", "auc", "frequency=head"].num_queries < 15
    assert "frequency=*" not in {r.slice for r in made.values() if r.metric == "worst auc"}  # only tail is left


def test_tail_and_head_are_compared_under_the_same_weights(found):
    gap = found["test", "difference ndcg@5", "frequency=tail vs head"]
    tail, head = (found["test", "ndcg@5", f"frequency={part}"] for part in ("tail", "head"))
    assert gap.value == pytest.approx(tail.value - head.value)
    assert gap.low < gap.value < gap.high
    assert gap.num_queries == min(tail.num_queries, head.num_queries)


def test_what_lists_show_is_counted(shop, found):
    top = [r for r in shop.top.to_pylist() if r["rank"] <= 5]
    category = dict(zip(shop.items["item_id"].to_pylist(), shop.items["category"].to_pylist(), strict=True))
    seen = dict.fromkeys(category, 0.0)
    for r in shop.calibrated.to_pylist():
        seen[r["item_id"]] += r["weight"]
    diverse, popular = [], []
    for query_id in sorted({r["query_id"] for r in top}):
        shown = [r["item_id"] for r in top if r["query_id"] == query_id]
        pairs = list(itertools.combinations([category[i] for i in shown], 2))
        diverse.append(sum(a != b for a, b in pairs) / len(pairs))
        popular.append(np.mean([seen[i] for i in shown]))
    assert found["all", "diversity@5", "overall"].value == pytest.approx(np.mean(diverse))
    bias = found["all", "popularity_bias@5", "overall"]
    assert bias.value == pytest.approx(np.mean(popular) / np.mean(list(seen.values())))
    assert bias.low < bias.value < bias.high
    assert found["all", "novelty@5", "overall"].value > 0
    assert 0 < found["all", "entropy@5", "overall"].value < 1


def test_exposure_is_counted(shop, found):
    shown = [r["item_id"] for r in shop.top.to_pylist() if r["rank"] <= 5]
    assert found["all", "coverage@5", "overall"].value == pytest.approx(len(set(shown)) / shop.items.num_rows)
    parts = [r for (_, metric, _), r in found.items() if metric == "exposure@5"]
    sizes = [r for (_, metric, _), r in found.items() if metric == "catalogue share"]
    assert sum(r.value for r in parts) == pytest.approx(1)
    assert sum(r.value for r in sizes) == pytest.approx(1)
    curve = next(c for c in balanced().charts(shop) if isinstance(c, ExposureCurve))
    assert (curve.items[0], curve.places[0], curve.items[-1], curve.places[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(curve.places) >= 0)
    assert np.all(np.array(curve.places) >= np.array(curve.items) - 1e-12)


def test_the_order_of_rows_is_irrelevant(shop, found):
    rng = np.random.default_rng(1)

    def shuffle(table: pa.Table) -> pa.Table:
        return table.take(rng.permutation(table.num_rows))

    other = replace(
        shop,
        queries=shuffle(shop.queries),
        items=shuffle(shop.items),
        calibrated=shuffle(shop.calibrated),
        ranks=shuffle(shop.ranks),
        top=shuffle(shop.top),
    )
    assert by_name(balanced().records(other)) == found


def test_unlearned_models_are_judged_on_all_queries():
    records = balanced().records(evaluation(num_queries=20, learned=False))
    assert {r.split for r in records} == {"all"}


def test_without_ranks_there_are_no_figures_of_the_catalogue():
    shop = evaluation(num_queries=20, full=False)
    assert not [r for r in balanced().records(shop) if "catalogue" in r.metric or "coverage" in r.metric]
    assert any("no ranks" in c.text for c in balanced().charts(shop) if isinstance(c, Remark))


def test_missing_ranks_are_an_error(shop):
    with pytest.raises(ValueError, match=r"ranks lack 1 of 360 labelled pairs.*first: query 'q0000'"):
        balanced().records(replace(shop, ranks=shop.ranks.slice(1)))


def test_reasons_for_missing_slicings():
    shop = evaluation(num_queries=20)
    nothing = pa.nulls(20, pa.float64())
    queries = shop.queries.set_column(shop.queries.column_names.index("frequency"), "frequency", nothing)
    texts = [c.text for c in balanced().charts(replace(shop, queries=queries)) if isinstance(c, Remark)]
    assert "Not cut by frequency: no query says how often it was asked." in texts
    assert "Not cut by kind: all rows have the same value." in texts


def test_rare_values_become_other_and_further_columns_are_found(shop):
    colour = pa.array([("red", "blue")[i % 2] for i in range(shop.items.num_rows)])
    grams = pa.array(np.arange(shop.items.num_rows))
    wide = replace(shop, items=shop.items.append_column("colour", colour).append_column("grams", grams))
    groups = {c.column: c for c in balanced().charts(wide) if isinstance(c, SliceGroup)}
    assert groups["colour"].values == ("blue", "red")
    assert len(groups["brand"].values) == 6
    assert groups["brand"].values[-1] == "other"
    assert "grams" not in groups
    named = {c.column: c for c in balanced(slices=["grams"]).charts(wide) if isinstance(c, SliceGroup)}
    assert named["grams"].values == ("up to 99", "99 to 199", "above 199")
    with pytest.raises(ValueError, match=r"report\.balanced\.slices names 'weight_g', which no table has"):
        balanced(slices=["weight_g"]).records(wide)


def test_slices_of_a_column_hold_every_row_once(shop, found):
    whole = found["test", "auc", "overall"].num_pairs
    for column in ("frequency", "popularity", "category", "brand", "price", "query_locale"):
        parts = [r for (_, m, s), r in found.items() if m == "auc" and re.fullmatch(f"{column}=[^*]+", s)]
        assert sum(r.num_pairs for r in parts) == whole, column


@pytest.mark.parametrize(
    ("field", "value"), [("k", 0), ("num_replicates", 5), ("min_queries", 1), ("max_values", 1), ("max_values", 51)]
)
def test_wrong_values_are_named(field, value):
    with pytest.raises(ValueError, match=rf"report\.balanced\.{field}={value} "):
        balanced(**{field: value})


def test_yaml_gives_every_field_a_value():
    given = re.findall(r"^(\w+): \S+ +# \S", (CONF / "balanced.yaml").read_text(), re.MULTILINE)
    assert given == [f.name for f in fields(Balanced)]


def test_slices_that_differ_from_the_rest_are_found(shop):
    """In one locale the scores are turned round: that one differs, and of all others few are called different."""
    test = shop.queries.filter(pc.equal(shop.queries["split"], "test"))
    turned = set(test.filter(pc.equal(test["locale"], "de"))["query_id"].to_pylist())
    score = [-r["score"] if r["query_id"] in turned else r["score"] for r in shop.calibrated.to_pylist()]
    place = shop.calibrated.column_names.index("score")
    calibrated = shop.calibrated.set_column(place, "score", pa.array(score, pa.float32()))
    scene = replace(shop, calibrated=calibrated, ranks=shop.ranks.slice(0, 0))
    found = by_name(balanced(num_replicates=200).records(scene))
    apart = found["test", "difference ndcg@5", "query_locale=de"]
    rows = labels(scene, "test")
    own, rest = ([r for r in rows if (r["query_id"] in turned) is inside] for inside in (True, False))
    assert apart.value == pytest.approx(mean_ndcg(own, 5) - mean_ndcg(rest, 5), abs=1e-12)
    assert (apart.high or 0) < 0
    p = {s: r.value for (_, m, s), r in found.items() if m == "adjusted p ndcg@5" and r.value is not None}
    assert p["query_locale=de"] < 0.01
    assert p["query_locale=de"] == p["query_locale=us"]  # one is the other's rest
    assert sum(value < 0.05 for s, value in p.items() if not s.startswith("query_locale")) <= 1


def test_two_cuts_are_crossed(shop):
    found = by_name(balanced(crosses=[["frequency", "query_locale"]]).records(shop))
    crossed = [key[2] for key in found if key[1] == "ndcg@5" and key[2].startswith("frequency × query_locale=")]
    plain = [found["test", "ndcg@5", f"query_locale={where}"].num_queries for where in ("us", "de")]
    assert "frequency × query_locale=head × us" in crossed
    assert sum(found["test", "ndcg@5", where].num_queries for where in crossed) == sum(plain)
    with pytest.raises(ValueError, match="cannot cross frequency and colour: no cut by colour"):
        balanced(crosses=[["frequency", "colour"]]).records(shop)


def test_small_slices_are_together_or_left_out(shop):
    every, large = (by_name(balanced(min_size=size).records(shop)) for size in (1, 25))
    small = {k[2] for k in every if k[1] == "gauc" and k[2].startswith("brand=") and 0 < every[k].num_queries < 25}
    shown = {k[2]: r for k, r in large.items() if k[1] == "log_loss" and k[2].startswith("brand=")}
    assert small
    assert all(r.num_queries >= 25 for r in shown.values())
    assert any(k[2].startswith("frequency=head") for k in large)
    rows = {k[2]: r.num_pairs for k, r in every.items() if k[1] == "log_loss" and k[2].startswith("brand=")}
    assert sum(r.num_pairs for r in shown.values()) == sum(rows.values())


def test_it_says_where_popularity_comes_from(shop, found):
    about = found["test", "ndcg@5", "popularity=head"].definition
    for words in (about, found["all", "popularity_bias@5", "overall"].definition):
        assert OF_LABELS in words
    assert OF_LABELS in [c.text for c in balanced().charts(shop) if isinstance(c, Remark)]
    number = pa.array(range(len(shop.items)), pa.float64())
    given = replace(shop, items=shop.items.append_column("popularity", number))
    known = by_name(balanced().records(given))
    assert OF_COLUMN in known["test", "ndcg@5", "popularity=head"].definition
    assert OF_COLUMN in known["all", "exposure@5", "popularity=head"].definition
    assert OF_LABELS not in [c.text for c in balanced().charts(given) if isinstance(c, Remark)]


def test_the_top_share_says_how_many_items_it_is_of(shop, found):
    num = len(shop.items)
    about = found["all", "top 1 % exposure@5", "overall"].definition
    assert f"here {max(1, round(num / 100))} of {num}, which is " in about


def test_popularity_below_zero_names_the_items(shop):
    names = shop.items["item_id"].to_pylist()
    given = pa.array([-1.0 if n in (2, 5) else float("nan") if n == 3 else n for n in range(len(names))])
    items = shop.items.append_column("popularity", given)
    about = rf"popularity -1 is below 0, as that of 2 of {len(names)} items is \(first: '{names[2]}', '{names[5]}'\)"
    with pytest.raises(ValueError, match=about):
        balanced().records(replace(shop, items=items))
    queries = shop.queries.set_column(
        shop.queries.column_names.index("frequency"), "frequency", pa.array([-2.0] * len(shop.queries))
    )
    with pytest.raises(ValueError, match="frequency -2 is below 0, as that of"):
        balanced().records(replace(shop, queries=queries))


def test_a_long_text_is_held_once():
    brands = pa.chunked_array([["b" * 5_000, "short", None]])
    index_N = np.arange(100_000) % 4 - 1  # -1: an item that is not there
    tracemalloc.start()
    values, value_N = _by_value(brands, index_N, np.zeros(100_000, int), 12)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert values == ["(none)", "b" * 5_000, "short"]
    assert value_N[:8].tolist() == [0, 1, 2, 0] * 2
    assert peak < 20e6  # 100,000 rows of 5,000 characters would be 2 GB
