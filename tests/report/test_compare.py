from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import permutation_test
from sklearn.metrics import log_loss, ndcg_score

from recsys.report import Compare, Evaluation, Other, build
from recsys.report._chart import Finding, Remark, Table
from tests.report.synthetic import evaluation
from tests.report.test_render import check

VALUES = {
    "runs": ["runs/other"],
    "k": 5,
    "num_replicates": 60,
    "num_flips": 999,
    "min_queries": 4,
    "slices": [],
    "max_values": 6,
    "num_examples": 3,
}


def compare(**changed) -> Compare:
    return Compare(**(VALUES | changed))


def other(shop: Evaluation, *, noise: float, run: str = "first", seed: int = 0) -> Other:
    """The same pairs scored by a worse model."""
    rng = np.random.default_rng(seed)
    calibrated = shop.calibrated
    score = calibrated["score"].to_numpy() + noise * rng.normal(size=calibrated.num_rows).astype(np.float32)
    columns = {"score": pa.array(score), "probability": pa.array(1 / (1 + np.exp(-score.astype(np.float64))))}
    for name, array in columns.items():
        calibrated = calibrated.set_column(calibrated.column_names.index(name), name, array)
    return Other(
        run=run,
        model="bm25",
        learned=True,
        outputs=shop.outputs,
        calibrated=calibrated,
        ranks=shop.ranks.slice(0, 0),
        impressions=None,
    )


def with_others(shop: Evaluation, **others: Other) -> Evaluation:
    return replace(shop, others={f"runs/{name}": run for name, run in others.items()})


@pytest.fixture(scope="module")
def shop() -> Evaluation:
    alone = evaluation(num_queries=60, judged=10)
    return with_others(alone, other=other(alone, noise=3.0))


@pytest.fixture(scope="module")
def found(shop):
    records = compare().records(shop)
    named = {(r.metric, r.slice): r for r in records}
    assert len(named) == len(records)
    assert {r.split for r in records} == {"test"}
    return named


def ndcg_of_queries(table: pa.Table, k: int) -> dict[str, float]:
    rows = [r for r in table.to_pylist() if r["split"] == "test"]
    made = {}
    for query in sorted({r["query_id"] for r in rows}):
        own = [r for r in rows if r["query_id"] == query]
        gain = np.array([[2 ** r["label"] - 1 for r in own]])
        if gain.sum() > 0:
            made[query] = float(ndcg_score(gain, np.array([[r["score"] for r in own]]), k=k))
    return made


def test_difference_test_and_wins_agree_with_scikit_learn_and_scipy(shop, found):
    ours = ndcg_of_queries(shop.calibrated, 5)
    theirs = ndcg_of_queries(shop.others["runs/other"].calibrated, 5)
    difference = np.array([ours[q] - theirs[q] for q in ours])
    record = found["difference ndcg@5 vs first", "overall"]
    assert record.value == pytest.approx(difference.mean())
    assert record.num_queries == len(difference)
    assert 0 < record.low < record.value < record.high
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    assert record.high - record.low == pytest.approx(2 * 2.03 * error, rel=0.35)  # 60 replicates
    assert found["ndcg@5 of first", "overall"].value == pytest.approx(np.mean(list(theirs.values())))
    peer = permutation_test((difference,), np.sum, permutation_type="samples", n_resamples=9999, rng=1)
    assert found["p ndcg@5 vs first", "overall"].value == pytest.approx(peer.pvalue, abs=0.02)
    counts = [found[f"{n} ndcg@5 vs first", "overall"].value for n in ("wins", "losses", "ties")]
    assert counts == [(difference > 1e-9).sum(), (difference < -1e-9).sum(), (np.abs(difference) <= 1e-9).sum()]


def test_a_loss_is_won_where_it_is_lower(shop, found):
    rows = [r for r in shop.calibrated.to_pylist() if r["split"] == "test"]
    peers = [r for r in shop.others["runs/other"].calibrated.to_pylist() if r["split"] == "test"]
    y = [r["label"] >= 2 for r in rows]
    expected = log_loss(y, [r["probability"] for r in rows]) - log_loss(y, [r["probability"] for r in peers])
    assert found["difference log_loss vs first", "overall"].value == pytest.approx(expected)
    assert expected < 0
    assert found["wins log_loss vs first", "overall"].value > found["losses log_loss vs first", "overall"].value


def test_slices_hold_their_rows_and_are_adjusted(shop, found):
    locale = dict(zip(shop.queries["query_id"].to_pylist(), shop.queries["locale"].to_pylist(), strict=True))
    ours = ndcg_of_queries(shop.calibrated, 5)
    theirs = ndcg_of_queries(shop.others["runs/other"].calibrated, 5)
    german = [q for q in ours if locale[q] == "de"]
    where = "query_locale=de"
    expected = np.mean([ours[q] - theirs[q] for q in german])
    assert found["difference ndcg@5 vs first", where].value == pytest.approx(expected)
    assert found["difference gauc vs first", "category=Sofa"].num_queries >= 4
    adjusted = [r.value for (m, _), r in found.items() if m.startswith("adjusted p")]
    assert len(adjusted) > 8
    assert all(0 < p <= 1 for p in adjusted)
    wins = sum(found[f"{n} ndcg@5 vs first", where].value for n in ("wins", "losses", "ties"))
    assert wins == found["difference ndcg@5 vs first", where].num_queries == len(german)


