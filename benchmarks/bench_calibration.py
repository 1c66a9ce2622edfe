"""Calibrators against the truth of the built-in shop, and beside those of scikit-learn and netcal.

    python -m benchmarks.bench_calibration [--json FILE] [--quick] [--run FOLDER ...]

1. Over fixed seeds, a scorer of a simulated shop is made over-confident, under-confident, shifted, or as if it had
   learnt from a tenth of the negatives. What is right given its score is known exactly; counted are the seeds in which
   the chosen calibrator removes at least 80 % of the mean absolute error, on queries that it has not seen. Then one
   segment alone is shifted: the segment-wise calibrators beside the one for all.
2. Log-loss on held-out queries of what is chosen, less that of each peer fitted on the same folds, with its 95 %
   interval over queries: on the shop, and on the calibrated rows of finished runs (`--run runs/<name>`). netcal takes
   part where it is installed (`pip install netcal`).
"""

import argparse
import contextlib
import io
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from benchmarks._timing import tell
from recsys import seed as seeds
from recsys.calibrator import Calibrator, Rows, Segments, folds, select
from recsys.metric.bootstrap import interval, poisson_weights
from recsys.metric.reliability import CLIP
from recsys.seed import hash_ids, uniform
from recsys.source import Shop
from recsys.store import Run
from recsys.target import OPTIONS
from tests.compose import job

