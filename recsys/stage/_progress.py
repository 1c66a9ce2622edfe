"""One line of progress every few seconds: done / total, rate, time remaining."""

import logging
import time
from collections.abc import Callable
from threading import Event, Thread

log = logging.getLogger("recsys")
INTERVAL_S = 2.0


def duration(seconds: float) -> str:
    """'42 s', '3 min 20 s', '2 h 5 min'."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def amount(number: float) -> str:
    """'950', '12.3 k', '2.1 M', '4.0 G'."""
    for unit in ("", " k", " M", " G"):
        if abs(number) < 1000 or unit == " G":
            return f"{number:.0f}{unit}" if unit == "" else f"{number:.1f}{unit}"
        number /= 1000
    raise AssertionError


class Progress:
    """Counts work that is done and says so now and then; the last step is always told."""

    def __init__(self, stage: str, unit: str, total: int) -> None:
        self.stage, self.unit, self.total = stage, unit, total
        self.done = 0
        self.work = 0  # done by us, not found done
        self.started = time.monotonic()
        self._told = self.started

    def step(self, amount_done: int, *, counts: bool = True, note: str = "") -> None:
        """`counts` is False for what an earlier attempt had done: it does not enter the rate."""
        self.done += amount_done
        self.work += amount_done if counts else 0
        now = time.monotonic()
        if now - self._told >= INTERVAL_S or self.done >= self.total:
            self._told = now
            self._tell(now - self.started, note)

    def _tell(self, seconds: float, note: str) -> None:
        rate = self.work / seconds if seconds > 0 else 0.0
        remaining = f", {duration((self.total - self.done) / rate)} left" if rate > 0 and self.done < self.total else ""
        share = 100 * self.done / self.total if self.total else 100
        log.info(
            "%-11s %s / %s %s (%.0f %%), %s/s%s%s",
            self.stage,
            amount(self.done),
            amount(self.total),
            self.unit,
            share,
            amount(rate),
            remaining,
            f", {note}" if note else "",
        )


class Watch:
    """Looks now and then while others work, and once more when they are done."""

    def __init__(self, look: Callable[[], None]) -> None:
        self.look = look
        self.stop = Event()
        self.thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self.look()

    def _watch(self) -> None:
        pause = 0.5
        while not self.stop.wait(pause):
            started = time.monotonic()
            self.look()
            pause = max(0.5, 10 * (time.monotonic() - started))
