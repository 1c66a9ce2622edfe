from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from recsys.report import Evaluation, Other, Policy, Record, build
from recsys.report._chart import Finding, Remark
from recsys.seed import hash_ids
from recsys.source import Openbandit
from tests.data import data_folder
from tests.report.logs import NUM_ITEMS, with_log
from tests.report.synthetic import evaluation
from tests.report.test_render import check

VALUES = {
    "policies": ["logging", "uniform", "ranker"],
    "unit": None,
    "references": {},
    "min_effective": 100.0,
    "clip": 10.0,
    "switch": 10.0,
    "prior": 100.0,
    "num_replicates": 60,
}


def policy(**changed) -> Policy:
    return Policy(**(VALUES | changed))


def by_name(records: list[Record]) -> dict:
    named = {(r.metric, r.slice): r for r in records}
    assert len(named) == len(records)
    return named


def run_on(log: Evaluation, name: str) -> Other:
    """A run that logged what this evaluation is about."""
    return Other(
        run=name,
        model="random",
        learned=False,
        outputs=log.outputs,
        calibrated=log.calibrated,
        ranks=log.ranks,
        impressions=log.impressions,
    )


@pytest.fixture(scope="module")
def shop() -> Evaluation:
    return with_log()


@pytest.fixture(scope="module")
def found(shop) -> dict:
    return by_name(policy().records(shop))


def test_the_logging_policy_earned_what_it_earned(shop, found):
    rate = sum(shop.impressions["click"].to_pylist()) / shop.impressions.num_rows
    assert found["logging ips", "overall"].value == rate
    assert found["logging snips", "overall"].value == rate
    assert found["logging effective sample size", "overall"].value == shop.impressions.num_rows


def test_uniform_is_estimated_near_its_true_value(found):
    truth = np.mean((np.arange(NUM_ITEMS) + 1) / 12) * 0.75
    for name in ("ips", "snips", "doubly robust", "switch doubly robust", "replay"):
        record = found[f"uniform {name}", "overall"]
        assert record.low < truth < record.high, name
        assert record.num_queries == record.num_pairs == 1500
    assert found["uniform direct method", "overall"].value is not None
    assert found["uniform direct method", "overall"].low is None  # the model's own error is not known
    logged = found["logging snips", "overall"].value
    assert found["uniform snips less logging", "overall"].low > 0
    assert truth > logged
    assert found["uniform mean weight", "overall"].value == pytest.approx(1, abs=0.15)
    assert found["uniform snips", "position=2"].value < found["uniform snips", "position=1"].value


def test_the_ranker_is_estimated_where_the_log_agrees_with_it(shop):
    found = by_name(policy(policies=["ranker"], min_effective=10.0).records(shop))
    top = {(r["query_id"], r["rank"]): r["item_id"] for r in shop.top.to_pylist()}
    agrees = [r for r in shop.impressions.to_pylist() if top[r["query_id"], r["position"]] == r["item_id"]]
    weight = np.array([1 / r["propensity"] for r in agrees])
    click = np.array([r["click"] for r in agrees])
    assert found["ranker snips", "overall"].value == pytest.approx((weight * click).sum() / weight.sum())
    assert found["ranker ips", "overall"].value == pytest.approx((weight * click).sum() / 1500)
    expected = weight.sum() ** 2 / (weight**2).sum()
    assert found["ranker effective sample size", "overall"].value == pytest.approx(expected)


def test_a_ranker_that_has_learned_is_judged_on_test_queries_alone():
    records = policy().records(with_log(learned=True))
    assert {r.split for r in records if r.metric.startswith("ranker")} == {"test"}
    assert {r.split for r in records if r.metric.startswith("uniform")} == {"all"}
    sizes = {r.metric.split()[0]: r.num_pairs for r in records if r.slice == "overall"}
    assert sizes["ranker"] < sizes["uniform"] == 1500


def test_hundred_matched_impressions_without_a_click_conclude_nothing():
    """In a log with clicks in 1 %, that is what one policy in three would show that is no worse."""
    shop = with_log()
    shown = shop.impressions
    assert shown is not None
    top = {(r["query_id"], r["rank"]): r["item_id"] for r in shop.top.to_pylist()}
    agrees = [top[r["query_id"], r["position"]] == r["item_id"] for r in shown.to_pylist()]
    click = [0 if same else c for same, c in zip(agrees, shown["click"].to_pylist(), strict=True)]
    column = pa.array(click, shown.schema.field("click").type)
    none = replace(shop, impressions=shown.set_column(shown.column_names.index("click"), "click", column))
    found = by_name(policy(policies=["ranker"], min_effective=10.0).records(none))
    assert sum(agrees) > 30
    assert sum(click) > 100
    for name in (
        "ips",
        "clipped ips",
        "snips",
        "doubly robust",
        "switch doubly robust",
        "replay",
        "snips less logging",
    ):
        record = found[f"ranker {name}", "overall"]
        assert record.value is not None
        assert record.low is record.high is None, name
        assert "could have made, 0 have a click" in record.definition or name == "direct method"
    assert found["ranker snips standard error", "overall"].value is None


