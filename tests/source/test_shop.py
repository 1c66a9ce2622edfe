"""The shop as a source: contract, determinism, and data that agree with the truth it tells."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import chi2, rankdata

from recsys.source.shop import Shop
from recsys.tables import RAW
from tests.source._small_shop import DAMAGE, small_shop, whole

TABLES = ("items", "queries", "judgments", "impressions")


@pytest.fixture(scope="module")
def intact() -> Shop:
    return small_shop(num_search_queries=150, num_users=50, num_judged_queries=200, num_sessions=2500)


@pytest.fixture(scope="module")
def rows(intact) -> dict[str, pa.Table]:
    return {table: whole(intact, table) for table in TABLES}


@pytest.fixture(scope="module")
def probabilities(intact) -> pa.Table:
    return intact.truth()["probabilities"]


def test_same_configuration_same_rows_other_seed_other_rows():
    for table in TABLES:
        first = whole(small_shop(corruption=DAMAGE), table)
        again = pa.concat_tables(small_shop(corruption=DAMAGE).read(table))
        assert _bytes(first) == _bytes(again)
        assert _bytes(first) != _bytes(whole(small_shop(corruption=DAMAGE, seed=4), table))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("locales", [("us",), ("us", "de", "fr")])
def test_rows_do_not_depend_on_shards(table, locales):
    """The same rows, whatever the shards; only the place of exact copies moves."""
    one = whole(small_shop(corruption=DAMAGE, locales=locales), table)
    many = list(small_shop(corruption=DAMAGE, locales=locales, rows_per_shard=137).read(table))
    assert len(many) > 1 or table == "queries"
    assert sorted(map(repr, one.to_pylist())) == sorted(map(repr, pa.concat_tables(many).to_pylist()))


def test_truth_does_not_depend_on_shards():
    one, many = (small_shop(corruption=DAMAGE, rows_per_shard=rows).truth() for rows in (10**6, 91))
    for name in ("probabilities", "corruptions"):
        assert sorted(map(repr, one[name].to_pylist())) == sorted(map(repr, many[name].to_pylist()))


@pytest.mark.parametrize("table", TABLES)
def test_contract(table):
    shop = small_shop(corruption=DAMAGE)
    for shard in shop.read(table):
        assert shard.schema.names[: len(RAW[table].names)] == RAW[table].names
        assert RAW[table].conform(shard).schema == shard.schema
        if RAW[table].key:
            RAW[table].check_key(shard.group_by(shard.column_names).aggregate([]))
    clean = whole(small_shop(), table)
    assert RAW[table].bad_values(clean) == {}
    assert clean.num_rows == {"items": 1200, "queries": 80, "judgments": 50 * 20, "impressions": 300 * 5}[table]


def test_tables_follow_the_sizes():
    assert small_shop(num_judged_queries=0, num_sessions=0).tables() == ("items", "queries")
    with pytest.raises(ValueError, match="no table 'impressions'"):
        list(small_shop(num_sessions=0).read("impressions"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_items": 10}, "num_items=10 leaves 10 items per market"),
        ({"num_judged_queries": 500}, "num_judged_queries=500 exceeds the 80"),
        ({"judge_noise": -1.0}, "judge_noise=-1.0"),
        ({"judge_noise": float("nan")}, "judge_noise=nan"),
        ({"locales": ("us", "us")}, "each once"),
        ({"exploration": 1.5}, r"exploration=1.5 must lie in \[0, 1\]"),
        ({"num_search_queries": 0, "num_users": 0, "num_judged_queries": 0}, "nobody asks"),
        ({"corruption": {**DAMAGE, "typo": 0.1}}, "must name exactly"),
        ({"corruption": {**DAMAGE, "markup": 0.7}}, "corruption.markup=0.7"),
    ],
)
def test_impossible_configurations_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        small_shop(**change)


def test_probabilities_cover_exactly_the_judged_and_logged_pairs(rows, probabilities):
    for target, table in (
        ("relevance", "judgments"),
        ("click", "impressions"),
        ("purchase_given_click", "impressions"),
    ):
        told = probabilities.filter(pc.equal(probabilities["target"], target))
        seen = rows[table]
        assert sorted(_pairs(told)) == sorted(set(_pairs(seen)))
    value = probabilities["probability"].to_numpy()
    assert value.min() >= 0
    assert value.max() <= 1


def test_judged_grades_follow_the_true_grade_distribution(intact, rows):
    """Pearson's chi-square per band of true P(grade >= 2), at the 1e-4 level; the seed is fixed."""
    judged = rows["judgments"]
    query_ids, item_ids = judged["query_id"].to_pylist(), judged["item_id"].to_pylist()
    probability_PG = intact.true_grade_probability(query_ids, item_ids)
    np.testing.assert_allclose(probability_PG.sum(axis=1), 1, atol=1e-12)
    grade_P = judged["label"].to_numpy().astype(int)
    true_P = intact.true_probability(query_ids, item_ids, "relevance")
    np.testing.assert_allclose(true_P, probability_PG[:, 2] + probability_PG[:, 3])
    _assert_calibrated(grade_P >= 2, true_P)
    expected_G = probability_PG.sum(axis=0)
    deviation_G = np.abs(np.bincount(grade_P, minlength=4) - expected_G)
    assert np.all(deviation_G < 4 * np.sqrt((probability_PG * (1 - probability_PG)).sum(axis=0)))


