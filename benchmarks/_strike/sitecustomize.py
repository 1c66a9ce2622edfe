"""Every Python process of a chaos run loads this first: where a token lies ready, writing a part ends in SIGKILL.

A token is an empty file `<phase>-<number>-<target>`. Whoever renames it has claimed it; each strikes once.
"""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

TOKENS = Path(os.environ.get("CHAOS_TOKENS", "/nonexistent"))
CHANCE = 0.4  # that a write looks for a token at all, so that strikes are spread over the run


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def victims(target: str) -> list[int]:
    """Processes to kill; this one, an actor, where the target cannot be found from here."""
    raylet = os.getppid()
    if "raylet" not in command(raylet):
        return [os.getpid()]
    if target == "driver":
        return [int((TOKENS / "driver.pid").read_text())]
    if target == "raylet":
        return [raylet]
    if target == "worker":
        others = [p for p in children(raylet) if p != os.getpid() and command(p).startswith("ray::")]
        return [random.choice(others)] if others else [os.getpid()]
    return [os.getpid()]


def claim(phase: str) -> str | None:
    """The target of a token of this phase, now struck; None if there is none, or chance spares this write."""
    if random.random() > CHANCE:
        return None
    for token in sorted(TOKENS.glob(f"{phase}-*")):
        try:
            token.rename(TOKENS / f"struck-{token.name}")
        except FileNotFoundError:
            continue
        return token.name.rpartition("-")[2]
    return None


def kill(target: str) -> None:
    for pid in victims(target):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    time.sleep(0.05)


def strike(phase: str) -> None:
    if (target := claim(phase)) is not None:
        kill(target)


def install() -> None:
    makedirs, fsync, replace = os.makedirs, os.fsync, os.replace

    def is_tiles(path: object) -> bool:
        return str(path).endswith("scores/tiles")

    def chaotic_makedirs(name, mode=0o777, exist_ok=False):
        makedirs(name, mode, exist_ok=exist_ok)
        if is_tiles(name):
            strike("before")

    def chaotic_fsync(fd):
        path = os.readlink(f"/proc/self/fd/{fd}")
        if is_tiles(os.path.dirname(path)) and (target := claim("during")) is not None:
            whole = Path(path).read_bytes()
            os.ftruncate(fd, len(whole) // 2)
            kill(target)
            os.pwrite(fd, whole[len(whole) // 2 :], len(whole) // 2)  # it was another process that died
        fsync(fd)

    def chaotic_replace(src, dst, **more):
        replace(src, dst, **more)
        if is_tiles(os.path.dirname(str(dst))):
            with open(TOKENS / "commits.log", "a") as log:
                log.write(f"{dst}\n")
            strike("between")
            if random.random() < CHANCE:
                time.sleep(random.random() * 0.02)
                strike("after")

    os.makedirs, os.fsync, os.replace = chaotic_makedirs, chaotic_fsync, chaotic_replace


if TOKENS.is_dir():
    install()
