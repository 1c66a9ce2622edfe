"""Every pair: nothing is listed, nothing left out."""

import pyarrow as pa

from recsys.pairs import Every


def test_every_pair_needs_no_list():
    ids = pa.chunked_array([["a"]])
    assert Every().identity(corpus="c", top_k=1) == {}
    asked = Every().candidates(ids, ids, ("match",))
    assert (asked.pair_P2, asked.left_out, asked.shortlist) == (None, {}, None)
