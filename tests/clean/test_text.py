import html
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.clean import Text
from recsys.clean.text import normalised
from tests.clean.tables import NONE_KNOWN, items, reasons

MARKUP = ["<b>", "</p>", "<br/>", "<", ">", "&", "&lt;", "&amp;", "&#60;", "lt;", "#38;", "b>", "script>"]
LETTERS = ["\u200b", "\ufb01", "Â", "\u00a0", "Ã", "©", "½", "™", " ", "\n", "ｂ", "カ", "\u3099", "a", "5"]
letters = st.characters(categories=["Lu", "Ll", "Lo", "Nd"], max_codepoint=0x24F, exclude_characters="ÂÃâ")
pieces = st.sampled_from(MARKUP + LETTERS)


def one(text: str | None) -> str | None:
    return normalised(pa.chunked_array([[text]], pa.string()))[0].as_py()


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("<p><b>Red</b> sofa &amp; bed<br/></p>", "Red sofa & bed"),
        ('<UL class="x"><li>one</li><li>two', "one two"),
        ("90&deg; Down &#8211; 6&#x20;ft", "90° Down – 6 ft"),
        ("&lt;b&gt;bold&lt;/b&gt; &amp;amp;", "bold &"),
        ("a <!-- hidden --> b<style>p {}</style><script src=x>alert(1)</script>c", "a b c"),
        ("5 < 6 > 4, <3, <unknown>, R&D, AT&T", "5 < 6 > 4, <3, <unknown>, R&D, AT&T"),
        ("ｆｕｌｌ ﬁt ﾃﾚﾋﾞ ½", "full fit テレビ 1⁄2"),
        ("Core™2 Duo", "Core 2 Duo"),
        ("\t a\u00a0\u3000b\r\n\x00c \u200b", "a b c"),
        ("soft\u00adware", "software"),
        ("café cafÃ©", "café cafÃ©"),  # only partly misread: no safe repair
        ("crÃ¨me brÃ»lÃ©e", "crème brûlée"),
        ("SofaÂ\u00a0bed", "Sofa bed"),
        ("donâ€™t", "don’t"),
        ("Grün, Größe, Straße", "Grün, Größe, Straße"),
        ("Úžas, MANHÃ–TARDE, PÃO", "Úžas, MANHÃ–TARDE, PÃO"),
        ("iPhone XL", "iPhone XL"),
        ("", ""),
        (None, None),
    ],
)
def test_texts_are_cleaned(dirty: str | None, clean: str | None) -> None:
    assert one(dirty) == clean


@settings(max_examples=150, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join) | st.text(max_size=30))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    clean = one(text)
    assert clean is not None
    assert one(clean) == clean
    assert clean == " ".join(clean.split(" ")).strip()
    assert unicodedata.is_normalized("NFKC", clean)


@settings(max_examples=100, deadline=None)
@given(st.text(letters, min_size=1))
def test_escaping_is_undone(text: str) -> None:
    wanted = unicodedata.normalize("NFKC", text)
    assert one("".join(f"&#{ord(c)};" for c in text)) == wanted
    assert one(f"<p>{html.escape(text)}</p>") == wanted


def test_empty_texts_are_quarantined_and_other_empty_cells_become_null() -> None:
    table = items(
        {"text": "<br>"}, {"brand": " "}, {"text": None}, {"brand": "<b>HP</b>", "text": "x\ty"}, {"brand": "HP"}
    )
    cleaned = Text(columns=["text", "title", "brand"]).apply("items", table, NONE_KNOWN)
    assert reasons(cleaned) == ["empty_text"]
    assert cleaned.kept["brand"].to_pylist() == [None, None, "HP", "HP"]
    assert cleaned.kept["text"].to_pylist() == ["item 1", None, "x y", "item 4"]
    assert cleaned.repaired == {"normalised_text": 2, "normalised_brand": 2}
    assert cleaned.merged == {}


def test_only_the_chosen_columns_and_tables_are_cleaned() -> None:
    table = items({"text": "a  b", "title": "a  b"})
    assert Text(columns=["title"]).apply("items", table, NONE_KNOWN).kept.to_pylist()[0]["text"] == "a  b"
    assert Text(columns=["item_id"]).apply("judgments", table, NONE_KNOWN).kept is table
