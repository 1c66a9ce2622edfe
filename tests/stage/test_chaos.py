"""SIGKILL of every kind of process, and of whole nodes, while tiles are scored: the bytes are those of a run that was
left alone. `benchmarks/chaos.py` does the same hundreds of times."""

import pytest

from benchmarks import chaos
from benchmarks._nodes import Nodes


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Where the undisturbed run lies."""
    root = tmp_path_factory.mktemp("runs")
    chaos.prepared(root)
    return root


@pytest.mark.timeout(400)
def test_killed_anywhere_it_resumes_to_the_same_bytes(root):
    expected = chaos.digests(root / "base" / "scores")
    assert sum(n.startswith("tiles/part-") for n in expected) >= 40
    planned = [("before", "driver"), ("during", "actor"), ("between", "actor"), ("after", "worker")]
    counted = chaos.torment(root, "killed", planned)
    assert counted["kills"] == len(planned)
    assert counted["commands_again"] >= 1, "the driver was killed"
    assert counted["tiles_rescored"] == 0
    left = chaos.inspect(root, "killed", expected)
    assert {name for name, number in left.items() if number} == set()


@pytest.mark.timeout(400)
@pytest.mark.long
def test_nodes_that_are_lost_cost_no_new_command(root):
    planned = [("during", "node"), ("between", "node")]
    with Nodes(2, chaos.environment(root)) as nodes:
        counted = chaos.torment(root, "lost", planned, nodes)
        assert nodes.num_started == 4, "both were replaced"
    assert [counted[f"{phase} {target}"] for phase, target in planned] == [1, 1]
    assert counted["commands_again"] == counted["tiles_rescored"] == 0
    left = chaos.inspect(root, "lost", chaos.digests(root / "base" / "scores"))
    assert {name for name, number in left.items() if number} == set()
