"""Tables in comma-, tab- or otherwise separated text files."""

from dataclasses import dataclass

from recsys.source._mapped import MappedSource
from recsys.source._reader import DelimitedReader, Reader


@dataclass
class Delimited(MappedSource):
    """Raw tables from delimited text files (a header line, UTF-8, double quotes). Ids stay strings: 007 is not 7."""

    delimiter: str
    numeric: dict[str, list[str]]

    def __post_init__(self) -> None:
        self.delimiter = self.delimiter.replace("\\t", "\t")  # as a shell passes it on
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise ValueError(f'source.delimiter={self.delimiter!r} must be one character, such as "," or "\\t"')
        self.check()

    def reader(self) -> Reader:
        return DelimitedReader(self.delimiter)

    def suffixes(self) -> tuple[str, ...]:
        endings = (".csv", ".tsv", ".txt")
        return endings + tuple(f"{e}{packed}" for e in endings for packed in (".gz", ".bz2", ".zst"))

    def numbers(self, table: str) -> list[str]:
        return self.numeric.get(table, [])
