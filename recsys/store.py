"""Folders of a run: atomic files, fingerprints, manifests, and taking over what another run already made.

A run is one folder `<root>/<name>` with one folder per stage. A stage folder is closed by `_MANIFEST.json`; without it
the folder is unfinished. Only what is deterministic goes into files that count; timings go to `_RUN.json`.
"""

import atexit
import hashlib
import io
import json
import os
import posixpath
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

SCHEMA_VERSION = 1
MANIFEST, STARTED, REUSED, RUN = "_MANIFEST.json", "_STARTED.json", "_REUSED.json", "_RUN.json"
TEMPORARY = ".tmp-"
PROGRESS = ("labelled", "tiles", "_train", "states")  # folders of a stage from which it resumes


def located(uri: str) -> str:
    """A URI as it is; a local path made absolute, since workers may stand in another folder."""
    return uri if "://" in uri else os.path.abspath(os.path.expanduser(uri))


def open_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The filesystem and path of a local path or any URI that pyarrow or fsspec opens."""
    if "://" not in uri:
        return pafs.LocalFileSystem(), located(uri)
    try:
        return pafs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise ValueError(f"cannot open '{uri}': {error}; give a path or a URI such as s3://bucket/folder") from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem)), path


def canonical_json(value: Any) -> str:
    """The one text of a JSON value: sorted keys, no NaN."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)


def describe(value: Any) -> Any:
    """A plain JSON description of configured objects: dataclasses become {'type': class, field: value}.

    Fields that a class names in `not_semantic` change no result, and are left out.
    """
    if is_dataclass(value) and not isinstance(value, type):
        left_out = getattr(value, "not_semantic", ())
        named = {f.name: describe(getattr(value, f.name)) for f in fields(value) if f.name not in left_out}
        return {"type": type(value).__name__} | named
    if isinstance(value, dict):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [describe(v) for v in value]
    return value


def stem(value: Any) -> str:
    """The name of an option: its class in snake case, as in the file it lives in."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(value).__name__).lower()


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """'key: old -> new' for every leaf that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key, "(absent)"), new.get(key, "(absent)"), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path}: {old} -> {new}"


