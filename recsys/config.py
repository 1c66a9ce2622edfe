"""The only rooms that know Hydra are this one and ray_jobs/: dataclasses in, one plain job object out.

`register` makes every dataclass a schema for its YAML file; `run` composes, checks, turns user errors into one line.
"""

import difflib
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys import calibrator, clean, model, objective, pairs, report, source, split, target, teacher
from recsys.stage.calibrate import CalibrateJob
from recsys.stage.evaluate import EvaluateJob
from recsys.stage.pipeline import PipelineJob
from recsys.stage.prepare import PrepareJob
from recsys.stage.report import ReportJob
from recsys.stage.score import DryRun, ScoreJob
from recsys.stage.train import Training, TrainJob

JOBS = {
    "prepare": PrepareJob,
    "train": TrainJob,
    "score": ScoreJob,
    "calibrate": CalibrateJob,
    "report": ReportJob,
    "evaluate": EvaluateJob,
    "pipeline": PipelineJob,
}
ONE_OF = {  # exactly one option is chosen
    "source": source.OPTIONS,
    "split": split.OPTIONS,
    "model": model.OPTIONS,
    "objective": objective.OPTIONS,
    "teacher": teacher.OPTIONS,
    "pairs": pairs.OPTIONS,
}
SOME_OF = {  # a list of options is chosen; they form a dict by name
    "clean": clean.OPTIONS,
    "target": target.OPTIONS,
    "calibrator": calibrator.OPTIONS,
    "report": report.OPTIONS,
}
MENDABLE = (HydraException, OmegaConfBaseException, ValueError, FloatingPointError, OSError)  # by the user
CONF = str(Path(__file__).parents[1] / "conf")
log = logging.getLogger("recsys")


def register() -> None:
    """Makes every option and every job known to Hydra as `_<name>`, the schema its YAML file starts from."""
    store = ConfigStore.instance()
    for group, options in ONE_OF.items():
        for name, option in options.items():
            store.store(group=group, name=f"_{name}", node=option, package=group)
    for group, options in SOME_OF.items():
        for name, option in options.items():
            store.store(group=group, name=f"_{name}", node=option, package=f"{group}.{name}")
    store.store(group="training", name="_training", node=Training, package="training")
    for verb, job in JOBS.items():
        store.store(name=f"_{verb}", node=job)


def to_job(config: DictConfig) -> Any:
    """The plain job object of a composed configuration. Raises ValueError naming the key that is wrong or missing."""
    return OmegaConf.to_object(config)


def run(verb: str, work: Callable[[Any], Any]) -> None:
    """The main function of a job: composes the configuration of `verb` from the command line and does the work.

    What the user can mend ends in one line on standard error and exit status 2.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come here instead of being printed by Hydra
    register()

    @hydra.main(version_base="1.3", config_path=CONF, config_name=verb)
    def main(config: DictConfig) -> None:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
        for name in ("ray", "httpx", "httpcore", "transformers", "fsspec"):
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            work(to_job(config))
        except DryRun:
            return
        except MENDABLE as error:  # here, since Hydra would print a line of its own, and a sweep would end
            sys.stderr.write(f"error: {one_line(error)}\n")
            failed.append(error)

    failed: list[BaseException] = []
    try:
        main()
        sys.exit(2 if failed else 0)
    except MENDABLE as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on where this one ended\n")
        sys.exit(130)


def one_line(error: BaseException) -> str:
    """The error as one line: what is wrong, and where Hydra knows it, which options there are."""
    text = "\n".join(str(e) for e in (error, error.__cause__) if e is not None)
    if match := re.search(r"Could not (?:find|load) '(\w+)/([^']*)'", text):
        group, name = match.groups()
        options = sorted((ONE_OF | SOME_OF).get(group, {}))
        return f"{group}={name} is unknown{_close(name, options)}; options: {', '.join(options)}"
    full = re.search(r"full_key: (\S+)", text)
    if re.search(r"Key '[^']*' (is not in struct|not in )", text) and full:
        return f"{full.group(1)} is no known setting; `--cfg job` lists all (a new key of a mapping is added with +)"
    if match := re.search(r"(Value .* could not be converted to \w+)", text):
        return f"{full.group(1) if full else 'a setting'}: {match.group(1)}"
    if "issing mandatory value" in text and full:
        return f"{full.group(1)} has no value; give {full.group(1)}=…"
    cause = error.__cause__ if isinstance(error, HydraException) and isinstance(error.__cause__, Exception) else None
    lines = [line.strip() for e in (error, cause) if e for line in str(e).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("reference_type=", "object_type=", "full_key:"))]
    return "; ".join(kept) or type(error).__name__


def _close(name: str, options: list[str]) -> str:
    close = difflib.get_close_matches(name, options, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
