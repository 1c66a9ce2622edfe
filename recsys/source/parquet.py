"""Tables in Parquet files, folders or patterns."""

from dataclasses import dataclass

from recsys.source._mapped import MappedSource
from recsys.source._reader import ParquetReader, Reader


@dataclass
class Parquet(MappedSource):
    """Raw tables from Parquet; further columns keep their type (string, number or boolean)."""

    def __post_init__(self) -> None:
        self.check()

    def reader(self) -> Reader:
        return ParquetReader()

    def suffixes(self) -> tuple[str, ...]:
        return (".parquet",)

    def numbers(self, table: str) -> list[str]:
        return []
