"""Cleaning: raw tables in, clean tables and counted reasons out."""

from recsys.clean._clean import clean
from recsys.clean._cleaner import Cleaned, Cleaner, Known
from recsys.clean.duplicates import Duplicates
from recsys.clean.references import References
from recsys.clean.schema import Schema, label_outside_range
from recsys.clean.text import Text

OPTIONS = {"duplicates": Duplicates, "references": References, "schema": Schema, "text": Text}

__all__ = [
    "OPTIONS",
    "Cleaned",
    "Cleaner",
    "Duplicates",
    "Known",
    "References",
    "Schema",
    "Text",
    "clean",
    "label_outside_range",
]
