"""calibration/ + scores/ -> calibrated/: every score that was kept, with its probabilities, part by part."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.calibrator import Fitted, Segments, from_json
from recsys.stage._corpus import Corpus
from recsys.stage._job import Job, perform
from recsys.stage._segments import SegmentColumns
from recsys.store import Folder, Plan

log = logging.getLogger("recsys")


@dataclass(frozen=True, kw_only=True)
class Map:
    """What makes a target's probability of the scores of one output."""

    output: str
    fitted: Fitted


def with_probabilities(
    target: str, fitted: Fitted, score_N: np.ndarray, segment: Mapping[str, Segments]
) -> dict[str, np.ndarray]:
    """Column -> probability_N, and the ends of its interval where the map has one."""
    made = {f"probability_{target}": fitted.predict(score_N, segment)}
    if fitted.gives_interval:
        low_N, high_N = fitted.interval(score_N, segment)
        made |= {f"probability_{target}_low": low_N, f"probability_{target}_high": high_N}
    return made


def materialise(job: Job, calibration: dict[str, Any]) -> dict[str, Any]:
    """Writes calibrated/ of a calibrated run; what an interrupted attempt wrote stays."""
    inputs = job.inputs("scores") | {"calibration": calibration["fingerprint"]}
    plan = Plan(stage="calibrated", version=1, config={}, inputs=inputs)
    return perform(job, plan, lambda folder: _materialise(job, calibration["calibration"], folder))


def _materialise(job: Job, calibration: dict[str, Any], folder: Folder) -> dict[str, Any]:
    """One part for each of scores/tiles, or of scores/labelled where no tile kept a score; one in memory at a time."""
    scores, read = job.run.folder("scores"), job.run.folder("calibration")
    maps = {
        name: Map(output=told["output"], fitted=from_json(read.read_json(f"{name}.json")["calibrator"]))
        for name, told in calibration.items()
    }
    names = [column for mapped in maps.values() for column in mapped.fitted.segments]
    columns = SegmentColumns(Corpus(job.run.folder("corpus"), job.run.manifest("corpus")), names)
    kept = job.run.manifest("scores")["rows"]["kept"] > 0
    source = scores.join("tiles" if kept else "labelled")
    target, parts = folder.join(source.path.rsplit("/", 1)[-1]), []
    for name in (n for n in source.names() if n.endswith(".parquet")):
        if target.exists(name):
            parts.append({"name": name, "rows": target.read_table(name, ["query_id"]).num_rows})
            continue
        table = source.read_table(name).replace_schema_metadata(None)
        segment = columns.of(table)
        for column, mapped in maps.items():
            score_N = table[f"score_{mapped.output}"].to_numpy().astype(np.float32)
            for key, value_N in with_probabilities(column, mapped.fitted, score_N, segment).items():
                table = table.append_column(key, pa.array(value_N))
        parts.append({k: v for k, v in target.write_table(name, table).items() if k in ("name", "rows")})
    num_rows = sum(part["rows"] for part in parts)
    log.info("calibrated  %s scores with probabilities of %s", f"{num_rows:,}", ", ".join(maps))
    return {"rows": {"pairs": num_rows}, "parts": {"tiles" if kept else "labelled": parts}}