@dataclass(frozen=True)
class Folder:
    """A folder on any filesystem. Files appear whole or not at all."""

    filesystem: pafs.FileSystem
    path: str

    @classmethod
    def open(cls, uri: str) -> "Folder":
        return cls(*open_filesystem(uri))

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def join(self, *names: str) -> "Folder":
        return Folder(self.filesystem, posixpath.join(self.path, *names))

    def exists(self, name: str) -> bool:
        return self.filesystem.get_file_info(posixpath.join(self.path, name)).type != pafs.FileType.NotFound

    def names(self) -> list[str]:
        """Sorted names of the files directly in it, temporary ones left out."""
        infos = self._infos("", recursive=False)
        return sorted(i.base_name for i in infos if i.is_file and not i.base_name.startswith(TEMPORARY))

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Writes a file atomically: renamed into place on a local disk, one PUT on an object store."""
        target = posixpath.join(self.path, name)
        if not self.is_local:
            self.filesystem.create_dir(self.path, recursive=True)
            with self.filesystem.open_output_stream(target) as stream:
                stream.write(data)
            return
        os.makedirs(self.path, exist_ok=True)
        temporary = os.path.join(self.path, f"{TEMPORARY}{name}-{uuid.uuid4().hex}")
        try:
            with open(temporary, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        except OSError as error:
            Path(temporary).unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, target) from error

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, (canonical_json(value) + "\n").encode())

    def write_table(self, name: str, table: pa.Table) -> dict[str, Any]:
        """Writes one Parquet file; returns its entry for the manifest: name, rows, bytes, sha256."""
        data = parquet_bytes(table)
        self.write(name, data)
        digest = hashlib.sha256(data).hexdigest()
        return {"name": name, "rows": table.num_rows, "bytes": data.size, "sha256": digest}

    def read(self, name: str) -> bytes:
        with self.filesystem.open_input_stream(posixpath.join(self.path, name)) as stream:
            return stream.read()

    def read_json(self, name: str) -> Any:
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise ValueError(f"{self.path}/{name} is damaged ({error}); delete its folder and run again") from error

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        path = posixpath.join(self.path, name)
        try:
            return pq.read_table(path, filesystem=self.filesystem, columns=columns)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} is damaged ({error}); delete its folder and run again") from error

    def read_tables(self, prefix: str = "", columns: list[str] | None = None) -> pa.Table:
        """All Parquet files of the folder whose name starts with `prefix`, in name order, as one table."""
        names = [n for n in self.names() if n.startswith(prefix) and n.endswith(".parquet")]
        if not names:
            raise FileNotFoundError(f"no {prefix}*.parquet in {self.path}")
        return pa.concat_tables([self.read_table(n, columns) for n in names])

    def remove(self, name: str) -> None:
        self.filesystem.delete_file(posixpath.join(self.path, name))

    def holds_progress(self) -> bool:
        """Whether an unfinished stage has committed what a resumed one would take over."""
        infos = [i for name in PROGRESS for i in self._infos(name, recursive=True)]
        return any(i.is_file and not i.base_name.startswith(TEMPORARY) for i in infos)

    def _infos(self, name: str, *, recursive: bool) -> list[pafs.FileInfo]:
        path = posixpath.join(self.path, name) if name else self.path
        selector = pafs.FileSelector(path, allow_not_found=True, recursive=recursive)
        return self.filesystem.get_file_info(selector)

    def remove_temporary(self) -> None:
        """Removes what killed writers left behind, in this folder and those below."""
        if self.is_local:
            for path in Path(self.path).rglob(f"{TEMPORARY}*"):
                path.unlink(missing_ok=True)

    def fetch(self) -> Path:
        """A local path with the folder's files: itself on a local disk, else a fresh copy in a temporary folder."""
        if self.is_local:
            return Path(self.path)
        local = Path(tempfile.mkdtemp(prefix="recsys-"))
        atexit.register(shutil.rmtree, local, ignore_errors=True)
        pafs.copy_files(self.path, str(local), source_filesystem=self.filesystem)
        return local

    def take(self, local: Path) -> None:
        """Copies the files of a local folder into this one, each atomically."""
        for path in sorted(p for p in local.iterdir() if p.is_file()):
            self.write(path.name, path.read_bytes())

    def delete(self) -> None:
        """Removes the folder and all below it; absent is fine."""
        if self.is_local:
            shutil.rmtree(self.path, ignore_errors=True)
        elif self.exists(""):
            self.filesystem.delete_dir(self.path)


