"""All cases of parity of the metrics."""

from benchmarks import _parity_decision, _parity_exposure, _parity_fairness, _parity_probability, _parity_ranking

CASES = [
    *_parity_ranking.CASES,
    *_parity_probability.CASES,
    *_parity_decision.CASES,
    *_parity_exposure.CASES,
    *_parity_fairness.CASES,
]
