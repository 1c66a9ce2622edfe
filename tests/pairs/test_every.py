"""Every pair: nothing is listed, nothing left out."""

import pyarrow as pa

from recsys.pairs import Every


def test_every_pair_needs_no_list():
    ids = pa.chunked_array([["a"]])
    assert Every().identity() == {}
    assert Every().candidates(ids, ids) == (None, {})
