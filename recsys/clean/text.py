"""Texts as people read them."""

import html
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recsys.clean._cleaner import Cleaned, Cleaner, Known, quarantine

READ = ("items", "queries")  # tables whose `text` a model reads
TAGS = (
    "a|abbr|article|b|big|blockquote|body|br|button|center|cite|code|col|dd|del|div|dl|dt|em|figure|font|footer|form|"
    "h[1-6]|head|header|hr|html|i|iframe|img|input|ins|label|li|link|mark|meta|nav|ol|option|p|pre|q|s|script|section|"
    "select|small|span|strike|strong|style|sub|sup|table|tbody|td|tfoot|th|thead|title|tr|tt|u|ul|video"
)
HIDDEN = r"(?is)<!--.*?-->|<script\b[^>]*>.*?</script\s*>|<style\b[^>]*>.*?</style\s*>"
TAG = rf"(?i)</?(?:{TAGS})(?:\s[^<>]*)?/?>"
TRADEMARK = "[™℠]"  # NFKC would glue 'TM' and 'SM' to the word before them
INVISIBLE = r"[\x{00AD}\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}\x{2066}-\x{2069}\x{FEFF}\x{FFFD}]"
BLANK = r"[\p{Z}\p{Cc}]+"
# UTF-8 of Latin letters and quotes, read as Latin-1 or Windows-1252; not what may follow a word in Portuguese capitals
MISREAD = r"[ÂÃ][\x{80}-\x{BF}€‚ƒ„†‡ˆ‰Š‹ŒŽ‘“•˜š›œžŸ]|â€"


@dataclass
class Text(Cleaner):
    """NFKC (Unicode Standard Annex 15), HTML entities and tags resolved, UTF-8 that was misread repaired, control and
    invisible characters dropped, white space collapsed. Letter case stays. Cleaning twice changes nothing.

    Rows changed count as repaired. A query or item whose text is empty then is quarantined as 'empty_text'; another
    column that is empty then becomes null.
    """

    columns: list[str]  # those of items and queries that are cleaned, where they exist

    def apply(self, name: str, table: pa.Table, known: Known) -> Cleaned:
        if name not in READ:
            return Cleaned(kept=table)
        repaired: dict[str, int] = {}
        for column in (c for c in self.columns if c in table.column_names):
            before = table[column]
            after = normalised(before)
            if column != "text":
                after = pc.if_else(pc.equal(after, ""), pa.scalar(None, pa.string()), after)
            changed = pc.not_equal(pc.fill_null(after, ""), pc.fill_null(before, ""))
            if num_changed := pc.sum(changed).as_py():
                repaired[f"normalised_{column}"] = num_changed
            table = table.set_column(table.column_names.index(column), table.schema.field(column), after)
        empty = pc.fill_null(pc.equal(table["text"], ""), False)
        return Cleaned(**vars(quarantine(table, {"empty_text": empty})) | {"repaired": repaired})


def normalised(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each text cleaned until nothing changes any more (an entity may hide a tag, a tag an entity); null stays null."""
    after = _once(texts)
    while True:
        again = _once(after)
        if again.equals(after):
            return after
        after = again


def _once(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = _where(texts, MISREAD, _reread)
    texts = pc.utf8_normalize(pc.replace_substring_regex(texts, TRADEMARK, " "), "NFKC")
    texts = pc.replace_substring_regex(pc.replace_substring_regex(texts, HIDDEN, " "), TAG, " ")
    texts = _where(texts, "&[#a-zA-Z]", html.unescape)
    texts = pc.replace_substring_regex(texts, INVISIBLE, "")
    return pc.utf8_trim(pc.replace_substring_regex(texts, BLANK, " "), " ")


def _where(texts: pa.ChunkedArray, pattern: str, change) -> pa.ChunkedArray:
    """Applies a Python function to the texts that hold a pattern."""
    mask = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    if not pc.any(mask).as_py():
        return texts
    changed = pa.array([change(t) for t in texts.filter(mask).to_pylist()], pa.string())
    return pa.chunked_array([pc.replace_with_mask(texts.combine_chunks(), mask.combine_chunks(), changed)])


def _reread(text: str) -> str:
    """The text decoded as UTF-8, if all of it can be; else as it is."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return text