def test_click_and_purchase_rates_match_their_true_probabilities(intact, rows):
    shown = rows["impressions"]
    query_ids, item_ids = shown["query_id"].to_pylist(), shown["item_id"].to_pylist()
    position = shown["position"].to_numpy()
    click, purchase = shown["click"].to_numpy(), shown["purchase"].to_numpy()
    p_click = intact.true_probability(query_ids, item_ids, "click", position=position)
    _assert_calibrated(click, p_click)
    for k in range(1, 6):
        _assert_calibrated(click[position == k], p_click[position == k], num_bins=3)
    p_purchase = intact.true_probability(query_ids, item_ids, "purchase", position=position)
    _assert_calibrated(purchase, p_purchase, num_bins=5)
    given_click = intact.true_probability(query_ids, item_ids, "purchase_given_click")
    np.testing.assert_allclose(p_purchase, p_click * given_click)
    _assert_calibrated(purchase[click == 1], given_click[click == 1], num_bins=5)
    assert not np.any((purchase == 1) & (click == 0))


def test_logged_truth_is_the_mean_over_logged_positions(intact, rows, probabilities):
    shown = rows["impressions"]
    per_pair: dict[tuple[str, str], list[float]] = {}
    values = intact.true_probability(
        shown["query_id"].to_pylist(), shown["item_id"].to_pylist(), "click", position=shown["position"].to_numpy()
    )
    for pair, value in zip(_pairs(shown), values, strict=True):
        per_pair.setdefault(pair, []).append(value)
    told = probabilities.filter(pc.equal(probabilities["target"], "click"))
    expected = [np.mean(per_pair[pair]) for pair in _pairs(told)]
    np.testing.assert_allclose(told["probability"].to_numpy(), expected, rtol=1e-12)


def test_position_bias_is_a_power_of_the_position(intact):
    top, third = (intact.true_probability(["q00000004"], ["i00000007"], "click", position=k)[0] for k in (1, 3))
    assert third / top == pytest.approx(3**-0.7)
    flat = small_shop(position_bias=0.0)
    assert flat.true_probability(["q00000004"], ["i00000007"], "click", position=9) == pytest.approx(
        flat.true_probability(["q00000004"], ["i00000007"], "click")
    )


def test_infallible_judges_always_agree_with_the_truth():
    shop = small_shop(judge_noise=0.0)
    judged = whole(shop, "judgments")
    probability_PG = shop.true_grade_probability(judged["query_id"].to_pylist(), judged["item_id"].to_pylist())
    assert set(np.unique(probability_PG)) == {0.0, 1.0}
    assert np.array_equal(probability_PG.argmax(axis=1), judged["label"].to_numpy())


def test_unknown_target_is_named():
    with pytest.raises(ValueError, match="target='dwell'"):
        small_shop().true_probability(["q00000000"], ["i00000000"], "dwell")


def test_words_shared_with_the_query_go_with_relevance_but_do_not_settle_it(intact, rows):
    """Overlap of words ranks well above chance and well below the truth, for searches and for users."""
    text = {r["item_id"]: set(_words(r["text"])) for r in rows["items"].select(["item_id", "text"]).to_pylist()}
    asked = {r["query_id"]: _words(r["text"]) for r in rows["queries"].to_pylist()}
    judged = rows["judgments"].to_pylist()
    for letter in "qu":
        mine = [r for r in judged if r["query_id"][0] == letter]
        overlap = [float(np.mean([w in text[r["item_id"]] for w in asked[r["query_id"]]])) for r in mine]
        truth = intact.true_probability([r["query_id"] for r in mine], [r["item_id"] for r in mine], "relevance")
        grade = [r["label"] for r in mine]
        by_overlap, by_truth = _rank_correlation(overlap, grade), _rank_correlation(truth, grade)
        assert 0.2 < by_overlap < by_truth - 0.1
        assert by_truth > 0.65


