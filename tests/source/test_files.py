"""Finding files: folders, patterns, URIs, and what is said when nothing is there."""

import hashlib
import os
from pathlib import Path

import fsspec
import pytest

from recsys.source import _files
from recsys.source._files import find, join
from recsys.tables import TableError
from tests.source.files import write


def names(uri: str) -> list[str]:
    return [f.name for f in find(uri, (".csv",))]


def test_find_takes_a_file_a_folder_or_a_pattern(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "deep/c.csv", "d.txt", "_SUCCESS.csv", ".hidden.csv"):
        write(tmp_path, name, "x\n1\n")
    assert names(str(tmp_path / "a.csv")) == ["a.csv"]
    assert names(str(tmp_path)) == names(f"{tmp_path}/") == ["a.csv", "b.csv", "deep/c.csv"]
    assert names(f"{tmp_path}/[ab].csv") == ["a.csv", "b.csv"]
    assert names(f"file://{tmp_path}/a.csv") == ["a.csv"]


def test_find_opens_what_fsspec_opens() -> None:
    with fsspec.open("memory://find/x.csv", "wb") as stream:
        stream.write(b"x\n1\n")  # type: ignore[union-attr]
    (file,) = find("memory://find/x.csv", ())
    assert file.identity() == f"sha256:{hashlib.sha256(b'x' + bytes([10]) + b'1' + bytes([10])).hexdigest()}"
    assert names("memory://find") == ["x.csv"]


def test_missing_file_names_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, "itms.csv", "x\n1\n")
    with pytest.raises(TableError, match=r"items.csv: no such file.*has itms.csv; check source.path") as caught:
        find(join(str(tmp_path), "items.csv"), (".csv",))
    assert "\n" not in str(caught.value)
    with pytest.raises(TableError, match=r"nowhere.*does not exist or is empty"):
        find(str(tmp_path / "nowhere" / "items.csv"), ())
    with pytest.raises(TableError, match=r"no such file"):
        find(f"{tmp_path}/*.parquet", ())


def test_join_leaves_absolute_names_and_uris_alone() -> None:
    assert join("/data/", "items.csv") == "/data/items.csv"
    assert join("/data", "/other/items.csv") == "/other/items.csv"
    assert join("/data", "s3://bucket/items.csv") == "s3://bucket/items.csv"


def test_identity_follows_content_then_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a.csv", "x\n1\n")
    (file,) = find(str(path), ())
    first = file.identity()
    os.utime(path, ns=(1, 1))
    assert file.identity() == first
    write(tmp_path, "a.csv", "x\n2\n")
    assert file.identity() != first
    monkeypatch.setattr(_files, "HASHED_BYTES", 3)
    os.utime(path, ns=(5_000, 5_000))
    assert file.identity() == "size:4 mtime:5000"
