"""States: the exact metrics of the same rows, whatever the shards, their order, and the tree of additions."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.metric import ranking, reliability
from recsys.metric.state import COUNTS, LARGEST, SUMS, Cut, Layout, State
from recsys.metric.state_builder import Builder
from recsys.metric.state_estimate import Estimates, weighted
from recsys.metric.state_grid import Grid, order_key, survey
from recsys.seed import mix
from tests.metric import states
from tests.metric.samples import draw, each, make, ones

EXACT = {
    "ndcg": ranking.ndcg(3),
    "mrr": ranking.mrr,
    "recall": ranking.recall(3),
    "gauc": ranking.gauc,
    "log_loss": reliability.log_loss,
    "brier": reliability.brier,
    "ece": reliability.ece(15),
    "calibration_ratio": reliability.calibration_ratio,
}
RANKING = ("ndcg", "mrr", "recall", "gauc")


@each(range(40))
def test_every_slice_has_the_exact_metric(seed):
    sample = draw(seed)
    codes = states.codes(sample, seed)
    estimates = Estimates(states.count(sample, codes, states.layout()), 1)
    for name, metric in EXACT.items():
        value_S = estimates.of(name).value_SR[:, 0]
        for mask_N, where, value in zip(states.masks(sample, codes), states.layout().slices, value_S, strict=True):
            if name in RANKING and where.startswith("grade"):
                continue  # a slice of labels has no ranking
            part = sample.select(mask_N)
            assert value == pytest.approx(metric(part, ones(part))[0], abs=1e-9, nan_ok=True), (name, where)


@each(range(40))
def test_the_exact_auc_lies_in_the_bracket(seed):
    sample = draw(seed)
    codes = states.codes(sample, seed)
    auc = Estimates(states.count(sample, codes, states.layout(states.by_bits(8, 4))), 1).of("auc")
    for s, mask_N in enumerate(states.masks(sample, codes)):
        part = sample.select(mask_N)
        exact = ranking.auc(part, ones(part))[0]
        assert np.isnan(exact) == np.isnan(auc.value_SR[s, 0])
        if not np.isnan(exact):
            assert auc.low_S[s] - 1e-12 <= exact <= auc.high_S[s] + 1e-12
            assert auc.low_S[s] <= auc.value_SR[s, 0] <= auc.high_S[s]


def test_three_ways_to_average_auc_over_queries():
    """RecBole's test: AUC 1, 1/2, 1/2 with 1, 2, 3 positives of 2, 3, 5 rows."""
    score = [2, 1, 2, 1, 0, 1, 1, 1, 1, 1]
    sample = make([0, 0, 1, 1, 1, 2, 2, 2, 2, 2], score, [1, 0, 1, 0, 1, 1, 1, 1, 0, 0], item=list(range(10)))
    estimates = Estimates(
        states.count(
            sample,
            states.codes(replace(sample, item_N=np.zeros(10, int)), 0) | {"brand": np.zeros(10, int)},
            states.layout(),
        ),
        1,
    )
    found = {n: estimates.of(n).value_SR[0, 0] for n in ("gauc", "gauc_by_positives", "gauc_unweighted")}
    assert found == pytest.approx({"gauc": 0.6, "gauc_by_positives": 0.583333, "gauc_unweighted": 0.666667}, abs=1e-6)


@each(range(30))
def test_every_metric_of_a_share_is_a_share_and_entropy_is_that_of_the_loss(seed):
    sample = draw(seed)
    estimates = Estimates(states.count(sample, states.codes(sample, seed), states.layout()), 4)
    open_ended = ("log_loss", "calibration_ratio", "normalised_entropy")
    for name in estimates.names:
        value_SR = estimates.of(name).value_SR
        assert np.nanmax(value_SR, initial=0.0) <= 1 + 1e-8 or name in open_ended, name
        assert np.nanmin(value_SR, initial=0.0) >= 0, name
    rate, loss, ratio = (estimates.of(n).value_SR[0] for n in ("positive_rate", "log_loss", "normalised_entropy"))
    for r in np.flatnonzero((rate > 0) & (rate < 1)):
        entropy = -rate[r] * np.log(rate[r]) - (1 - rate[r]) * np.log(1 - rate[r])
        assert ratio[r] == pytest.approx(loss[r] / entropy, rel=1e-12)


@each(range(30))
def test_random_order_is_every_score_tied(seed):
    sample = draw(seed)
    estimates = Estimates(states.count(sample, states.codes(sample, seed), states.layout()), 1)
    for name, metric in (("ndcg", ranking.ndcg(3)), ("mrr", ranking.mrr), ("recall", ranking.recall(3))):
        value = estimates.of(f"random {name}").value_SR[0, 0]
        assert value == pytest.approx(metric(sample.random(), ones(sample))[0], abs=1e-9, nan_ok=True)