def parquet_bytes(table: pa.Table, *, float_columns: list[str] | None = None) -> pa.Buffer:
    """The Parquet file of a table: zstd, deterministic bytes; the named float columns byte-stream-split, unindexed."""
    stream = pa.BufferOutputStream()
    if float_columns:
        others = [n for n in table.column_names if n not in float_columns]
        split = dict.fromkeys(float_columns, "BYTE_STREAM_SPLIT")
        pq.write_table(table, stream, compression="zstd", use_dictionary=others, column_encoding=split)  # pyright: ignore[reportArgumentType]
    else:
        pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def ipc_bytes(table: pa.Table) -> bytes:
    """The Arrow IPC stream of a table, in one batch: the same bytes for the same rows."""
    stream = io.BytesIO()
    table = table.combine_chunks()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a stage is about to do, before it is done: enough to tell whether it has been done already."""

    stage: str  # folder name: corpus, model, scores, calibration, report
    version: int  # of the stage's code: raised when the same configuration gives other bytes
    config: dict[str, Any]  # the semantic configuration: what changes the result, and nothing else
    inputs: dict[str, str] = field(default_factory=dict)  # input -> fingerprint

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(canonical_json(self.content).encode()).hexdigest()[:32]

    @property
    def content(self) -> dict[str, Any]:
        return {"stage": self.stage, "version": self.version, "config": self.config, "inputs": self.inputs}


@dataclass(frozen=True)
class Run:
    """One run: `<root>/<name>`; `reuse` names a run of the same root whose matching stages are taken over."""

    root: str
    name: str
    reuse: str | None = None

    def __post_init__(self) -> None:
        for key, value in (("name", self.name), ("reuse", self.reuse)):
            if value is not None and (not value or "/" in value or value.startswith((".", "_"))):
                raise ValueError(f"{key}={value!r} cannot name a folder; use letters, digits, '-', '_' and '.'")

    @classmethod
    def at(cls, uri: str) -> "Run":
        """The run whose folder this is: a local path, or any URI."""
        place, question, options = uri.partition("?") if "://" in uri else (located(uri), "", "")
        root, _, name = place.rstrip("/").rpartition("/")
        return cls((root or "/") + question + options, name)

    def folder(self, stage: str) -> Folder:
        """The folder a finished stage is read from: its own, or the one it was taken over from."""
        own = Folder.open(self.root).join(self.name, stage)
        if own.exists(REUSED):
            return Run(self.root, own.read_json(REUSED)["run"]).folder(stage)
        return own

    def manifest(self, stage: str) -> dict[str, Any]:
        """The manifest of a finished stage; ValueError with the remedy if it is not finished."""
        folder = self.folder(stage)
        if not folder.exists(MANIFEST):
            raise ValueError(
                f"run '{self.name}' has no finished {stage}/ under {self.root}; run the stage before it, "
                f"or `python -m ray_jobs.pipeline name={self.name} …`, which runs what is missing"
            )
        return folder.read_json(MANIFEST)

    def done(self, plan: Plan) -> dict[str, Any] | None:
        """The manifest if this very work is finished, here or in the run to reuse; None if it has to be done.

        Raises ValueError, naming the differences, if the folder holds other work.
        """
        folder = self.folder(plan.stage)
        for name in (MANIFEST, STARTED):
            if folder.exists(name):
                before = folder.read_json(name)
                if before["fingerprint"] == plan.fingerprint:
                    return before if name == MANIFEST else None
                if name == MANIFEST or folder.holds_progress():
                    raise ValueError(self._clash(plan, before))
        if self.reuse is not None:
            if not Folder.open(self.root).exists(self.reuse):
                raise ValueError(f"reuse={self.reuse}: there is no such run under {self.root}")
            other = Run(self.root, self.reuse).folder(plan.stage)
            if other.exists(MANIFEST) and other.read_json(MANIFEST)["fingerprint"] == plan.fingerprint:
                folder.write_json(REUSED, {"run": self.reuse, "fingerprint": plan.fingerprint})
                return other.read_json(MANIFEST)
        return None

    def _clash(self, plan: Plan, before: dict[str, Any]) -> str:
        changed = list(differences({k: before[k] for k in plan.content}, plan.content))
        shown = "; ".join(c.removeprefix("config.") for c in changed[:6]) + ("; …" if len(changed) > 6 else "")
        return (
            f"run '{self.name}' already holds {plan.stage}/ of another configuration ({shown}); "
            f"choose another name=…, with reuse={self.name} to take over what matches, or delete that folder"
        )

    def begin(self, plan: Plan) -> Folder:
        """Opens the stage's folder for work; what an interrupted attempt committed is still there."""
        folder = Folder.open(self.root).join(self.name, plan.stage)
        if folder.exists(STARTED) and folder.read_json(STARTED)["fingerprint"] != plan.fingerprint:
            folder.delete()  # it holds no progress, or `done` had refused
        if folder.exists(REUSED):
            folder.remove(REUSED)  # the run it was taken from is gone
        folder.remove_temporary()
        folder.write_json(STARTED, plan.content | {"fingerprint": plan.fingerprint})
        return folder

    def close(self, folder: Folder, plan: Plan, result: dict[str, Any], timing: dict[str, Any]) -> dict[str, Any]:
        """Writes timings, then the manifest: from now on the stage is done."""
        folder.remove_temporary()
        manifest = {"schema_version": SCHEMA_VERSION, "fingerprint": plan.fingerprint} | plan.content | result
        folder.write_json(RUN, timing)
        folder.write_json(MANIFEST, manifest)
        folder.remove(STARTED)
        return manifest
