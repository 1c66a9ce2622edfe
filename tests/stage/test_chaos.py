"""SIGKILL of every kind of process while tiles are scored; the same command finishes with the bytes of a run that was
left alone. `benchmarks/chaos.py` does the same hundreds of times."""

import pytest

from benchmarks import chaos


@pytest.mark.timeout(400)
def test_killed_anywhere_it_resumes_to_the_same_bytes(tmp_path):
    expected = chaos.prepared(tmp_path)
    assert sum(n.startswith("tiles/part-") for n in expected) >= 40
    planned = [("before", "driver"), ("during", "actor"), ("between", "actor"), ("after", "worker")]
    counted = chaos.torment(tmp_path, "killed", planned)
    assert counted["kills"] == len(planned)
    assert counted["drivers"] >= 2, "the driver was killed"
    assert counted["tiles_rescored"] == 0
    left = chaos.inspect(tmp_path, "killed", expected)
    assert {name for name, number in left.items() if number} == set()
