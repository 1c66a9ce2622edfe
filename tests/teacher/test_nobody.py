"""Nobody teaches nothing."""

import pyarrow as pa

from recsys.teacher import Nobody


def test_nobody_teaches_nothing():
    assert Nobody().identity("any") == {}
    assert Nobody().lessons(pa.table({}), pa.table({}), ("relevance",), 0) is None
