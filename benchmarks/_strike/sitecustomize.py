"""Every Python process of a chaos run loads this first: where a token lies ready, writing a part ends in SIGKILL.

A token is an empty file `<phase>-<number>-<target>`. Whoever removes it has claimed it; each strikes once. While a file
`missing` lies beside them, a killed node is not back yet: the others go on slowly, so that more strikes find work.
"""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

TOKENS = Path(os.environ.get("CHAOS_TOKENS", "/nonexistent"))
CHANCE = 0.4  # that a write looks for a token at all, so that strikes are spread over the run
PAUSE_S = 0.4  # before a part is written while a node is missing


def parent(pid: int) -> int:
    """0 if the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def children(pid: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [other for other in pids if parent(other) == pid]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def victims(target: str) -> tuple[str, list[int]]:
    """What can be struck from here and its processes, in this order; this one, an actor, where there is no other."""
    actor, raylet = os.getpid(), os.getppid()
    if "raylet" not in command(raylet) or target == "actor":
        return "actor", [actor]
    if target == "driver":
        return target, [int((TOKENS / "driver.pid").read_text())]
    if target == "raylet":
        return target, [raylet]
    if target == "node":  # `ray start`, its raylet, and all that these started
        start = parent(raylet)
        assert "start" in command(start), "only what `ray start` started is a node of its own"
        return target, [start, *(p for p in children(start) + children(raylet) if p != actor), actor]
    workers = [p for p in children(raylet) if command(p).startswith("ray::") and "Agent" not in command(p)]
    others = [p for p in workers if p != actor]
    return ("worker", [random.choice(others)]) if others else ("actor", [actor])


def claim(phase: str) -> str | None:
    """The target of a token of this phase, now taken; None if there is none, or chance spares this write."""
    if random.random() > CHANCE:
        return None
    for token in sorted(TOKENS.glob(f"{phase}-*")):
        try:
            token.unlink()
        except FileNotFoundError:
            continue
        return token.name.rpartition("-")[2]
    return None


def kill(phase: str, target: str) -> None:
    struck, pids = victims(target)
    with (TOKENS / "strikes.log").open("a") as log:
        log.write(f"{phase} {struck}\n")
    if struck == "node":
        (TOKENS / "missing").touch()  # not before it is logged: a node of which nobody knows is not waited for
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    time.sleep(0.05)


def strike(phase: str) -> None:
    if (target := claim(phase)) is not None:
        kill(phase, target)


def install() -> None:
    makedirs, fsync, replace = os.makedirs, os.fsync, os.replace

    def is_tiles(path: object) -> bool:
        return str(path).endswith("scores/tiles")

    def chaotic_makedirs(name, mode=0o777, exist_ok=False):
        makedirs(name, mode, exist_ok=exist_ok)
        if is_tiles(name):
            if (TOKENS / "missing").exists():
                time.sleep(PAUSE_S)
            strike("before")

    def chaotic_fsync(fd):
        path = os.readlink(f"/proc/self/fd/{fd}")
        if is_tiles(os.path.dirname(path)) and (target := claim("during")) is not None:
            whole = Path(path).read_bytes()
            os.ftruncate(fd, len(whole) // 2)
            kill("during", target)
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