def test_hopeless_overlap_is_refused_and_named():
    scene = with_log(skew=6.0, seed=3)
    found = by_name(policy(policies=["logging", "uniform"]).records(scene))
    size = found["uniform effective sample size", "overall"].value
    assert size < 100
    for name in ("ips", "snips", "direct method", "doubly robust", "replay", "snips less logging"):
        record = found[f"uniform {name}", "overall"]
        assert (record.value, record.low, record.high) == (None, None, None)
        assert f"Not concluded: 1,500 logged decisions are worth {size:.1f} of" in record.definition
    said = [c for c in policy(policies=["uniform"]).tables(scene, list(found.values())) if isinstance(c, Finding)]
    assert "cannot be told from this log" in said[0].lead
    assert f"{size:.1f}" in said[0].rest
    html = build(scene, {"policy": policy()})[1]
    check(html)
    assert "not concluded" in html


def test_units_are_resampled_whole(shop, found):
    tripled = shop.impressions.take(np.repeat(np.arange(shop.impressions.num_rows), 3))
    ids = pa.array([f"m{i:06d}" for i in range(tripled.num_rows)])
    session = pa.array([f"s{i // 3}" for i in range(tripled.num_rows)])
    tripled = tripled.set_column(0, "impression_id", ids).set_column(7, "session_id", session)
    whole = by_name(policy(unit="session_id", policies=["logging"]).records(replace(shop, impressions=tripled)))
    split = by_name(policy(policies=["logging"]).records(replace(shop, impressions=tripled)))
    narrow, wide, once = (f["logging snips", "overall"] for f in (split, whole, found))
    assert wide.num_queries == 1500
    assert narrow.num_queries == 4500
    assert wide.high - wide.low == pytest.approx(once.high - once.low, rel=0.35)
    assert narrow.high - narrow.low < 0.75 * (wide.high - wide.low)


def test_the_order_of_rows_is_irrelevant(shop, found):
    order = np.random.default_rng(1).permutation(shop.impressions.num_rows)
    assert by_name(policy().records(replace(shop, impressions=shop.impressions.take(order)))) == found


def test_a_reference_is_the_log_that_the_policy_made(shop):
    own = with_log(skew=0.0, seed=8)
    other = run_on(own, "fair")
    scene = replace(shop, others={"runs/fair": other})
    setting = policy(references={"uniform": "runs/fair"})
    found = by_name(setting.records(scene))
    rate = sum(own.impressions["click"].to_pylist()) / own.impressions.num_rows  # pyright: ignore
    assert found["uniform rate of fair", "overall"].value == rate
    less = found["uniform snips less fair", "overall"]
    assert less.value == pytest.approx(found["uniform snips", "overall"].value - rate)
    assert less.low < 0 < less.high
    said = [c for c in setting.tables(scene, list(found.values())) if isinstance(c, Finding)]
    assert "it cannot be told apart from the log of fair" in said[0].rest
    check(build(scene, {"policy": setting})[1])


def test_a_reference_counts_its_own_units(shop):
    own = with_log(skew=0.0, seed=8)
    assert own.impressions is not None
    fewer = own.impressions.slice(0, 300)
    scene = replace(shop, others={"runs/fair": run_on(replace(own, impressions=fewer), "fair")})
    found = by_name(policy(references={"uniform": "runs/fair"}).records(scene))
    rate, less, plain = (found[f"uniform {name}", "overall"] for name in ("rate of fair", "snips less fair", "snips"))
    assert (rate.num_queries, rate.num_pairs) == (less.num_queries, less.num_pairs) == (300, 300)
    assert plain.num_queries == shop.impressions.num_rows


def test_no_click_at_all_has_no_interval():
    found = by_name(policy(policies=["logging", "uniform"]).records(with_log(rate=0.0)))
    for name in ("logging snips", "uniform snips"):
        record = found[name, "overall"]
        assert (record.value, record.low) == (0.0, None)
        assert "could have made, 0 have a click" in record.definition


def test_no_log_is_a_remark():
    scene = evaluation(num_queries=10, targets=("relevance", "click"))
    text, html, records = build(scene, {"policy": policy()})
    assert records == []
    assert text == "[]\n"
    check(html)
    assert any(
        "does not say whether there was a click" in c.text for c in policy().charts(scene) if isinstance(c, Remark)
    )


