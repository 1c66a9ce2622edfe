"""What every network and its scorer must do, whatever the model: each is called by the model's own tests."""

from pathlib import Path

import numpy as np

from recsys.model import Supervised
from recsys.model._network import Network
from tests.model import tiny


def check_a_tile_does_not_depend_on_what_was_scored_before(model: Supervised, folder: Path) -> None:
    """The same bits from a fresh scorer and from one that has scored other texts."""
    tile = tiny.queries().slice(1, 4), tiny.items().slice(3, 11)
    first, second = model.load(folder, "cpu"), model.load(folder, "cpu")
    second.score(second.encode_queries(tiny.queries()), second.encode_items(tiny.items()))
    scores = [s.score(s.encode_queries(tile[0]), s.encode_items(tile[1])) for s in (first, second)]
    np.testing.assert_array_equal(scores[0], scores[1])


def check_training_computes_what_the_scorer_does(model: Supervised, network: Network, folder: Path) -> None:
    """Every weight that is trained takes part, and the saved network scores what it computed in training."""
    query_texts, item_texts = tiny.queries()["text"].to_pylist(), tiny.items()["text"].to_pylist()[:7]
    logit_BT = network(**network.collate(query_texts, item_texts))
    assert logit_BT.shape == (7, 2)
    logit_BT.sum().backward()
    assert [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None] == []
    network.save(folder)
    scorer = model.load(folder, "cpu")
    score_TQI = scorer.score(scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.items()))
    np.testing.assert_allclose(logit_BT.detach().numpy(), score_TQI[:, range(7), range(7)].T, atol=1e-4)


def check_no_pairs_have_no_scores(model: Supervised, folder: Path) -> None:
    scorer = model.load(folder, "cpu")
    encoded = scorer.encode_queries(tiny.queries()), scorer.encode_items(tiny.items())
    assert scorer.score_pairs(*encoded, np.zeros((0, 2), np.int64)).shape == (2, 0)