def test_judgments_hold_every_grade_and_mixed_queries(rows):
    judged = rows["judgments"]
    share = np.bincount(judged["label"].to_numpy().astype(int), minlength=4) / judged.num_rows
    assert share.min() > 0.1
    positive = pc.cast(pc.greater_equal(judged["label"], 2), pa.float64())
    rate = judged.append_column("positive", positive).group_by("query_id").aggregate([("positive", "mean")])
    mixed = np.mean([0 < value < 1 for value in rate["positive_mean"].to_pylist()])
    assert mixed > 0.9
    assert len(set(_pairs(judged))) == judged.num_rows


def test_judged_queries_are_spread_evenly_over_searches_and_users():
    shop = small_shop(num_search_queries=90, num_users=30, num_judged_queries=20)
    judged = sorted({int(q[1:]) for q in whole(shop, "judgments")["query_id"].to_pylist()})
    assert [q * 20 // 120 for q in judged] == list(range(20))
    assert len({q % 6 for q in judged}) > 1


def test_frequency_is_zipf_and_the_log_follows_it(rows):
    queries = rows["queries"]
    search = queries.filter(pc.equal(queries["kind"], "search"))["frequency"].to_numpy()
    assert np.all(np.diff(search) <= 0)
    slope = np.polyfit(np.log(np.arange(1, 101)), np.log(search[:100]), 1)[0]
    assert slope == pytest.approx(-0.8, abs=0.02)
    total = queries["frequency"].to_numpy().sum()
    sessions = rows["impressions"].num_rows / 5
    shown = pc.value_counts(rows["impressions"]["query_id"]).to_pylist()
    asked = {row["values"]: row["counts"] / 5 for row in shown}
    for query_id, frequency in zip(queries["query_id"].to_pylist()[:8], search[:8], strict=True):
        expected = sessions * frequency / total
        assert abs(asked[query_id] - expected) < 5 * np.sqrt(expected)


def test_users_have_a_profile_and_searches_have_an_intent(rows):
    for row in rows["queries"].to_pylist():
        is_user = row["kind"] == "user"
        assert (row["segment"] is not None) is is_user
        assert (row["age_band"] is not None) is is_user
        assert (row["intent"] is None) is is_user
        if is_user:
            assert row["age_band"] in row["text"]
            assert row["segment"] in row["text"]


def test_text_beyond_ascii_is_there_and_valid(rows):
    texts = rows["items"]["text"].to_pylist()
    assert any("ö" in t for t in texts)
    assert any("½" in t for t in texts)
    assert all(t.encode("utf-8").decode("utf-8") == t for t in texts)


def test_markets_do_not_mix():
    shop = small_shop(locales=("us", "de"))
    locale = {r["item_id"]: r["locale"] for r in whole(shop, "items").to_pylist()}
    locale |= {r["query_id"]: r["locale"] for r in whole(shop, "queries").to_pylist()}
    for table in ("judgments", "impressions"):
        assert all(locale[q] == locale[i] for q, i in _pairs(whole(shop, table)))
    foreign = [i for i in list(locale)[:200] if locale[i] == "de"]
    here = next(q for q, where in locale.items() if where == "us" and q[0] == "q")
    assert shop.true_probability([here] * len(foreign), foreign, "relevance").max() < 0.01


def _assert_calibrated(outcome: np.ndarray, probability: np.ndarray, num_bins: int = 10) -> None:
    """Hosmer-Lemeshow with known probabilities: sum of squared standardised bin residuals is chi-square(num_bins)."""
    order = np.argsort(probability, kind="stable")
    residuals = []
    for rows in np.array_split(order, num_bins):
        variance = np.sum(probability[rows] * (1 - probability[rows]))
        residuals.append((outcome[rows].sum() - probability[rows].sum()) ** 2 / variance)
    assert sum(residuals) < chi2.ppf(1 - 1e-4, num_bins), residuals


def _rank_correlation(a: list[float] | np.ndarray, b: list[float]) -> float:
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def _pairs(table: pa.Table) -> list[tuple[str, str]]:
    return list(zip(table["query_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _bytes(table: pa.Table) -> str:
    return repr(table.to_pylist())
