"""Sources: raw data of any shape becomes the four raw tables."""

from recsys.source._source import Source
from recsys.source.chorus import Chorus
from recsys.source.delimited import Delimited
from recsys.source.esci import Esci
from recsys.source.openbandit import Openbandit
from recsys.source.parquet import Parquet
from recsys.source.scored import Scored
from recsys.source.shop import Shop
from recsys.source.wands import Wands

OPTIONS = {
    "chorus": Chorus,
    "delimited": Delimited,
    "esci": Esci,
    "openbandit": Openbandit,
    "parquet": Parquet,
    "scored": Scored,
    "shop": Shop,
    "wands": Wands,
}

__all__ = ["OPTIONS", "Chorus", "Delimited", "Esci", "Openbandit", "Parquet", "Scored", "Shop", "Source", "Wands"]
