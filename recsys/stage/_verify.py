"""Finished scores read again and compared with their manifest: what is damaged or missing is scored anew."""

import hashlib
import logging
import posixpath
from typing import Any

from recsys.part import read_part
from recsys.stage._begun import PLAN, Begun
from recsys.stage._job import Job
from recsys.stage._progress import Progress
from recsys.store import MANIFEST, STARTED, Folder, Plan

log = logging.getLogger("recsys")


def reopen_if_damaged(job: Job, plan: Plan) -> None:
    """Makes finished scores unfinished again if a file is damaged, missing or strange to their manifest.

    They then lack only these files. ValueError where the scores are another run's, which has to mend them itself.
    """
    folder = job.run.folder("scores")
    if not folder.exists(MANIFEST) or (manifest := folder.read_json(MANIFEST))["fingerprint"] != plan.fingerprint:
        return
    wrong = _wrong(folder, manifest["parts"])
    if not wrong:
        return
    owner = posixpath.basename(posixpath.dirname(folder.path))
    if owner != job.name:
        raise ValueError(
            f"run '{owner}', whose scores '{job.name}' takes over, has {len(wrong)} damaged or missing files, such as "
            f"{folder.path}/{wrong[0]}; give it the same command: name={owner} verify=true"
        )
    if Begun.read(folder, plan.fingerprint) is None:
        raise ValueError(
            f"{folder.path} has {len(wrong)} damaged or missing files, such as {wrong[0]}, and without its own {PLAN} "
            "none of its tiles can be made again; delete that folder and score again"
        )
    folder.write_json(STARTED, plan.content | {"fingerprint": plan.fingerprint})
    folder.remove(MANIFEST)  # first, so that a kill between leaves an unfinished stage and never a wrong one
    for name in wrong:
        log.info("%-11s %s/%s is damaged or missing: it is made again", "verify", folder.path, name)
        if folder.exists(name):
            folder.remove(name)


def _wrong(folder: Folder, parts: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Paths below the folder of files that are not what the manifest says."""
    checksum = {
        f"{sub}/{part['name']}.parquet": part["checksum"] for sub in ("labelled", "tiles") for part in parts[sub]
    }
    there = {f"{sub}/{name}" for sub in ("labelled", "tiles") for name in folder.join(sub).names()}
    wrong = sorted(there - checksum.keys())
    progress = Progress("verify", "files", len(checksum) + len(parts[""]))
    for path, expected in checksum.items():
        sub, name = path.split("/")
        part = read_part(folder.join(sub), name)
        if part is None or part[0]["checksum"] != expected:
            wrong.append(path)
        progress.step(1)
    for part in parts[""]:
        if not folder.exists(part["name"]) or hashlib.sha256(folder.read(part["name"])).hexdigest() != part["sha256"]:
            wrong.append(part["name"])
        progress.step(1)
    return wrong if folder.exists(PLAN) else [*wrong, PLAN]
