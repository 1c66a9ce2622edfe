"""How items, queries and users read: the words that stand for what they are."""

import unicodedata

import numpy as np

from recsys.source._shop_chance import draw, hashed
from recsys.source._shop_items import Items
from recsys.source._shop_queries import Queries
from recsys.source._shop_vocabulary import NONE, vocabulary

_TITLES = (
    "{brand} {type} {model}, {rest}",
    "{brand} {first} {type} {model} – {others}",
    "{type} {rest} – {brand} {model}",
    "{brand} {model} {rest} {type}",
)
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXZ"
_USUAL_NAME = 0.7  # share of items that use the usual name of a type or value rather than any of its synonyms
_NO_DESCRIPTION = 0.08
_TIER_MENTIONED = 0.7


def model_code(model: int) -> str:
    """The code printed on all variants of a model."""
    first, second, digits = model % 22, model // 22 % 22, model // 484 % 9000 + 1000
    return f"{_LETTERS[first]}{_LETTERS[second]}-{digits}"


def item_texts(items: Items, shop_seed: int) -> tuple[list[str], list[str]]:
    """Titles and descriptions ('' for none)."""
    words = vocabulary()
    num_streams = 9
    chance_NS = draw(shop_seed, "item text", items.number[:, None], np.arange(num_streams)[None, :])
    titles, descriptions = [], []
    for n, chance in enumerate(chance_NS):
        kind = _name(words.type_names[items.type[n]], chance[0])
        values = [_name(words.value_names[v], c) for v, c in zip(items.value_NA[n], chance[1:4], strict=True) if v >= 0]
        title = _TITLES[int(chance[4] * len(_TITLES))].format(
            brand=words.brand_names[items.brand[n]],
            type=kind,
            model=model_code(int(items.model[n])),
            rest=", ".join(values),
            first=values[0] if values else "",
            others=", ".join(values[1:]) or "new",
        )
        titles.append(title[0].upper() + title[1:])
        sentences = [words.quality_phrases[items.quality[n]], _any(words.closing_phrases, chance[6])]
        if chance[5] < _TIER_MENTIONED:
            sentences.insert(0, words.tier_phrases[items.tier[n]])
        usual = words.type_names[items.type[n]][0]
        category = words.category_names[words.type_category_T[items.type[n]]]
        sentences.append(f"{category}: {usual}" if chance[7] < 0.5 else category)
        descriptions.append("" if chance[8] < _NO_DESCRIPTION else ". ".join(sentences) + ".")
    return titles, descriptions


def query_texts(queries: Queries, shop_seed: int, misspelling_rate: float) -> list[str]:
    """What is typed (search) or how a user is described (user), one text per query."""
    chance_NS = draw(shop_seed, "query text", queries.number[:, None], np.arange(12)[None, :])
    return [
        _user(queries, n, chance) if queries.is_user[n] else _typed(queries, n, chance, misspelling_rate)
        for n, chance in enumerate(chance_NS)
    ]


def _typed(queries: Queries, n: int, chance: np.ndarray, misspelling_rate: float) -> str:
    words = vocabulary()
    wanted = [_any(words.value_names[v], c) for v, c in zip(queries.value_NA[n], chance[:3], strict=True) if v >= 0]
    if queries.tier[n] != NONE:
        wanted.append(_any(words.tier_words[queries.tier[n]], chance[3]))
    wanted.sort(key=lambda word: int(hashed(int(chance[4] * 2**31), word)))
    kind = _any(words.type_names[queries.type[n]], chance[5])
    parts = [*wanted, kind] if chance[6] < 0.65 else [kind, *wanted]
    if queries.brand[n] != NONE:
        brand = words.brand_names[queries.brand[n]]
        plain = unicodedata.normalize("NFKD", brand).encode("ascii", "ignore").decode()
        parts.insert(0 if chance[7] < 0.7 else len(parts), plain if chance[8] < 0.5 else brand)
    if queries.model_known[n]:
        parts.append(model_code(int(queries.model[n])))
    text = " ".join(parts).lower()
    return _misspelt(text, chance[10], chance[11]) if chance[9] < misspelling_rate else text


def _user(queries: Queries, n: int, chance: np.ndarray) -> str:
    words = vocabulary()
    bought = []
    for h, kind in enumerate(queries.history_type_NH[n]):
        first = queries.history_value_NHA[n, h, 0]
        value = f"{words.value_names[first][0]} " if first >= 0 else ""
        bought.append(f"{words.brand_names[queries.history_brand_NH[n, h]]} {value}{words.type_names[kind][0]}")
    categories = dict.fromkeys(words.category_names[words.type_category_T[t]] for t in queries.history_type_NH[n])
    pitch = words.tier_phrases[queries.tier[n]].lower()
    verb = _any(["bought", "recently bought", "owns"], chance[0])
    return (
        f"{words.segments[queries.segment[n]]}, age {words.age_bands[queries.age_band[n]]}, {pitch}; "
        f"likes {' and '.join(categories)}; {verb} {', '.join(bought)}"
    )


def _misspelt(text: str, where: float, how: float) -> str:
    """One slip of the finger: two letters swapped, one dropped, or one doubled."""
    spots = [i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    if not spots:
        return text
    i = spots[int(where * len(spots))]
    middle = (text[i + 1] + text[i], text[i + 1], text[i] + text[i] + text[i + 1])[int(how * 3)]
    return text[:i] + middle + text[i + 2 :]


def _name(names: list[str], chance: float) -> str:
    return names[0] if chance < _USUAL_NAME else _any(names, (chance - _USUAL_NAME) / (1 - _USUAL_NAME))


def _any(names: list[str], chance: float) -> str:
    return names[int(chance * len(names))]
