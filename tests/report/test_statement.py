"""What is said of several slices, and of metrics that few queries carry."""

import numpy as np
import pytest
from scipy.stats import norm

from recsys.metric.bootstrap import interval, poisson_weights
from recsys.report._measure import measures
from recsys.report._rows import Part
from recsys.report._statement import together
from tests.metric import samples


def test_slices_that_say_nothing_stay_out_of_what_is_said_of_all():
    """Of three locales of 40 queries, one has few positives, one a single one that stands badly, one has none."""
    rng = np.random.default_rng(3)
    query_N = np.repeat(np.arange(120), 10)
    score_N, slice_N = rng.normal(size=1200).astype(np.float32), query_N // 40
    positive_N = (slice_N == 0) & (rng.random(1200) < 0.1)
    positive_N[np.flatnonzero(slice_N == 1)[np.argsort(score_N[slice_N == 1])[5]]] = True
    sample = samples.make(query_N.tolist(), score_N.tolist(), positive_N.tolist())
    parts = [Part(sample.select(slice_N == s)) for s in range(3)]
    auc = next(m for m in measures(10, "gain") if m.name == "auc")
    assert [part.num_queries[auc.needs] for part in parts][1:] == [1, 0]
    weight_QR = poisson_weights([f"q{q}" for q in range(120)], 100, 1)
    value_SR = np.stack([auc.metric(part.sample, weight_QR) for part in parts])
    ends = {"min_queries": 20, "num_queries": 40}
    names = ["some", "one", "none"]
    counted = [part.num_queries[auc.needs] for part in parts]
    assert together(auc, names, value_SR, counted, **ends) == []
    value_SR[2] = value_SR[0] + 0.1  # a slice with a standard error; the one between has none, whatever it counts
    worst = next(t for t in together(auc, names, value_SR, [40, 40, 40], **ends) if t.measure.name == "worst auc")
    assert worst.where == 0


@pytest.mark.parametrize(("carriers", "least"), [(3, 0.9), (5, 0.9)])
def test_auc_rests_on_the_queries_with_positives(carriers, least):
    """200 queries, positives in a few, all of one query about equally well found."""
    rng, held, trials = np.random.default_rng(carriers), 0, 30
    auc, query_N = next(m for m in measures(10, "gain") if m.name == "auc"), np.repeat(np.arange(200), 10)
    positive_N = (query_N < carriers) & (np.arange(2000) % 10 < 3)
    truth = norm.cdf(0.7 / 3**0.5)
    for trial in range(trials):
        score_N = rng.normal(size=2000) + positive_N * np.repeat(rng.normal(0.7, 1.0, 200), 10)
        sample = samples.make(query_N.tolist(), score_N.tolist(), positive_N.tolist())
        value_R = auc.metric(sample, poisson_weights([f"q{q}" for q in range(200)], 100, trial))
        num = Part(sample).num_queries[auc.needs]
        assert num == carriers
        _, low, high = interval(value_R, 0.95, num_queries=num, scale=auc.scale)
        held += not low > truth and not high < truth  # where it is not known, it is not wrong
    assert held / trials >= least
