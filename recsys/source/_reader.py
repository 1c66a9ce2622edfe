"""Reads the columns of one delimited or Parquet file, shard by shard, ids untouched."""

import codecs
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from recsys.source._files import File
from recsys.tables import TableError

BLOCK_BYTES = 16 * 2**20  # of text per shard; the longest row must fit
BATCH_ROWS = 2**16  # of a Parquet file per shard
READ_BYTES = 2**20


class Reader(ABC):
    """One file format."""

    @abstractmethod
    def names(self, file: File) -> list[str]:
        """Its columns. Raises TableError if the file is broken or names a column twice."""

    @abstractmethod
    def has_rows(self, file: File) -> bool:
        """Whether there is a row besides the header."""

    @abstractmethod
    def shards(self, file: File, columns: list[str]) -> Iterator[pa.Table]:
        """Those columns, in that order, in the file's order of rows."""


@dataclass(frozen=True)
class DelimitedReader(Reader):
    """Text with a header line, UTF-8 (with or without a byte order mark), double quotes; every column is a string.

    An empty cell is null. Quoted cells may hold delimiters, doubled quotes and newlines. Packed files
    ('.gz', '.bz2', '.zst') are unpacked.
    """

    delimiter: str

    def names(self, file: File) -> list[str]:
        names = _header(file, self.delimiter)
        _check_unique(file, names)
        return names

    def has_rows(self, file: File) -> bool:
        return any(shard.num_rows for shard in self.shards(file, self.names(file)))

    def shards(self, file: File, columns: list[str]) -> Iterator[pa.Table]:
        convert = pacsv.ConvertOptions(
            column_types={c: pa.string() for c in columns},
            include_columns=columns,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        )
        try:
            with _open(file, self.delimiter, convert) as reader:
                for batch in reader:
                    yield pa.Table.from_batches([batch])
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise _explained(file, error) from error


@dataclass(frozen=True)
class ParquetReader(Reader):
    """Parquet, types as they are."""

    def names(self, file: File) -> list[str]:
        try:
            with file.filesystem.open_input_file(file.path) as stream:
                names = pq.ParquetFile(stream).schema_arrow.names
        except pa.ArrowInvalid as error:
            raise TableError(f"{file.name} cannot be read as Parquet: {_one_line(error)}") from error
        _check_unique(file, names)
        return names

    def has_rows(self, file: File) -> bool:
        with file.filesystem.open_input_file(file.path) as stream:
            return pq.ParquetFile(stream).metadata.num_rows > 0

    def shards(self, file: File, columns: list[str]) -> Iterator[pa.Table]:
        with file.filesystem.open_input_file(file.path) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=BATCH_ROWS, columns=columns):
                yield pa.Table.from_batches([batch]).select(columns)


def reader_of(file: File) -> Reader:
    """The reader a file's extension asks for."""
    name = file.name.lower().removesuffix(".gz").removesuffix(".bz2").removesuffix(".zst")
    if name.endswith(".parquet"):
        return ParquetReader()
    if name.endswith((".tsv", ".txt")):
        return DelimitedReader("\t")
    if name.endswith(".csv"):
        return DelimitedReader(",")
    raise TableError(f"{file.name}: unknown extension; use .csv (commas), .tsv (tabs) or .parquet")


def check_rows(reader: Reader, files: list[File]) -> None:
    """Raises TableError if there is no row in any of the files of a table."""
    if not any(reader.has_rows(f) for f in files):
        raise TableError(f"no rows in {', '.join(f.name for f in files)}; the table needs at least one row")


def _open(file: File, delimiter: str, convert: pacsv.ConvertOptions | None) -> pacsv.CSVStreamingReader:
    stream = file.filesystem.open_input_stream(file.path, compression="detect")
    return pacsv.open_csv(
        stream,
        read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
        parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=convert,
    )


def _header(file: File, delimiter: str) -> list[str]:
    try:
        with _open(file, delimiter, None) as reader:
            return reader.schema.names
    except pa.ArrowInvalid as error:
        raise _explained(file, error) from error
    except UnicodeDecodeError as error:
        raise TableError(f"{file.name}, line 1: the header is not UTF-8 ({error.reason}); save it as UTF-8") from error


def _check_unique(file: File, names: list[str]) -> None:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise TableError(f"{file.name} has several columns named {twice}; give each column its own name")


def _explained(file: File, error: pa.ArrowException) -> TableError:
    """What went wrong in a delimited file, where, and what to do."""
    message = _one_line(error)
    if "UTF8" in message or "UTF-8" in message:
        return TableError(f"{file.name}, line {_first_broken_line(file)}: not UTF-8; save the file as UTF-8")
    if "Empty CSV" in message:
        return TableError(f"{file.name} is empty; it needs a header line and at least one row")
    if "straddling" in message:
        return TableError(
            f"{file.name}: a row is longer than {BLOCK_BYTES // 2**20} MiB, or a quote is never closed ({message})"
        )
    return TableError(f"{file.name}: {message}; check the delimiter and that cells with delimiters are quoted")


def _first_broken_line(file: File) -> int:
    """The line (1 = header) with the first byte that is not UTF-8."""
    line, decoder = 1, codecs.getincrementaldecoder("utf-8")()
    with file.filesystem.open_input_stream(file.path, compression="detect") as stream:
        while data := stream.read(READ_BYTES):
            pending = decoder.getstate()[0]
            try:
                decoder.decode(data)
            except UnicodeDecodeError as error:
                return line + (pending + data)[: error.start].count(b"\n")
            line += data.count(b"\n")
    return line


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