@each(range(20))
def test_replicates_are_those_of_the_exact_metric_with_its_groups_weights(seed):
    sample = draw(seed)
    layout = states.layout()
    estimates = Estimates(states.count(sample, states.codes(sample, seed), layout), 6)
    group_Q = mix(states.hashes(np.arange(sample.num_queries)), 1) % np.uint64(layout.num_groups)
    weight_QR = estimates._weight_GR[group_Q.astype(int)]
    for name, metric in EXACT.items():
        value_R = estimates.of(name).value_SR[0]
        np.testing.assert_allclose(value_R, metric(sample, weight_QR), atol=1e-8, err_msg=name)


def test_auc_replicates_move_as_the_exact_ones_do():
    rng = np.random.default_rng(0)
    query_N = np.repeat(np.arange(300), 20)
    positive_N = rng.random(6000) < 0.2
    score_N = rng.normal(size=6000) + positive_N + rng.normal(size=300)[query_N]
    sample = make(query_N.tolist(), score_N.tolist(), positive_N.tolist(), item=np.tile(np.arange(20), 300).tolist())
    grid = Grid.fitted(survey(order_key(sample.score_N), sample.positive_N), 4096, 32)
    layout = states.layout(grid, num_groups=256)
    estimates = Estimates(states.count(sample, states.codes(sample, 0), layout), 50)
    group_Q = mix(states.hashes(np.arange(300)), 1) % np.uint64(256)
    exact_R = ranking.auc(sample, estimates._weight_GR[group_Q.astype(int)])
    value_R = estimates.of("auc").value_SR[0]
    assert value_R[0] == pytest.approx(exact_R[0], abs=1e-3)
    assert np.corrcoef(value_R[1:], exact_R[1:])[0, 1] > 0.99
    assert value_R[1:].std() == pytest.approx(exact_R[1:].std(), rel=0.05)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), num_parts=st.sampled_from([1, 7, 64]), tree=st.randoms(use_true_random=False))
def test_the_same_bits_for_any_shards_order_and_tree(seed, num_parts, tree):
    sample = draw(seed)
    codes = states.codes(sample, seed)
    layout = states.layout()
    whole = states.count(sample, codes, layout)
    queries = np.arange(sample.num_queries)
    part_Q = np.array([tree.randrange(num_parts) for _ in queries])
    parts = []
    for part in range(num_parts):
        order = np.lexsort((np.random.default_rng(tree.randrange(1000)).random(len(sample)), sample.query_N))
        rows = {n: v[order] for n, v in vars(sample).items() if isinstance(v, np.ndarray)}
        mixed = replace(sample, **rows)
        moved = {n: c if n == "kind" else c[order] for n, c in codes.items()}
        parts.append(states.count(mixed, moved, layout, queries[part_Q == part]))
    tree.shuffle(parts)
    assert states.same_bits(State.sum_of(layout, parts), whole)
    while len(parts) > 1:
        one = parts.pop(tree.randrange(len(parts)))
        other = parts.pop(tree.randrange(len(parts)))
        parts.insert(tree.randrange(len(parts) + 1), State.sum_of(layout, [one, other]))
    assert states.same_bits(parts[0], whole)


def test_a_builder_adds_shards_as_states_are_merged():
    sample = draw(3)
    codes, layout = states.codes(sample, 3), states.layout()
    builder = Builder(layout)
    for q in range(sample.num_queries):
        mask_N = sample.query_N == q
        part = replace(sample.select(mask_N), num_queries=1, query_N=np.zeros(mask_N.sum(), np.int64))
        chosen = {n: c[[q]] if n == "kind" else c[mask_N] for n, c in codes.items()}
        builder.add(part, states.hashes(np.array([q])), chosen)
    assert states.same_bits(builder.state(), states.count(sample, codes, layout))


def test_a_state_is_a_small_parquet_file(tmp_path):
    sample = draw(8)
    state = states.count(sample, states.codes(sample, 8), states.layout())
    pq.write_table(state.to_table(), tmp_path / "state.parquet")
    again = State.from_table(pq.read_table(tmp_path / "state.parquet"))
    assert states.same_bits(again, state)
    assert states.same_bits(State.sum_of(again.layout, [again, State.empty(again.layout)]), state)
    with pytest.raises(ValueError, match="not a state"):
        State.from_table(pa.table({"a": [1]}))


def test_its_memory_is_what_the_formula_says():
    state = State.empty(states.layout())
    arrays = (state.sum_MSG, state.bin_3SGB, state.coarse_SGK2, state.fine_SC2)
    assert sum(a.nbytes for a in arrays) == state.layout.num_bytes


def test_a_query_in_two_shards_is_an_error():
    sample = draw(4)
    state = states.count(sample, states.codes(sample, 4), states.layout())
    with pytest.raises(ValueError, match=r"queries have rows in more than one shard; .*sorted by query"):
        State.sum_of(state.layout, [state, state])
    builder = Builder(states.layout())
    for _ in range(2):
        builder.add(sample, states.hashes(np.arange(sample.num_queries)), states.codes(sample, 4))
    with pytest.raises(ValueError, match="more than one shard"):
        builder.state()


def test_states_of_other_layouts_do_not_add():
    with pytest.raises(ValueError, match="different layouts"):
        State.sum_of(states.layout(k=3), [State.empty(states.layout(k=4))])


