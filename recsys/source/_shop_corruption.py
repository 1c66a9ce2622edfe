"""Damage done to clean rows on purpose, each piece of it written down: what a cleaner should find.

Whether row n is damaged is a pure function of (seed, table, column, n), so shards agree. A cell gets at most one kind.
Exact copies of rows come last (`duplicate_rows`). Keys are never damaged.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from recsys.source._shop_chance import draw

CORRUPTIONS = pa.schema(
    [
        pa.field("table", pa.string(), False),
        pa.field("key", pa.string(), False),  # the row's key as read; 'query_id/item_id' for judgments
        pa.field("kind", pa.string(), False),
        pa.field("column", pa.string()),  # null for duplicate_rows and bot_session rows that clicked anyway
        pa.field("before", pa.string()),
        pa.field("after", pa.string()),
    ]
)

Damage = Callable[[object], object]


def _markup(text: str) -> str:
    first, _, rest = text.replace("&", "&amp;").partition(" ")
    return f"<p><b>{first}</b> {rest}<br/></p>"


def _whitespace(text: str) -> str:
    return "\t" + text.replace(" ", " \u00a0", 2) + "\u200b \n"


def _mojibake(text: str) -> str:
    """UTF-8 with a no-break space, read as Latin-1."""
    return text.replace(" ", "\u00a0", 1).encode("utf-8").decode("latin-1")


def _outside(label: float) -> float:
    return -1.0 if label > 1 else 99.0


# kind -> (table, column, damage)
KINDS: dict[str, tuple[tuple[str, str], ...]] = {
    "markup": (("items", "text"),),
    "whitespace": (("items", "text"), ("queries", "text")),
    "mojibake": (("items", "text"), ("queries", "text")),
    "null_text": (("items", "text"), ("queries", "text")),
    "empty_text": (("items", "text"), ("queries", "text")),
    "negative_price": (("items", "price"),),
    "nan_price": (("items", "price"),),
    "label_outside_range": (("judgments", "label"),),
    "click_outside_range": (("impressions", "click"),),
    "unknown_item": (("judgments", "item_id"), ("impressions", "item_id")),
    "bot_session": (("impressions", "session_id"),),
    "duplicate_rows": (("items", ""), ("queries", ""), ("judgments", ""), ("impressions", "")),
}

DAMAGE: dict[str, Damage] = {
    "markup": lambda text: _markup(str(text)),
    "whitespace": lambda text: _whitespace(str(text)),
    "mojibake": lambda text: _mojibake(str(text)),
    "null_text": lambda _: None,
    "empty_text": lambda _: "",
    "negative_price": lambda price: -float(str(price)),
    "nan_price": lambda _: float("nan"),
    "label_outside_range": lambda label: _outside(float(str(label))),
    "click_outside_range": lambda _: -1,
    "unknown_item": lambda item_id: f"x{str(item_id)[1:]}",
}


@dataclass
class Corruptor:
    """Damages shards of one table at the given rates and remembers what it did."""

    seed: int
    rates: dict[str, float]
    table: str
    log: list[dict] = field(default_factory=list)

    def damage(self, table: pa.Table, number_N: np.ndarray) -> pa.Table:
        """The shard with damaged cells; number_N identifies its rows over all shards."""
        for column in table.column_names:
            kinds = [k for k in DAMAGE if (self.table, column) in KINDS[k]]
            if kinds:
                table = self._damage_column(table, column, kinds, number_N)
        return table

    def duplicate(self, table: pa.Table, number_N: np.ndarray) -> pa.Table:
        """The shard with exact copies of some rows at its end."""
        chance_N = draw(self.seed, f"duplicate {self.table}", number_N)
        copied = np.flatnonzero(chance_N < self.rates["duplicate_rows"])
        part = table.take(pa.array(copied))
        self._remember([(key, "duplicate_rows", None, None, None) for key in keys(self.table, part)])
        return pa.concat_tables([table, part])

    def _damage_column(self, table: pa.Table, column: str, kinds: list[str], number_N: np.ndarray) -> pa.Table:
        edges = np.cumsum([self.rates[k] for k in kinds])
        kind_N = np.searchsorted(edges, draw(self.seed, f"damage {self.table} {column}", number_N), side="right")
        rows = np.flatnonzero(kind_N < len(kinds))
        if not len(rows):
            return table
        values = table[column].to_pylist()
        done = []
        for row in rows:
            kind, before = kinds[kind_N[row]], values[row]
            values[row] = DAMAGE[kind](before)
            done.append((row, kind, column, before, values[row]))
        place = table.column_names.index(column)
        damaged = table.set_column(place, table.schema.field(column), pa.array(values, table.schema.field(column).type))
        names = keys(self.table, damaged.take(pa.array(rows)))
        self._remember([(name, k, c, _text(b), _text(a)) for name, (_, k, c, b, a) in zip(names, done, strict=True)])
        return damaged

    def remember(self, key: str, kind: str, column: str, before: object, after: object) -> None:
        """Writes down damage done elsewhere."""
        self._remember([(key, kind, column, _text(before), _text(after))])

    def _remember(self, rows: list[tuple]) -> None:
        names = CORRUPTIONS.names
        self.log.extend(dict(zip(names, (self.table, *row), strict=True)) for row in rows)


def keys(name: str, table: pa.Table) -> list[str]:
    """How `corruptions` names the rows of a table."""
    if name == "judgments":
        pairs = zip(table["query_id"].to_pylist(), table["item_id"].to_pylist(), strict=True)
        return [f"{query}/{item}" for query, item in pairs]
    return table[{"items": "item_id", "queries": "query_id", "impressions": "impression_id"}[name]].to_pylist()


def check_rates(rates: dict[str, float]) -> None:
    """Raises ValueError for an unknown kind, a missing one, or a rate that is none."""
    if set(rates) != set(KINDS):
        raise ValueError(f"source.corruption={sorted(rates)} must name exactly {sorted(KINDS)}; 0 turns a kind off")
    for kind, rate in rates.items():
        if not 0 <= rate <= 0.5:
            raise ValueError(f"source.corruption.{kind}={rate} must lie in [0, 0.5]: a share of rows")
    texts = sum(rates[k] for k in KINDS if ("items", "text") in KINDS[k])
    if texts > 1:
        raise ValueError(f"source.corruption: rates of text damage add up to {texts}, above 1; lower them")


def _text(value: object) -> str | None:
    return None if value is None else str(value)
