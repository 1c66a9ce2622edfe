"""scores/ when the source brings its own: the given scores are frozen as they are, nothing is computed."""

from typing import Any

import pyarrow as pa

from recsys.report._evaluation import GIVEN
from recsys.stage._corpus import Corpus
from recsys.stage._job import Job
from recsys.store import Folder, Plan
from recsys.tables import RANKS, TOP, scores_schema

OUTPUT = "match"


def given_plan(inputs: dict[str, str]) -> Plan:
    """Depends on the corpus alone, which holds the scores."""
    return Plan(stage="scores", version=2, config={"given": True}, inputs=inputs)


def take_given(job: Job, folder: Folder) -> dict[str, Any]:
    """Writes scores/labelled/ from the score column of the corpus labels; there are no tiles."""
    corpus = Corpus(job.run.folder("corpus"), job.run.manifest("corpus"))
    labels = corpus.table("labels", ["query_id", "item_id", "score"])
    pairs = labels.group_by(["query_id", "item_id"], use_threads=False).aggregate([("score", "first")])
    pairs = pairs.sort_by([("query_id", "ascending"), ("item_id", "ascending")])
    schema = scores_schema((OUTPUT,))
    columns = [pairs["query_id"], pairs["item_id"], pairs["score_first"].cast(pa.float32())]
    part = folder.join("labelled").write_table("part-000000000.parquet", pa.table(columns, schema=schema))
    parts = [
        folder.write_table("ranks.parquet", RANKS.schema.empty_table()),
        folder.write_table("top.parquet", TOP.schema.empty_table()),
    ]
    return {
        "rows": {"pairs": 0, "kept": 0, "labelled": pairs.num_rows},
        "outputs": [OUTPUT],
        "device": "none",
        "learned": False,
        "model": GIVEN,
        "parts": {"": parts, "labelled": [part], "tiles": []},
    }
