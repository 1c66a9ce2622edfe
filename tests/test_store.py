"""Files appear whole or not at all; a run knows what it has done, and refuses other work under its name."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.store import Folder, Plan, Run, canonical_json, differences, open_filesystem


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path) -> Folder:
    return Folder.open(str(tmp_path / "f") if request.param == "local" else f"memory://{tmp_path}/f")


def plan(**config) -> Plan:
    return Plan(stage="corpus", version=1, config=config, inputs={"raw": "abc"})


def test_what_is_written_is_read_back(folder):
    table = pa.table({"id": ["a", "b"], "x": [1.5, None]})
    entry = folder.write_table("part.parquet", table)
    folder.write_json("x.json", {"b": 1, "a": "ü"})
    assert entry["rows"] == 2
    assert folder.read_table("part.parquet").equals(table)
    assert folder.read_json("x.json") == {"a": "ü", "b": 1}
    assert folder.names() == ["part.parquet", "x.json"]
    assert folder.fetch().joinpath("x.json").exists()
    folder.delete()
    assert folder.names() == []


def test_equal_tables_have_equal_bytes(tmp_path):
    table = pa.table({"x": list(range(1000))})
    chunked = pa.concat_tables([table.slice(0, 10), table.slice(10)]).combine_chunks()
    first, second = (Folder.open(str(tmp_path / n)).write_table("p", t) for n, t in (("a", table), ("b", chunked)))
    assert first == second


def test_a_killed_writer_leaves_no_half_file(tmp_path):
    """A process that overwrites one file again and again is killed at random moments: the file is always whole."""
    script = textwrap.dedent("""
        import sys
        from recsys.store import Folder
        folder = Folder.open(sys.argv[1])
        for i in range(10**9):
            folder.write("file", bytes([i % 256]) * 3_000_000)
    """)
    for pause in (0.01, 0.04, 0.09):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "f")])
        deadline = time.monotonic() + 60
        while not (tmp_path / "f" / "file").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(pause)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        data = (tmp_path / "f" / "file").read_bytes()
        assert len(data) == 3_000_000
        assert len(set(data)) == 1
    folder = Folder.open(str(tmp_path / "f"))
    folder.remove_temporary()
    assert os.listdir(tmp_path / "f") == ["file"]


def test_a_file_that_finds_no_room_is_named_and_leaves_nothing_behind(tmp_path):
    """A process that may write at most 1 MB per file stands for a disk that is full half-way."""
    script = textwrap.dedent("""
        import resource, sys
        from recsys.store import Folder
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        Folder.open(sys.argv[1]).write("small", b"x")
        Folder.open(sys.argv[1]).write("large", b"x" * 3_000_000)
    """)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert f"File too large: '{tmp_path}/large'" in done.stderr
    assert os.listdir(tmp_path) == ["small"]


def test_unknown_schemes_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"cannot open 'nope://x'.*s3://"):
        open_filesystem("nope://x")


def test_fingerprints_depend_on_content_alone():
    assert plan(a=1, b=2).fingerprint == plan(b=2, a=1).fingerprint
    assert plan(a=1).fingerprint != plan(a=2).fingerprint
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


@given(st.recursive(st.integers() | st.text(), lambda s: st.dictionaries(st.text(), s), max_leaves=8))
def test_nothing_differs_from_itself(value):
    assert list(differences(value, value)) == []


def test_a_stage_is_done_once_and_other_work_is_refused(tmp_path):
    run = Run(str(tmp_path), "r")
    assert run.done(plan(k1=1.2)) is None
    folder = run.begin(plan(k1=1.2))
    folder.write(".tmp-part-dead", b"half")
    assert run.done(plan(k1=1.5)) is None  # nothing is there that would be lost
    folder.join("tiles").write("part-0", b"x")
    with pytest.raises(ValueError, match=r"run 'r' already holds corpus/.*k1: 1.2 -> 1.5.*another name"):
        run.done(plan(k1=1.5))
    assert run.done(plan(k1=1.2)) is None
    with pytest.raises(ValueError, match="has no finished corpus"):
        run.manifest("corpus")
    folder.join("tiles").delete()
    manifest = run.close(folder, plan(k1=1.2), {"rows": {}}, {"seconds": 1})
    assert run.done(plan(k1=1.2)) == manifest == run.manifest("corpus")
    with pytest.raises(ValueError, match=r"k1: 1.2 -> 1.5"):
        run.done(plan(k1=1.5))
    assert sorted(os.listdir(tmp_path / "r" / "corpus")) == ["_MANIFEST.json", "_RUN.json"]


def test_reuse_takes_over_what_matches_without_copying(tmp_path):
    first = Run(str(tmp_path), "first")
    folder = first.begin(plan(a=1))
    folder.write("data", b"x")
    first.close(folder, plan(a=1), {}, {})
    second = Run(str(tmp_path), "second", reuse="first")
    assert second.done(plan(a=2)) is None
    assert second.done(plan(a=1)) == first.manifest("corpus")
    third = Run(str(tmp_path), "third", reuse="second")
    assert third.done(plan(a=1)) is not None
    assert Run(str(tmp_path), "third").folder("corpus").read("data") == b"x"
    assert os.listdir(tmp_path / "third" / "corpus") == ["_REUSED.json"]


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_a_run_is_known_by_its_folder_whatever_the_filesystem(tmp_path, scheme):
    made = Run(f"{scheme}{tmp_path}/runs", "first")
    made.close(made.begin(plan(a=1)), plan(a=1), {}, {})
    for uri in (f"{scheme}{tmp_path}/runs/first", f"{scheme}{tmp_path}/runs/first/"):
        assert Run.at(uri) == made
        assert Run.at(uri).manifest("corpus")["fingerprint"] == plan(a=1).fingerprint


def test_a_run_s_folder_may_be_relative_at_the_root_or_have_options(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Run.at("runs/first") == Run(f"{tmp_path}/runs", "first")
    assert Run.at("/first") == Run("/", "first")
    assert Run.at("s3://bucket/runs/first?region=eu-west-1") == Run("s3://bucket/runs?region=eu-west-1", "first")


def test_an_attempt_that_left_nothing_makes_room_for_another(tmp_path):
    run = Run(str(tmp_path), "r")
    run.begin(plan(a=1)).write("table.parquet", b"x")
    folder = run.begin(plan(a=2))
    assert folder.names() == ["_STARTED.json"]
    assert folder.read_json("_STARTED.json")["config"] == {"a": 2}


def test_a_run_to_reuse_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"reuse=nope: there is no such run"):
        Run(str(tmp_path), "r", reuse="nope").done(plan(a=1))


def test_when_the_reused_run_is_gone_the_work_is_done_again(tmp_path):
    first, second = Run(str(tmp_path), "first"), Run(str(tmp_path), "second", reuse="first")
    first.close(first.begin(plan(a=1)), plan(a=1), {}, {})
    assert second.done(plan(a=1)) is not None
    shutil.rmtree(tmp_path / "first")
    second = Run(str(tmp_path), "second")
    assert second.done(plan(a=1)) is None
    second.close(second.begin(plan(a=1)), plan(a=1), {}, {})
    assert second.manifest("corpus")["config"] == {"a": 1}


@pytest.mark.parametrize("name", ["", "a/b", "..", "_x"])
def test_a_name_that_cannot_name_a_folder_is_refused(name):
    with pytest.raises(ValueError, match="cannot name a folder"):
        Run("runs", name)