def test_sums_that_would_overflow_are_an_error():
    state = State.empty(states.layout())
    full = replace(state, fine_SC2=np.full_like(state.fine_SC2, LARGEST // 2 + 1))
    with pytest.raises(ValueError, match=r"too large to be added exactly"):
        State.sum_of(full.layout, [full, full])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score_N": np.array([0.5, np.nan, 1], np.float32)}, "score nan at row 1 is not finite"),
        ({"score_N": np.array([0.5, 0, np.inf], np.float32)}, "score inf at row 2 is not finite"),
        ({"probability_N": np.array([0.5, 1.5, 0.5])}, r"probability 1\.5 at row 1 must lie between 0 and 1"),
        ({"probability_N": np.array([0.5, 0.5, np.nan])}, "probability nan at row 2"),
        ({"weight_N": np.array([1.0, -1, 1])}, r"weight -1\.0 at row 1 is not a number of observations"),
        ({"weight_N": np.array([1.0, np.nan, 1])}, "weight nan at row 1"),
        ({"weight_N": np.array([1.0, 1e-9, 1])}, r"weight 1e-09 is below 2\^-20"),
        ({"weight_N": np.array([1.0, 1e9, 1])}, r"weights of one shard add up to 1e\+09"),
        ({"item_N": np.array([0, 0, 1])}, r"has the scores 0\.\d+ and 0\.\d+; a pair has one"),
    ],
)
def test_what_cannot_be_counted_is_named(change, message):
    sample = replace(make([0, 0, 1], [0.5, 0.25, 1], [1, 0, 1]), **change)
    codes = {"kind": np.zeros(2, int), "brand": np.zeros(3, int), "grade": np.zeros(3, int)}
    with pytest.raises(ValueError, match=message):
        Builder(states.layout()).add(sample, states.hashes(np.arange(2)), codes)


def test_a_slice_without_a_class_has_no_auc_and_one_without_rows_has_nothing():
    sample = make([0, 0, 1], [0.5, 0.25, 1], [0, 0, 0])
    codes = {"kind": np.array([0, 0]), "brand": np.zeros(3, int), "grade": np.zeros(3, int)}
    estimates = Estimates(states.count(sample, codes, states.layout()), 3)
    for name in ("auc", "average_precision", "ks", "gauc", "ndcg", "mrr", "calibration_ratio"):
        assert np.isnan(estimates.of(name).value_SR[0]).all(), name
    assert estimates.of("log_loss").value_SR[0, 0] == pytest.approx(np.log(2), abs=1e-9)
    empty = states.layout().slices.index("kind=b")
    assert all(np.isnan(estimates.of(name).value_SR[empty]).all() for name in estimates.names)
    with pytest.raises(ValueError, match="metric 'fame' is not known"):
        estimates.of("fame")


def test_codes_without_a_value_are_an_error():
    sample = make([0], [0.5], [1])
    with pytest.raises(ValueError, match="cut by kind has 3 values, but a row has number 3"):
        Builder(states.layout()).add(
            sample, states.hashes(np.arange(1)), {"kind": np.array([3]), "brand": np.array([0]), "grade": np.array([0])}
        )
    with pytest.raises(ValueError, match="axis='shop' is unknown"):
        Cut(column="a", axis="shop", values=("x",))
    with pytest.raises(ValueError, match="has no values"):
        Cut(column="a", axis="item", values=())
    with pytest.raises(ValueError, match="num_groups=1"):
        Layout(cuts=(), grid=states.by_bits(), num_groups=1, num_bins=15, k=3, seed=0)
    with pytest.raises(ValueError, match="k=0"):
        Layout(cuts=(), grid=states.by_bits(), num_groups=2, num_bins=15, k=0, seed=0)


def test_weighted_sums_are_those_of_whole_numbers():
    rng = np.random.default_rng(0)
    sum_SG = rng.integers(0, 1 << 50, (4, 64))
    weight_GR = rng.integers(0, 9, (64, 5)).astype(float)
    exact = np.array(
        [[sum(int(s) * int(w) for s, w in zip(row, col, strict=True)) for col in weight_GR.T] for row in sum_SG]
    )
    np.testing.assert_array_equal(weighted(sum_SG, weight_GR), exact.astype(np.float64))


def test_counts_are_those_of_queries_and_pairs():
    sample = make([0, 0, 0, 1, 2], [1, 1, 0, 1, 1], [0, 2, 0, 0, 1], item=[4, 4, 5, 4, 5], weight=[1, 2, 1, 1, 0])
    codes = {"kind": np.zeros(3, int), "brand": np.array([0, 0, 1, 0, 1]), "grade": sample.gain_N.astype(int)}
    state = states.count(sample, codes, states.layout())
    found = {name: int(state.sum_MSG[SUMS.index(name), 0].sum()) for name in COUNTS}
    assert found == {"queries": 2, "gaining": 1, "positive": 1, "both": 1, "pairs": 3}
    assert state.query_hash_Q.tolist() == sorted(states.hashes(np.arange(2)).tolist())
