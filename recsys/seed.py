"""Seeds and hashes that depend on names alone: never on the number of workers, the order, or the machine."""

import hashlib

import numpy as np


def seed(run_seed: int, stage: str, part: str | int = "") -> int:
    """A 63-bit seed for one part of one stage."""
    digest = hashlib.sha256(f"{run_seed}\x1f{stage}\x1f{part}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def hash_ids(ids: list[str] | np.ndarray, salt: int) -> np.ndarray:
    """uint64 hash of each id, the same on every machine (BLAKE2b keyed by `salt`)."""
    key = int(salt).to_bytes(8, "little", signed=False)
    digests = b"".join(hashlib.blake2b(str(i).encode(), digest_size=8, key=key).digest() for i in ids)
    return np.frombuffer(digests, dtype="<u8").copy()


def mix(hash_N: np.ndarray, stream: np.ndarray | int) -> np.ndarray:
    """A further uint64 hash of (hash, stream): the SplitMix64 finaliser (Steele et al., 2014). Broadcasts."""
    with np.errstate(over="ignore"):
        z = np.asarray(hash_N, np.uint64) + np.asarray(stream, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(hash_N: np.ndarray) -> np.ndarray:
    """float64 in [0, 1) from the upper 53 bits of a uint64 hash."""
    return (np.asarray(hash_N, np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53
