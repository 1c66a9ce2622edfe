"""Seeds and hashes depend on names alone."""

import numpy as np

from recsys import seed


def test_seeds_are_stable_and_differ_by_every_part_of_the_name():
    assert (
        seed.seed(0, "model", "weights") == int.from_bytes(bytes.fromhex("c88ed148106d3ad1"), "little") >> 1
    )  # sha256sum
    assert len({seed.seed(r, s, p) for r in (0, 1) for s in ("a", "b") for p in ("x", "y", 0, 1)}) == 16
    assert all(0 <= seed.seed(r, "s") < 2**63 for r in range(100))


def test_hashes_do_not_depend_on_company_or_order():
    ids = ["a", "b", "ü", "日本", ""]
    hashes = seed.hash_ids(ids, 7)
    assert [seed.hash_ids([i], 7)[0] for i in ids] == hashes.tolist()
    np.testing.assert_array_equal(seed.hash_ids(ids[::-1], 7)[::-1], hashes)
    assert not (hashes == seed.hash_ids(ids, 8)).any()


def test_uniforms_are_uniform_and_streams_independent():
    hashes = seed.hash_ids([str(i) for i in range(20_000)], 1)
    first, second = (seed.uniform(seed.mix(hashes, stream)) for stream in (0, 1))
    assert abs(first.mean() - 0.5) < 4 / np.sqrt(12 * 20_000)
    assert abs(first.var() - 1 / 12) < 0.003
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(20_000)
    assert first.min() >= 0
    assert first.max() < 1