@pytest.mark.parametrize("wrong", [0.0, None, float("nan"), 1.5])
def test_a_propensity_that_is_none_is_named(shop, wrong):
    propensity = shop.impressions["propensity"].to_pylist()
    propensity[7] = wrong
    broken = shop.impressions.set_column(4, "propensity", pa.array(propensity, pa.float64()))
    shown = float("nan") if wrong is None else wrong
    with pytest.raises(ValueError, match=rf"impression 'm000007': propensity {shown} at row 7 must lie above 0"):
        policy().records(replace(shop, impressions=broken))


def test_an_unknown_unit_is_named(shop):
    with pytest.raises(ValueError, match=r"report\.policy\.unit=user is no column of the impressions; there are \["):
        policy(unit="user").records(shop)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("policies", [], r"policies=\[\]"),
        ("policies", ["best"], "'best' is no known policy; use logging, uniform, ranker"),
        ("references", {"best": "x"}, "'best'"),
        ("min_effective", 1.0, r"min_effective=1\.0"),
        ("clip", 0.0, r"clip=0\.0"),
        ("num_replicates", 5, "num_replicates=5"),
    ],
)
def test_wrong_values_are_named(field, value, words):
    with pytest.raises(ValueError, match=words):
        policy(**{field: value})


def real(folder: str) -> Evaluation:
    """The log of Open Bandit in an evaluation without scores."""
    source = Openbandit(path=str(data_folder("obd_small") / folder))
    tables = {n: pa.concat_tables(list(source.read(n))) for n in source.tables()}
    empty = evaluation(num_queries=1, targets=("click",), full=False)
    return replace(
        empty, run=folder, queries=tables["queries"], items=tables["items"], impressions=tables["impressions"]
    )


def test_women_to_uniform_is_refused_with_its_effective_sample_size():
    found = by_name(policy(policies=["logging", "uniform"]).records(real("bts/women")))
    assert found["logging ips", "overall"].value == found["logging snips", "overall"].value == 46 / 10_000
    assert found["uniform effective sample size", "overall"].value == pytest.approx(2.0778, abs=1e-4)
    assert found["uniform largest weight", "overall"].value == pytest.approx(1 / 46 / 1e-6)
    assert found["uniform snips", "overall"].value is None
    assert "are worth 2.1 of this policy's own" in found["uniform snips", "overall"].definition


def test_men_to_uniform_agrees_with_the_random_log():
    random = real("random/men")
    own = by_name(policy(policies=["logging", "uniform"]).records(random))
    for name in ("logging ips", "logging snips", "uniform ips", "uniform snips"):
        assert own[name, "overall"].value == 46 / 10_000  # uniform is what that log was made by
    other = run_on(random, "random")
    scene = replace(real("bts/men"), others={"x": other})
    found = by_name(policy(policies=["logging", "uniform"], references={"uniform": "x"}).records(scene))
    assert found["logging snips", "overall"].value == 69 / 10_000
    assert found["uniform effective sample size", "overall"].value == pytest.approx(655.7, abs=0.1)
    assert found["uniform snips", "overall"].value == pytest.approx(0.0031894, abs=1e-7)
    less = found["uniform snips less random", "overall"]
    assert less.value == pytest.approx(0.0031894 - 0.0046, abs=1e-7)
    assert less.low < 0 < less.high


def test_the_direct_method_is_the_mean_over_the_catalogue_of_rates_of_other_units(shop):
    never = shop.items.slice(0, 1).set_column(0, "item_id", pa.array(["never shown"]))
    wide = replace(shop, items=pa.concat_tables([shop.items, never]))
    found = by_name(policy(policies=["uniform"]).records(wide))
    log = policy()._logged(wide, "click")
    assert not isinstance(log, str)
    seen = log.log("uniform")
    assert seen.chance_N == pytest.approx(np.full(1500, 1 / (NUM_ITEMS + 1)))
    assert found["uniform direct method", "overall"].value == pytest.approx(seen.expected_N.mean())
    fold_U = (hash_ids(log.unit_ids, log.salt + 1) % np.uint64(5)).astype(int)
    fold_N, rows = fold_U[log.unit_N], log.shown.to_pylist()
    for n in range(3):
        others = [
            r for r, f in zip(rows, fold_N, strict=True) if f != fold_N[n] and r["position"] == rows[n]["position"]
        ]
        base = np.mean([r["click"] for r in others])
        rates = []
        for item in wide.items["item_id"].to_pylist():
            own = [r["click"] for r in others if r["item_id"] == item]
            rates.append((sum(own) + 100 * base) / (len(own) + 100))
        assert seen.expected_N[n] == pytest.approx(np.mean(rates))
