"""Complete reports of four real data sets, and what their calibrators hold out beside scikit-learn's and netcal's.

    python -m benchmarks.real_reports --data FOLDER --pretrained FOLDER [--work FOLDER] [--json FILE] [--only SET ...]

FOLDER of --data holds chorus_icecat, esci_sample, womens_reviews and uci_online_shoppers; of --pretrained: a Hugging
Face encoder such as all-MiniLM-L6-v2. The first two sets are scored by models of this project, fine-tuned from it; the
others come with the scores of a simple model, out of fold. Each run is a folder in that of --work: given again, the
same command goes on where it ended. Needs scikit-learn; netcal takes part where it is installed.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
from sklearn.base import BaseEstimator
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from benchmarks._timing import tell
from benchmarks.bench_calibration import of_run

FOLDS = 5
REPORTS = "report=[balanced,reliability,fairness]"
NUMBERS = ("Administrative", "Informational", "ProductRelated")  # pages of each kind, and the time spent on them
KINDS = ("Month", "OperatingSystems", "Browser", "Region", "TrafficType", "VisitorType", "Weekend")
AGES = {29: "18 to 29", 39: "30 to 39", 49: "40 to 49", 59: "50 to 59"}  # last year of each group


def online_shoppers(raw: pa.Table) -> pa.Table:
    """One row per session: whether it bought, and the logit that a logistic regression on its visit gives it.

    PageValues is left out: it is computed from the purchase. Sessions that look the same share a fold.
    """
    visits = [_visit(row) for row in raw.to_pylist()]
    model = make_pipeline(DictVectorizer(), MaxAbsScaler(), LogisticRegression(max_iter=1000))
    bought = raw["Revenue"].to_numpy()
    alike = np.unique([repr(visit) for visit in visits], return_inverse=True)[1]
    return pa.table(
        {
            "session": [f"session {n}" for n in range(raw.num_rows)],
            "visit": [_told(row) for row in raw.to_pylist()],
            "item": pa.repeat(pa.scalar("the shop"), raw.num_rows),
            "bought": bought.astype(float),
            "logit": out_of_fold(model, np.array(visits), bought, alike),
            "month": raw["Month"],
            "visitor": _words(raw["VisitorType"]),
            "day": pc.if_else(raw["Weekend"], "weekend", "working day"),
            "region": pc.binary_join_element_wise("region", raw["Region"].cast(pa.string()), " "),
        }
    )


def _visit(row: dict[str, Any]) -> dict[str, float | str]:
    """The features of a session; unknown and impossible numbers (-1 seconds) count as 0."""
    known: dict[str, float | str] = {kind: str(row[kind]) for kind in KINDS}
    for name in NUMBERS:
        known[name] = np.log1p(max(row[name] or 0, 0))
        known[f"{name} s"] = np.log1p(max(row[f"{name}_Duration"] or 0, 0))
    return known | {name: row[name] or 0 for name in ("BounceRates", "ExitRates", "SpecialDay")}


def _told(row: dict[str, Any]) -> str:
    pages = row["ProductRelated"] or 0
    who = row["VisitorType"].replace("_", " ").lower()
    return f"{who} in {row['Month']}, {pages} product page{'' if pages == 1 else 's'}"


def womens_reviews(raw: pa.Table) -> pa.Table:
    """One row per review: whether it recommends its garment, and the logit that a logistic regression on its words
    gives it, which learnt from reviews of other garments."""
    texts = pc.utf8_ltrim(pc.binary_join_element_wise(raw["Title"], raw["Review Text"], ": "), ": ")
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=3), LogisticRegression(max_iter=1000))
    recommended, garment = raw["Recommended IND"].to_numpy(), raw["Clothing ID"]
    group = np.searchsorted(list(AGES), raw["Age"].to_numpy())
    known = pc.if_else(pc.equal(raw["Class Name"], ""), "unknown", raw["Class Name"])
    return pa.table(
        {
            "garment": pc.binary_join_element_wise("garment", garment.cast(pa.string()), " "),
            "review": [f"review {n}" for n in raw.column(0).to_pylist()],
            "text": texts,
            "recommended": recommended.astype(float),
            "logit": out_of_fold(model, texts.to_numpy(), recommended, garment.to_numpy()),
            "age": np.array([*AGES.values(), "60 and more"])[group],
            "class": known,
            "department": pc.if_else(pc.equal(raw["Department Name"], ""), "unknown", raw["Department Name"]),
        }
    )


def out_of_fold(model: BaseEstimator, feature_N: np.ndarray, label_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """logit_N, each row's by a model that learnt from other groups."""
    folds = GroupKFold(FOLDS)
    said_N = cross_val_predict(model, feature_N, label_N, groups=group_N, cv=folds, method="decision_function")
    return np.asarray(said_N)


def _words(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_lower(pc.replace_substring(texts, "_", " "))


def read(data: Path, name: str) -> pa.Table:
    """The raw table of a set that comes without scores."""
    file = next(f for f in sorted((data / name).iterdir()) if ".csv" in f.suffixes)
    return csv.read_csv(file, parse_options=csv.ParseOptions(newlines_in_values=True))


SCORED: dict[str, tuple[Callable[[pa.Table], pa.Table], tuple[str, ...]]] = {
    "womens_reviews": (
        womens_reviews,
        ("query=garment", "item=review", "item_text=text", "label=recommended", "score=logit"),
    ),
    "uci_online_shoppers": (
        online_shoppers,
        ("query=session", "query_text=visit", "item=item", "label=bought", "score=logit", "target=purchase"),
    ),
}
SETS = ("chorus_icecat", "esci_sample", *SCORED)


def overrides(name: str, data: Path, work: Path, pretrained: str) -> list[str]:
    """Of the pipeline that makes a set's report: its run has the set's name."""
    own = [f"store.root={work}", f"name={name}", REPORTS]
    if name in SCORED:
        given = [f"source.{override}" for override in SCORED[name][1]]
        scale = ["target.relevance.max_label=1", "target.relevance.positive_label=1"]
        return [*own, "source=scored", f"source.path={work / name}.parquet", *given, *scale]
    own += [f"source.path={data / name}", "source.fields=[title]", "model=two_tower", f"model.pretrained={pretrained}"]
    own += ["training=finetune", "training.epochs=1", "training.threads=1"]
    if name == "chorus_icecat":
        return [*own, "source=chorus"]
    return [*own, "source=esci", "target.relevance.positive_label=3"]  # an exact match


def main() -> None:
    """Prints a table and, where asked, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pretrained", required=True)
    parser.add_argument("--work", type=Path, default=Path("runs"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", choices=SETS, default=SETS)
    given = parser.parse_args()
    data, work = given.data.resolve(), given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name in given.only:
        scores = work / f"{name}.parquet"
        if name in SCORED and not scores.exists():
            pq.write_table(SCORED[name][0](read(data, name)), scores)
        command = [sys.executable, "-m", "ray_jobs.pipeline", *overrides(name, data, work, given.pretrained)]
        subprocess.run(command, check=True)
        rows += of_run(work / name)
    tell(rows, given.json)


if __name__ == "__main__":
    main()
