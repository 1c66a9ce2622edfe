"""Alternating repeats, medians with ranges, one table and one JSON: shared by the benchmarks."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Contender:
    """Something to time: `work` treats `amount` things (pairs, rows) each time it is called, within an `around` of its
    own that is not timed."""

    name: str
    work: Callable[[], object]
    amount: int
    around: Callable[[], AbstractContextManager[object]] = nullcontext


def alternate(contenders: list[Contender], repeats: int) -> dict[str, list[float]]:
    """Rates (amount / s) of each contender: they take turns, back and forth; the first round is not counted."""
    rates: dict[str, list[float]] = {c.name: [] for c in contenders}
    for repeat in range(repeats + 1):
        for contender in contenders[:: -1 if repeat % 2 else 1]:
            with contender.around():
                started = time.perf_counter()
                contender.work()
                seconds = time.perf_counter() - started
            if repeat:
                rates[contender.name].append(contender.amount / seconds)
    return rates


def rate_rows(rates: dict[str, list[float]], unit: str) -> list[dict[str, Any]]:
    """One record per contender: the median, and the range as low and high."""
    return [
        {"name": name, "value": statistics.median(v), "low": min(v), "high": max(v), "unit": unit}
        for name, v in rates.items()
    ]


def ratio_row(name: str, ours: list[float], theirs: list[float]) -> dict[str, Any]:
    """The ratio of medians; low and high are those of the turns, each measured side by side."""
    turns = [a / b for a, b in zip(ours, theirs, strict=True)]
    value = statistics.median(ours) / statistics.median(theirs)
    return {"name": name, "value": value, "low": min(turns), "high": max(turns), "unit": "ratio"}


def tell(rows: list[dict[str, Any]], path: Path | None) -> None:
    """Prints the table and writes the records with the machine they were measured on."""
    for row in rows:
        span = f"[{row['low']:,.4g}, {row['high']:,.4g}]" if "low" in row else ""
        print(f"{row['name']:<62} {row['value']:>12,.4g} {row['unit']:<10} {span}", flush=True)
    if path:
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
        machine = {
            "device": device,
            "cpus": os.cpu_count(),
            "torch": torch.__version__,
            "date": time.strftime("%Y-%m-%d"),
        }
        path.write_text(json.dumps([row | machine for row in rows], indent=1) + "\n")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())
