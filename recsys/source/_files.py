"""Finds the files behind a path, a folder, a pattern or a URI, and says what is in them for the fingerprint."""

import hashlib
import posixpath
from dataclasses import dataclass
from fnmatch import fnmatchcase

import pyarrow.fs as pafs

from recsys.store import open_filesystem
from recsys.tables import TableError

HASHED_BYTES = 64 * 2**20  # files up to this size are known by their content, larger ones by size and time
WILDCARDS = "*?["


@dataclass(frozen=True)
class File:
    """One file on any filesystem; `name` is how messages and fingerprints call it."""

    filesystem: pafs.FileSystem
    path: str
    name: str

    def identity(self) -> str:
        """'sha256:...' of the content up to 64 MiB, else size in bytes and modification time."""
        info = self.filesystem.get_file_info(self.path)
        if info.size is not None and info.size > HASHED_BYTES:
            return f"size:{info.size} mtime:{info.mtime_ns}"
        with self.filesystem.open_input_file(self.path) as stream:
            return f"sha256:{hashlib.sha256(stream.read()).hexdigest()}"


def join(folder: str, name: str) -> str:
    """`name` inside a folder; a name that is absolute or a URI stands for itself."""
    if "://" in name or posixpath.isabs(name):
        return name
    return f"{folder.rstrip('/')}/{name}"


def find(uri: str, suffixes: tuple[str, ...]) -> list[File]:
    """The file at `uri`; all files of a folder that end in one of `suffixes`; or those that match a pattern. By name.

    Hidden files and those that start with '_' are passed over. Raises TableError naming what is there instead.
    """
    filesystem, path = open_filesystem(uri)
    path = path.rstrip("/") or "/"
    if any(sign in path for sign in WILDCARDS):
        base = _before_wildcard(path)
        files = [f for f in _walk(filesystem, base) if fnmatchcase(f.path, path)]
    else:
        kind = filesystem.get_file_info(path).type
        if kind == pafs.FileType.File:
            return [File(filesystem, path, posixpath.basename(path))]
        base = path if kind == pafs.FileType.Directory else posixpath.dirname(path)
        files = [f for f in _walk(filesystem, path) if f.path.endswith(suffixes)]
    if not files:
        or_folder = f" or folder of {suffixes[0]} files" if suffixes else ""
        raise TableError(f"{uri}: no such file{or_folder}; {_describe(filesystem, base)}")
    return files


def listing(uri: str) -> list[str]:
    """Names of the files directly in a folder; TableError if there is no such folder."""
    filesystem, path = open_filesystem(uri)
    infos = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True))
    if not infos:
        raise TableError(f"{uri}: no such folder, or nothing in it; {_describe(filesystem, posixpath.dirname(path))}")
    return sorted(posixpath.basename(i.path) for i in infos if i.type == pafs.FileType.File)


def _before_wildcard(path: str) -> str:
    fixed = []
    for part in path.split("/"):
        if any(sign in part for sign in WILDCARDS):
            break
        fixed.append(part)
    return "/".join(fixed) or "/"


def _walk(filesystem: pafs.FileSystem, folder: str) -> list[File]:
    infos = filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True, recursive=True))
    files = [File(filesystem, i.path, posixpath.relpath(i.path, folder)) for i in infos if i.type == pafs.FileType.File]
    return sorted((f for f in files if posixpath.basename(f.path)[0] not in "._"), key=lambda f: f.name)


def _describe(filesystem: pafs.FileSystem, folder: str) -> str:
    infos = filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
    if not infos:
        return f"the folder '{folder}' does not exist or is empty; check source.path"
    names = sorted(posixpath.basename(i.path) for i in infos)
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"'{folder}' has {', '.join(names[:20])}{more}; check source.path"