NUM_FOLDS, REPLICATES = 5, 400
KEEP_RATE = 0.1


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Labelled pairs of a shop. right_N is the logit of P(positive | score), exactly; a scorer distorts it."""

    right_N: np.ndarray
    positive_N: np.ndarray
    query_ids: list[str]
    query_N: np.ndarray

    @property
    def is_user_N(self) -> np.ndarray:
        return np.array([q.startswith("u") for q in self.query_ids])[self.query_N]

    def rows(self, score_N: np.ndarray, weight_N: np.ndarray | None = None) -> Rows:
        fold_N = folds(self.query_ids, NUM_FOLDS, 1)[self.query_N]
        return Rows(
            score_N=score_N.astype(np.float32),
            positive_N=self.positive_N,
            weight_N=np.ones(len(score_N)) if weight_N is None else weight_N,
            fold_N=fold_N,
            segment={"kind": Segments.of(np.where(self.is_user_N, "user", "search"))},
        )


def scene(seed: int, num_queries: int) -> Scene:
    """Judged pairs of a shop, and a scorer that sees the logit of the truth through normal noise of deviation 1.

    Given what it sees, x, the chance of a positive is the mean of the pairs' true probabilities, each weighted by how
    likely it would show as x (Bayes' rule over the finite shop).
    """
    shop = job(
        "prepare",
        "name=x",
        f"source.seed={seed}",
        "source.num_items=600",
        f"source.num_search_queries={num_queries * 3 // 4}",
        f"source.num_users={num_queries - num_queries * 3 // 4}",
        f"source.num_judged_queries={num_queries}",
    ).source
    assert isinstance(shop, Shop)
    shop.corruption = dict.fromkeys(shop.corruption, 0.0)
    judged = pa.concat_tables(list(shop.read("judgments")))
    truth_N = shop.true_probability(judged["query_id"].to_pylist(), judged["item_id"].to_pylist(), "relevance")
    keys = [f"{q}/{i}" for q, i in zip(judged["query_id"].to_pylist(), judged["item_id"].to_pylist(), strict=True)]
    true_logit_N = logit(np.clip(truth_N, 1e-3, 1 - 1e-3))
    seen_N = true_logit_N + norm.ppf(np.clip(uniform(hash_ids(keys, seed + 100)), 1e-12, None))
    weight_NN = norm.pdf(seen_N[:, None] - true_logit_N[None])
    query_ids, query_N = np.unique(judged["query_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    return Scene(
        right_N=logit(weight_NN @ truth_N / weight_NN.sum(axis=1)),
        positive_N=judged["label"].to_numpy() >= 2,
        query_ids=[str(q) for q in query_ids],
        query_N=query_N,
    )


SCORERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "over-confident": lambda right_N: 3.0 * right_N,
    "under-confident": lambda right_N: 0.3 * right_N,
    "shifted": lambda right_N: right_N + 1.5,
    "down-sampled": lambda right_N: right_N - math.log(KEEP_RATE),
}


@cache
def candidates(*names: str) -> dict[str, Calibrator]:
    """Those of the configuration by default, and the `names` after them."""
    default = list(job("calibrate", "name=x").calibrator)
    knobs = ["calibrator.segment.by=kind"] if "segment" in names else []
    knobs += ["calibrator.multicalibration.by=[kind]"] if "multicalibration" in names else []
    return job("calibrate", "name=x", f"calibrator=[{','.join([*default, *names])}]", *knobs).calibrator


def removed(scene: Scene, score_N: np.ndarray, probability_N: np.ndarray, inside_N: np.ndarray | None = None) -> float:
    """Share of the true calibration error, mean |P(positive | score) - stated|, that calibration has removed."""
    truth_N, before_N = expit(scene.right_N), expit(score_N)
    inside_N = np.ones(len(truth_N), bool) if inside_N is None else inside_N
    before, after = (float(np.abs(p - truth_N)[inside_N].mean()) for p in (before_N, probability_N))
    return 1 - after / before


def counted(name: str, share_S: list[float]) -> list[dict[str, Any]]:
    """How often at least 80 % was removed, and the median share with its range."""
    share_S = sorted(share_S)
    return [
        {"name": f"{name}/seeds_with_80_percent_removed", "value": sum(s >= 0.8 for s in share_S), "unit": "seeds"},
        {
            "name": f"{name}/share_removed",
            "value": float(np.median(share_S)),
            "low": share_S[0],
            "high": share_S[-1],
            "unit": "share",
        },
    ]


def against_truth(scenes: list[Scene]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, distort in SCORERS.items():
        shares = []
        for one in scenes:
            score_N = distort(one.right_N)
            chosen = select(candidates(), one.rows(score_N), one.query_N)
            shares.append(removed(one, score_N, chosen.probability_N))
        rows += counted(f"truth/{name}", shares)
    rows += counted("truth/down-sampled, labels too", [_sampled(k, one) for k, one in enumerate(scenes)])
    found: dict[str, list[float]] = {"all": [], "segment": [], "multicalibration": [], "chosen": []}
    for one in scenes:
        user_N = one.is_user_N
        score_N = one.right_N + 2.0 * user_N
        rows_N = one.rows(score_N)
        options = {"all": candidates(), "chosen": candidates("segment", "multicalibration")}
        for name in ("segment", "multicalibration"):
            options[name] = {name: options["chosen"][name]}
        for name, given in options.items():
            found[name].append(removed(one, score_N, select(given, rows_N, one.query_N).probability_N, user_N))
    for name, shares in found.items():
        rows += counted(f"truth/segment shifted, {name}", shares)
    return rows


def _sampled(seed: int, one: Scene) -> float:
    """A scorer that learnt from a tenth of the negatives, calibrated on rows of which a tenth of the negatives are kept
    and told with which chance; judged on these rows, each counted by that chance."""
    kept_N = one.positive_N | (np.random.default_rng(seed).random(len(one.positive_N)) < KEEP_RATE)
    sample = Scene(
        right_N=one.right_N[kept_N],
        positive_N=one.positive_N[kept_N],
        query_ids=one.query_ids,
        query_N=one.query_N[kept_N],
    )
    weight_N = np.where(sample.positive_N, 1.0, 1 / KEEP_RATE)
    score_N = SCORERS["down-sampled"](sample.right_N)
    chosen = select(candidates(), sample.rows(score_N, weight_N), sample.query_N)
    truth_N = expit(sample.right_N)
    before, after = (np.average(np.abs(p - truth_N), weights=weight_N) for p in (expit(score_N), chosen.probability_N))
    return float(1 - after / before)


# ---- peers --------------------------------------------------------------------------------------------------------


class _Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose decision is the score it is given."""

    def __init__(self) -> None:
        self.classes_ = np.array([False, True])

    def fit(self, X, y) -> "_Given":
        return self

    def decision_function(self, X) -> np.ndarray:
        return np.asarray(X)[:, 0]

    def predict(self, X) -> np.ndarray:
        return self.decision_function(X) > 0


def scikit_learn(method: str) -> Callable[[Rows, Rows], np.ndarray]:
    def fit_and_say(rows: Rows, held: Rows) -> np.ndarray:
        model = CalibratedClassifierCV(FrozenEstimator(_Given()), method=method)
        model.fit(rows.score_N[:, None].astype(float), rows.positive_N, sample_weight=rows.weight_N)
        return model.predict_proba(held.score_N[:, None].astype(float))[:, 1]

    return fit_and_say


def netcal(kind: str, **options) -> Callable[[Rows, Rows], np.ndarray]:
    """Knows no weights: rows are repeated where these are whole numbers."""

    def fit_and_say(rows: Rows, held: Rows) -> np.ndarray:
        from netcal import binning, scaling

        model = getattr(scaling if hasattr(scaling, kind) else binning, kind)(**options)
        times_N = np.maximum(np.rint(rows.weight_N), 1).astype(int)
        inside = (1e-7, 1 - 1e-7)  # it takes probabilities, and their logits
        model.fit(
            np.clip(expit(rows.score_N.astype(float)), *inside).repeat(times_N), rows.positive_N.repeat(times_N) + 0
        )
        return np.asarray(model.transform(np.clip(expit(held.score_N.astype(float)), *inside)), float).ravel()

    return fit_and_say


PEERS = {
    "scikit-learn sigmoid": scikit_learn("sigmoid"),
    "scikit-learn isotonic": scikit_learn("isotonic"),
    "netcal logistic": netcal("LogisticCalibration"),
    "netcal temperature": netcal("TemperatureScaling"),
    "netcal beta": netcal("BetaCalibration"),
    "netcal isotonic": netcal("IsotonicRegression"),
    "netcal histogram": netcal("HistogramBinning", bins=15),
    "netcal BBQ": netcal("BBQ"),
}


def against_peers(
    name: str, ours: dict[str, np.ndarray], rows: Rows, query_ids: list[str], query_N: np.ndarray
) -> list[dict[str, Any]]:
    """Log-loss of each of our held-out probabilities, and its difference to each peer, fitted on the same folds."""
    weight_QR = poisson_weights(query_ids, REPLICATES, 1)
    weight_Q = np.bincount(query_N, weights=rows.weight_N, minlength=len(query_ids))
    loss = {label: _loss(probability_N, rows) for label, probability_N in ours.items()}
    made = [{"name": f"{name}/log_loss of {m}", "value": _mean(n, rows), "unit": "nats"} for m, n in loss.items()]
    for peer, fit_and_say in PEERS.items():
        if peer.startswith("netcal") and find_spec("netcal") is None:
            continue  # it is no dependency of the project
        probability_N = np.empty(len(rows))
        for fold in np.unique(rows.fold_N):
            held_N = rows.fold_N == fold
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # of their progress
                warnings.simplefilter("ignore")
                probability_N[held_N] = fit_and_say(rows.take(~held_N), rows.take(held_N))
        for label, loss_N in loss.items():
            excess_N = (loss_N - _loss(probability_N, rows)) * rows.weight_N
            total_Q = np.bincount(query_N, weights=excess_N, minlength=len(query_ids))
            value_R = (total_Q @ weight_QR) / (weight_Q @ weight_QR)
            value, low, high = interval(value_R, 0.95, num_queries=len(query_ids), scale="linear")
            ends = {"value": value, "low": low, "high": high, "unit": "nats"}
            made.append({"name": f"{name}/{label} less {peer}"} | ends)
    return made


def chosen_anew(rows: Rows, query_N: np.ndarray) -> np.ndarray:
    """probability_N of a calibrator that was chosen, too, without the fold of the row."""
    probability_N = np.empty(len(rows))
    for fold in np.unique(rows.fold_N):
        held_N = rows.fold_N == fold
        held = rows.take(held_N)
        fitted = select(candidates(), rows.take(~held_N), query_N[~held_N]).fitted
        probability_N[held_N] = fitted.predict(held.score_N, held.segment)
    return probability_N


def _loss(probability_N: np.ndarray, rows: Rows) -> np.ndarray:
    clipped_N = np.clip(probability_N, CLIP, 1 - CLIP)
    return -np.log(np.where(rows.positive_N, clipped_N, 1 - clipped_N))


def _mean(loss_N: np.ndarray, rows: Rows) -> float:
    return float(np.average(loss_N, weights=rows.weight_N))


def of_run(folder: Path) -> list[dict[str, Any]]:
    """The peers on the folds of a finished run, one comparison per target: beside the probabilities that it holds out,
    and beside those of a default calibrator that was chosen without the fold as well. Train queries of a model that
    learnt are left out."""
    made: list[dict[str, Any]] = []
    run = Run.at(str(folder))
    manifest = run.manifest("calibration")
    table = run.folder("calibration").read_table("calibrated.parquet")
    if run.manifest("scores")["learned"]:
        table = table.filter(pc.not_equal(table["split"], "train"))
    config = manifest["config"]
    seed = seeds.seed(config["seed"], "calibration", "folds")
    for target, told in manifest["calibration"].items():
        name = f"{run.name}, {target}"
        mine = table.filter(pc.equal(table["target"], target))
        query_ids, query_N = np.unique(mine["query_id"].to_numpy(zero_copy_only=False), return_inverse=True)
        names = [str(q) for q in query_ids]
        noun = OPTIONS[target](**{k: v for k, v in config["target"][target].items() if k != "type"})
        rows = Rows(
            score_N=mine["score"].to_numpy(),
            positive_N=noun.positive(mine["label"].to_numpy()),
            weight_N=mine["weight"].to_numpy(),
            fold_N=folds(names, config["num_folds"], seed)[query_N],
            segment={},
        )
        counts = {"queries": len(names), "rows": len(rows), "positives": int(rows.positive_N.sum())}
        made += [{"name": f"{name}/{kind}", "value": number, "unit": kind} for kind, number in counts.items()]
        ours = {told["chosen"]: mine["probability"].to_numpy(), "chosen anew": chosen_anew(rows, query_N)}
        made += against_peers(name, ours, rows, names, query_N)
    return made


def main() -> None:
    """Prints a table and, where asked, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer queries a shop, still 20 seeds")
    parser.add_argument("--run", type=Path, nargs="*", default=[], help="folders of finished runs")
    arguments = parser.parse_args()
    scenes = [scene(seed, 160 if arguments.quick else 400) for seed in range(20)]
    rows: list[dict[str, Any]] = []
    for block in _blocks(scenes, arguments.run):
        tell(block, None)
        rows += block
    if arguments.json:
        with contextlib.redirect_stdout(io.StringIO()):  # told already
            tell(rows, arguments.json)


def _blocks(scenes: list[Scene], runs: list[Path]) -> Iterator[list[dict[str, Any]]]:
    yield against_truth(scenes)
    one = scenes[0]
    for name, distort in SCORERS.items():
        rows = one.rows(distort(one.right_N))
        chosen = select(candidates(), rows, one.query_N)
        ours = {chosen.chosen: chosen.probability_N}
        yield against_peers(f"shop, {name}", ours, rows, one.query_ids, one.query_N)
    for folder in runs:
        yield of_run(folder)


if __name__ == "__main__":
    main()