def test_a_run_compared_with_its_like_is_equal(shop):
    twin = with_others(shop, other=replace(other(shop, noise=0.0), calibrated=shop.calibrated, ranks=shop.ranks))
    named = {(r.metric, r.slice): r for r in compare().records(twin)}
    less = [r for (m, _), r in named.items() if m.startswith("difference")]
    assert {r.value for r in less} == {0.0}
    assert {r.value for (m, _), r in named.items() if m.startswith(("p ", "adjusted p"))} == {1.0}
    assert ("difference auc catalogue vs first", "overall") in named
    said = [c for c in compare().tables(twin, list(named.values())) if isinstance(c, Finding)]
    assert said[0].lead == "It cannot be told from first:"
    assert "0 better, 0 worse" in said[0].rest


def test_further_columns_and_the_order_of_rows_change_nothing(shop, found):
    peer = shop.others["runs/other"]
    twice = pa.concat_tables([peer.calibrated, peer.calibrated])  # each row as two half observations
    half = pc.multiply(twice["weight"], 0.5)
    device = pa.array(["phone"] * peer.calibrated.num_rows + ["desk"] * peer.calibrated.num_rows)
    split = twice.set_column(twice.column_names.index("weight"), "weight", half).append_column("device", device)
    shuffled = split.take(np.random.default_rng(3).permutation(split.num_rows))
    again = with_others(shop, other=replace(peer, calibrated=shuffled))
    assert {(r.metric, r.slice): r for r in compare().records(again)} == found


def test_what_is_not_shared_is_left_out_and_counted(shop, found):
    peer = shop.others["runs/other"]
    rows = [i for i, r in enumerate(peer.calibrated.to_pylist()) if r["split"] == "test"]
    label = peer.calibrated["label"].to_numpy().copy()
    label[rows[:3]] = 3 - label[rows[:3]]
    changed = peer.calibrated.set_column(3, "label", pa.array(label)).take(
        [i for i in range(len(label)) if i not in rows[-7:]]
    )
    named = {
        (r.metric, r.slice): r for r in compare().records(with_others(shop, other=replace(peer, calibrated=changed)))
    }
    assert named["pairs labelled otherwise in first", "overall"].value == 3
    assert named["pairs not in first", "overall"].value == 7
    before = found["shared pairs", "overall"].value
    assert named["shared pairs", "overall"].value == before - 10


def test_runs_that_share_no_query_are_refused(shop):
    peer = shop.others["runs/other"]
    ids = pa.array([f"other {q}" for q in peer.calibrated["query_id"].to_pylist()])
    apart = replace(peer, calibrated=peer.calibrated.set_column(0, "query_id", ids))
    with pytest.raises(ValueError, match=r"run 'first' has no labelled pair of 'relevance' in common with 'autumn'"):
        compare().records(with_others(shop, other=apart))


def test_a_target_that_only_one_run_has_is_a_remark(shop):
    alone = evaluation(num_queries=30, targets=("relevance", "click"))
    peer = other(alone, noise=1.0)
    graded = replace(peer, calibrated=peer.calibrated.filter(pc.equal(peer.calibrated["target"], "relevance")))
    scene = with_others(alone, other=graded)
    assert {r.target for r in compare().records(scene)} == {"relevance"}
    assert [c.target for c in compare().charts(scene) if isinstance(c, Remark)] == ["click"]
    check(build(scene, {"compare": compare()})[1])


def test_one_query_has_a_difference_and_no_interval():
    alone = evaluation(num_queries=1, judged=10)
    scene = with_others(alone, other=other(alone, noise=3.0))
    records = compare().records(scene)
    less = next(r for r in records if r.metric == "difference ndcg@5 vs first")
    assert less.value is not None
    assert less.low is None
    assert next(r for r in records if r.metric == "p ndcg@5 vs first").value == 1.0
    assert "cannot be said" in compare().tables(scene, records)[-1].lead  # pyright: ignore
    check(build(scene, {"compare": compare()})[1])


def test_the_page_tells_of_two_runs_and_shows_what_lost(shop):
    both = with_others(shop, other=shop.others["runs/other"], third=other(shop, noise=0.4, run="second <b>", seed=4))
    setting = compare(runs=["runs/third", "runs/other"])
    text, html, records = build(both, {"compare": setting})
    check(html)
    assert "Better than first:" in html
    assert "Is it better than second &lt;b&gt;?" in html
    assert build(both, {"compare": compare(runs=["runs/other", "runs/third"])})[:2] == (text, html)
    regressions = [c for c in setting.charts(both) if isinstance(c, Table)]
    assert [t.title for t in regressions] == ["Biggest regressions"] * 2
    ours, theirs = (ndcg_of_queries(t, 5) for t in (both.calibrated, both.others["runs/third"].calibrated))
    lost = max(theirs[q] - ours[q] for q in ours)
    there, here, moved = regressions[1].rows[0].cells
    assert there.value - here.value == pytest.approx(lost)  # pyright: ignore
    assert "→" in moved  # pyright: ignore
    assert len({r.value for r in records if r.metric == "shared pairs"}) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("runs", []), ("k", 0), ("num_replicates", 5), ("num_flips", 9), ("min_queries", 1), ("max_values", 1)],
)
def test_wrong_values_are_named(field, value):
    with pytest.raises(ValueError, match=rf"report\.compare\.{field}="):
        compare(**{field: value})
