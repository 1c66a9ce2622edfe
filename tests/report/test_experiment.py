import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import chisquare

from recsys.report import Evaluation, Experiment, Record, build
from recsys.report._chart import Finding
from tests.report.synthetic import evaluation
from tests.report.test_render import check

VALUES = {
    "arm": "variant",
    "unit": "user",
    "control": "A",
    "planned": {},
    "covariate": None,
    "planned_units": 400,
}


def experiment(**changed) -> Experiment:
    return Experiment(**(VALUES | changed))


def tried(*, num: int = 400, lift: float = 0.15, seed: int = 0, share: float = 0.5, rate: float = 0.2) -> Evaluation:
    """Clicks of users, each in an arm, with their clicks of the month before."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(num):
        arm = "B" if rng.random() < share else "A"
        taste = rng.beta(3 * rate, 3 * (1 - rate)) if rate else 0.0
        past = float(rng.binomial(30, taste))
        for shown in range(1 + rng.geometric(0.2)):
            click = rng.random() < min(taste + (lift if arm == "B" else 0.0), 1.0) * (rate > 0)
            rows.append(
                {
                    "query_id": f"q{user % 7}",
                    "item_id": f"i{shown:05d}",
                    "target": "click",
                    "label": float(click),
                    "weight": 1.0,
                    "split": "all",
                    "score": 0.0,
                    "uncalibrated": 0.5,
                    "probability": 0.2,
                    "variant": arm,
                    "user": f"u{user}",
                    "past": past,
                }
            )
    return replace(evaluation(num_queries=7, targets=("click",), learned=False), calibrated=pa.Table.from_pylist(rows))


@pytest.fixture(scope="module")
def shop() -> Evaluation:
    return tried()


@pytest.fixture(scope="module")
def found(shop) -> dict:
    return by_name(experiment(covariate="past").records(shop))


def by_name(records: list[Record]) -> dict:
    named = {r.metric: r for r in records}
    assert len(named) == len(records)
    return named


def by_hand(shop: Evaluation) -> dict[str, dict[str, list[float]]]:
    arms: dict[str, dict[str, list[float]]] = {"A": {}, "B": {}}
    for r in shop.calibrated.to_pylist():
        own = arms[r["variant"]].setdefault(r["user"], [0.0, 0.0])
        own[0] += r["label"]
        own[1] += 1
    return arms


def test_rates_and_differences_agree_with_resampled_users(shop, found):
    arms = by_hand(shop)
    rate = {a: sum(u[0] for u in own.values()) / sum(u[1] for u in own.values()) for a, own in arms.items()}
    assert found["rate of A"].value == pytest.approx(rate["A"])
    assert found["per unit of B"].value == pytest.approx(np.mean([u[0] for u in arms["B"].values()]))
    less = found["difference rate B vs A"]
    assert less.value == pytest.approx(rate["B"] - rate["A"])
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(1000):
        values = []
        for a in ("B", "A"):
            own = np.array(list(arms[a].values()))
            chosen = own[rng.integers(0, len(own), len(own))]
            values.append(chosen[:, 0].sum() / chosen[:, 1].sum())
        drawn.append(values[0] - values[1])
    assert less.high - less.low == pytest.approx(2 * 1.96 * np.std(drawn), rel=0.1)
    assert less.low > 0
    assert found["relative difference rate B vs A"].value == pytest.approx(rate["B"] / rate["A"] - 1)
    valid, adjusted = found["always-valid difference rate B vs A"], found["cuped difference rate B vs A"]
    assert valid.value == less.value
    assert valid.high - valid.low > 1.5 * (less.high - less.low)
    assert adjusted.high - adjusted.low < less.high - less.low
    assert less.num_queries == 400
    assert less.num_pairs == shop.calibrated.num_rows


def test_cuped_without_variance_says_so(shop, found):
    assert re.search(
        r"\(CUPED; [^)]*\): \d+% of the variance is left", found["cuped difference rate B vs A"].definition
    )
    nothing = pa.array(np.zeros(shop.calibrated.num_rows, np.float32))
    place = shop.calibrated.column_names.index("label")
    still = replace(shop, calibrated=shop.calibrated.set_column(place, "label", nothing))
    about = by_name(experiment(covariate="past").records(still))["cuped difference rate B vs A"].definition
    assert "there was no variance to explain. For one look" in about
    assert "nan" not in about


def test_units_and_their_ratio_are_counted(shop, found):
    counts = [len(own) for own in by_hand(shop).values()]
    assert [found[f"units of {a}"].value for a in ("A", "B")] == counts
    assert found["sample ratio p"].value == pytest.approx(chisquare(counts).pvalue)


def test_a_broken_split_is_not_concluded():
    shop = tried(share=0.35)
    found = by_name(experiment().records(shop))
    assert found["sample ratio p"].value < 0.001
    assert found["difference rate B vs A"].value is None
    assert "Not concluded: units fell into the arms as A: " in found["difference rate B vs A"].definition
    assert found["rate of B"].value is not None
    html = build(shop, {"experiment": experiment()})[1]
    check(html)
    assert "nothing can be concluded" in html
    as_planned = by_name(experiment(planned={"A": 65.0, "B": 35.0}).records(shop))
    assert as_planned["difference rate B vs A"].value is not None


def test_observations_may_be_counted_in_weights_and_rows_in_any_order(shop, found):
    table = shop.calibrated
    summed = table.group_by([n for n in table.column_names if n not in ("item_id", "weight")]).aggregate(
        [("weight", "sum")]
    )
    summed = summed.rename_columns({"weight_sum": "weight"})
    summed = summed.append_column("item_id", pa.array(["i"] * summed.num_rows))
    order = np.random.default_rng(0).permutation(summed.num_rows)
    again = by_name(experiment(covariate="past").records(replace(shop, calibrated=summed.take(order))))
    for name, record in found.items():
        assert again[name].value == record.value, name
        assert again[name].high == record.high, name


def test_the_page_says_no_more_than_any_look_allows(shop):
    html = build(shop, {"experiment": experiment(covariate="past")})[1]
    check(html)
    assert "Experiment, B vs A: more clicks:" in html
    unlike = experiment().records(tried(lift=0.0, seed=5))
    said = [c for c in experiment().tables(shop, unlike) if isinstance(c, Finding)]
    assert said[0].lead == "Experiment, B vs A: no difference can be seen:"


def test_no_click_at_all_has_no_interval():
    found = by_name(experiment().records(tried(rate=0.0)))
    record = found["difference rate B vs A"]
    assert (record.value, record.low) == (0.0, None)
    assert "No click was seen" in record.definition
    assert found["relative difference rate B vs A"].value is None


def changed(shop: Evaluation, column: str, row: int, value) -> Evaluation:
    values = shop.calibrated[column].to_pylist()
    values[row] = value
    place = shop.calibrated.column_names.index(column)
    return replace(shop, calibrated=shop.calibrated.set_column(place, column, pa.array(values)))


def test_what_cannot_be_an_experiment_is_refused(shop):
    with pytest.raises(ValueError, match=r"report.experiment.arm=group is no column of the labels; there are \["):
        experiment(arm="group").records(shop)
    with pytest.raises(ValueError, match=r"has the arms \['A', 'B'\] for click; the control 'C'"):
        experiment(control="C").records(shop)
    with pytest.raises(
        ValueError, match=r"units in the arms \['A', 'B'\], planned are \['A', 'B', 'C'\]; an arm without"
    ):
        experiment(planned={"A": 1.0, "B": 1.0, "C": 1.0}).records(shop)
    with pytest.raises(ValueError, match=r"report.experiment.unit=user is null in 1 of .*first: row 3"):
        experiment().records(changed(shop, "user", 3, None))
    first = shop.calibrated["variant"][0].as_py()
    other = "A" if first == "B" else "B"
    with pytest.raises(ValueError, match=r"unit 'u0' is in the arms .* \(1 units are in several\)"):
        experiment().records(changed(shop, "variant", 0, other))
    with pytest.raises(ValueError, match=r"covariate=past is .* for unit 'u0'; it must be known"):
        experiment(covariate="past").records(changed(shop, "past", 0, 99.0))
    with pytest.raises(ValueError, match=r"covariate=past is nan for unit 'u0' \(1 rows\)"):
        experiment(covariate="past").records(changed(shop, "past", 0, None))
    with pytest.raises(ValueError, match=r"covariate=query_id holds string; it must hold numbers"):
        experiment(covariate="query_id").records(shop)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("planned", {"A": 0.0}, r"planned=\{'A': 0\.0\}"),
        ("planned", {"B": 1.0}, "no share for the control 'A'"),
        ("planned_units", 0, "planned_units=0"),
    ],
)
def test_wrong_values_are_named(field, value, words):
    with pytest.raises(ValueError, match=words):
        experiment(**{field: value})
