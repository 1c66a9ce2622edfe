"""Memory that was freed goes back to the system, for the processes that need it next."""

import contextlib
import ctypes
import gc

import pyarrow as pa


def release_memory() -> None:
    """Hands back what Python, Arrow and the C library keep for themselves."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(AttributeError):  # glibc alone keeps it, and has this
        ctypes.CDLL(None).malloc_trim(0)
