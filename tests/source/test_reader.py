"""Reading delimited text: the standard library's csv module is the twin."""

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.source import _reader
from recsys.source._files import File, find
from recsys.source._reader import DelimitedReader, reader_of
from recsys.tables import TableError
from tests.source.files import write

cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00\ufeff"), min_size=1, max_size=8)


def only(path: Path) -> File:
    (file,) = find(str(path), ())
    return file


def rows(path: Path, columns: list[str], delimiter: str = ",") -> list[tuple]:
    table = pa.concat_tables(list(DelimitedReader(delimiter).shards(only(path), columns)))
    return list(zip(*(table[c].to_pylist() for c in columns), strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=6), st.sampled_from([",", "\t", ";"]))
def test_cells_come_back_as_written(tmp_path_factory: pytest.TempPathFactory, body: list, delimiter: str) -> None:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("a", "b"), *body])
    path = write(tmp_path_factory.mktemp("csv"), "x.csv", stream.getvalue())
    assert rows(path, ["a", "b"], delimiter) == body


def test_ids_stay_strings_and_empty_cells_are_null(tmp_path: Path) -> None:
    path = write(tmp_path, "x.csv", '\ufeffid,name\n007,NA\n1e3,\n"",null\n')
    assert rows(path, ["id", "name"]) == [("007", "NA"), ("1e3", None), (None, "null")]
    assert rows(path, ["name"]) == [("NA",), (None,), ("null",)]


def test_a_quote_within_a_cell_is_a_letter(tmp_path: Path) -> None:
    path = write(tmp_path, "x.tsv", 'id\tname\n1\t7" pot\n2\t"8"" pot\nwith lid"\n')
    assert rows(path, ["name"], "\t") == [('7" pot',), ('8" pot\nwith lid',)]


def test_shards_do_not_change_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = [(str(i), f'text "{i}"\nline') for i in range(500)]
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([("a", "b"), *body])
    path = write(tmp_path, "x.csv", stream.getvalue())
    monkeypatch.setattr(_reader, "BLOCK_BYTES", 256)
    assert len(list(DelimitedReader(",").shards(only(path), ["a"]))) > 10
    assert rows(path, ["a", "b"]) == body


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress(b"a\tb\n1\t2\n"))
    file = only(tmp_path / "x.tsv.gz")
    assert next(iter(reader_of(file).shards(file, ["b"]))).to_pylist() == [{"b": "2"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n3,caf\xe9\n", r"x.csv, line 3: not UTF-8; save the file as UTF-8"),
        (b"a,b\xff\n1,2\n", r"x.csv, line 1: .*UTF-8"),
        (b"", r"x.csv is empty"),
        (b"a,a\n1,2\n", r"several columns named \['a'\]"),
        (b"a,b\n1,2,3\n", r"x.csv: .*Expected 2 columns, got 3.*check the delimiter"),
    ],
)
def test_broken_files_are_explained_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    file, reader = only(tmp_path / "x.csv"), DelimitedReader(",")
    with pytest.raises(TableError, match=message) as caught:
        list(reader.shards(file, reader.names(file)))
    assert "\n" not in str(caught.value)


def test_line_of_a_broken_byte_counts_over_read_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reader, "READ_BYTES", 3)
    (tmp_path / "x.csv").write_bytes("a\ngrün\nblau\n".encode() + b"\xff\n")
    with pytest.raises(TableError, match="line 4"):
        rows(tmp_path / "x.csv", ["a"])


def test_extension_chooses_the_reader(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"x.xlsx: unknown extension; use .csv"):
        reader_of(only(write(tmp_path, "x.xlsx", "?")))
    file = only(write(tmp_path, "x.parquet", "no"))
    with pytest.raises(TableError, match="cannot be read as Parquet"):
        reader_of(file).names(file)
