"""A cluster of several nodes on one machine: a head without CPUs, where drivers live, and nodes that may be killed.

A driver joins the head's raylet where there is one, so killing another node never takes the driver along. Each
node is a `ray start --block` with temporary folder, ports and object store of its own; one that ended is started again.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

RAY = Path(sys.executable).with_name("ray")
STORE_BYTES = 100_000_000  # Ray's least is 75 MB
START_S = 240
NOTICE = {"health_check_period_ms": 500, "health_check_failure_threshold": 4, "health_check_initial_delay_ms": 2000}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


class Nodes:
    """Starts on entering, with `number` nodes of one CPU each beside the head; ends with all its processes."""

    def __init__(self, number: int, environment: dict[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nodes-", dir="/tmp"))  # short: Unix sockets have short names
        self.address = f"127.0.0.1:{free_port()}"
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.environment = environment | token | {"RAY_ADDRESS": self.address}
        self.number, self.num_started = number, 0
        self.head: subprocess.Popen[bytes] | None = None
        self.nodes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Nodes":
        config = f"--system-config={json.dumps(NOTICE)}"
        port = self.address.rpartition(":")[2]
        try:
            self.head = self._start(
                "head", "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", config
            )
            self._wait(lambda: "Ray runtime started" in self._log("head"))
            self._wait(self.whole)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self.nodes, *filter(None, [self.head])]:
            process.kill()
            process.wait()
        while left := [p for p in processes() if str(self.folder) in command(p)]:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)  # what they were about to start is there now
        shutil.rmtree(self.folder, ignore_errors=True)

    def whole(self) -> bool:
        """Whether all nodes have joined; starts those that are missing."""
        self.nodes = [node for node in self.nodes if node.poll() is None]
        while len(self.nodes) < self.number:
            self.num_started += 1
            self.nodes.append(self._start(str(self.num_started), f"--address={self.address}", "--num-cpus=1"))
        started = range(1, self.num_started + 1)
        return sum("Ray runtime started" in self._log(str(n)) for n in started[-self.number :]) == self.number

    def _start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        everywhere = (
            "--block",
            "--disable-usage-stats",
            f"--temp-dir={self.folder / name}",
            f"--object-store-memory={STORE_BYTES}",
            f"--dashboard-agent-listen-port={free_port()}",
            "--min-worker-port=0",  # whichever is free: two raylets would choose from the same range
            "--max-worker-port=0",
        )
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [str(RAY), "start", *options, *everywhere],
                env={k: v for k, v in self.environment.items() if k != "RAY_ADDRESS"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not ready():
            if time.monotonic() > deadline:
                logs = "".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log"))
                raise RuntimeError(f"no cluster of {self.number} nodes after {START_S} s: {logs}")
            time.sleep(0.2)
