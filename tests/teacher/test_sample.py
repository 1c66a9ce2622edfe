"""Which pairs are taught: of each train query as many, in its market, the wanted share among its best items."""

import numpy as np
import pyarrow as pa
import pytest

from recsys.teacher._sample import sample_pairs

QUERIES = pa.table(
    {
        "query_id": [f"q{n}" for n in range(8)],
        "locale": ["es"] * 4 + ["us"] * 4,
        "split": ["train", "test", "train", "validation", "train", "train", "test", "train"],
    }
)
ITEMS = pa.table({"item_id": [f"i{n:03d}" for n in range(100)], "locale": ["es"] * 40 + ["us"] * 60})
TRAIN = [0, 2, 4, 5, 7]
NONE = np.zeros((0, 2), np.int64)


def test_every_train_query_is_drawn_equally_often_in_its_market_and_no_other_query():
    pair_P2, hard_P = sample_pairs(QUERIES, ITEMS, NONE, num_pairs=53, hard_fraction=0.5, seed=3)
    assert len(pair_P2) == len(np.unique(pair_P2, axis=0)) == 53
    assert not hard_P.any()  # none was on offer
    row, number = np.unique(pair_P2[:, 0], return_counts=True)
    assert row.tolist() == TRAIN
    assert sorted(number) == [10, 10, 11, 11, 11]
    spanish = pair_P2[:, 0] < 4
    assert (pair_P2[spanish, 1] < 40).all()
    assert (pair_P2[~spanish, 1] >= 40).all()
    assert (np.lexsort(pair_P2.T[::-1]) == np.arange(53)).all()


def test_a_share_comes_from_the_best_and_the_rest_from_all_others():
    best = {0: range(10), 2: range(30, 33), 4: range(50, 70), 6: range(90, 100)}
    hard_N2 = np.array([(q, i) for q, items in best.items() for i in items])
    pair_P2, hard_P = sample_pairs(QUERIES, ITEMS, hard_N2, num_pairs=80, hard_fraction=0.5, seed=3)
    number = {q: int(hard_P[pair_P2[:, 0] == q].sum()) for q in TRAIN}
    assert number == {0: 8, 2: 3, 4: 8, 5: 0, 7: 0}  # half of 16, or as many as there are
    for (q, i), hard in zip(pair_P2.tolist(), hard_P, strict=True):
        assert not hard or i in best[q]
    assert [int((pair_P2[:, 0] == q).sum()) for q in TRAIN] == [16] * 5
    only_P2, only_P = sample_pairs(QUERIES, ITEMS, hard_N2, num_pairs=15, hard_fraction=1.0, seed=3)
    assert only_P[np.isin(only_P2[:, 0], [0, 2, 4])].all()


def test_easy_pairs_are_uniform_over_the_market():
    """Chi-square of how often each of 40 items is drawn, 10 at a time, over 400 seeds: mean 39 x (1 - 10/40), not more
    than 5 standard deviations off."""
    one = QUERIES.slice(0, 1)
    drawn = [
        sample_pairs(one, ITEMS, NONE, num_pairs=10, hard_fraction=0, seed=s)[0][:, 1].astype(int) for s in range(400)
    ]
    count_I = np.bincount(np.concatenate(drawn), minlength=40)
    assert len(count_I) == 40
    assert ((count_I - 100) ** 2 / 100).sum() < 39 * 0.75 + 5 * np.sqrt(2 * 39)


def test_a_draw_is_the_seed_s():
    def draw(seed: int) -> list:
        return sample_pairs(QUERIES, ITEMS, NONE, num_pairs=50, hard_fraction=0, seed=seed)[0].tolist()

    assert draw(1) == draw(1) != draw(2)


def test_a_query_s_draw_does_not_depend_on_the_others():
    alone = QUERIES.slice(0, 1)
    whole_P2, _ = sample_pairs(QUERIES, ITEMS, NONE, num_pairs=50, hard_fraction=0, seed=1)
    alone_P2, _ = sample_pairs(alone, ITEMS, NONE, num_pairs=10, hard_fraction=0, seed=1)
    assert alone_P2.tolist() == whole_P2[whole_P2[:, 0] == 0].tolist()


def test_more_pairs_than_there_are_is_all_of_them():
    pair_P2, _ = sample_pairs(QUERIES, ITEMS, NONE, num_pairs=10_000, hard_fraction=0.5, seed=1)
    assert len(pair_P2) == 2 * 40 + 3 * 60


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"teacher.pairs=4 is fewer than the 5 train queries"):
        sample_pairs(QUERIES, ITEMS, NONE, num_pairs=4, hard_fraction=0, seed=1)
    with pytest.raises(ValueError, match="no train query has an item"):
        sample_pairs(QUERIES.slice(1, 1), ITEMS, NONE, num_pairs=4, hard_fraction=0, seed=1)
