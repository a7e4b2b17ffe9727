"""What the search for near-duplicates costs: hashes of noise, of pictures much alike, and all equal."""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np

from rn50med.data.duplicates import NEAR, Hashes, near_duplicates


def like_noise(count: int, rng: np.random.Generator) -> Hashes:
    """Return hashes without any structure.

    Args:
        count: How many.
        rng: Draws them.
    """
    return rng.integers(0, 2**64, count, dtype=np.uint64)


def like_films(count: int, rng: np.random.Generator) -> Hashes:
    """Return hashes of pictures with a common anatomy, and a hundredth of them saved again.

    Chest films of different patients differ in 28 of 64 bits at the median; so do these.

    Args:
        count: How many.
        rng: Draws them.
    """
    waves = 0.5 * rng.standard_normal(64) + rng.standard_normal((count, 64))
    bits = waves > np.median(waves, axis=1, keepdims=True)
    hashes = np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)
    again = rng.choice(count, (2, count // 100), replace=False)
    flipped = np.uint64(1) << rng.integers(0, 64, count // 100).astype(np.uint64)
    hashes[again[0]] = hashes[again[1]] ^ flipped
    return hashes


def all_equal(count: int, rng: np.random.Generator) -> Hashes:
    """Return one hash, again and again.

    Args:
        count: How many.
        rng: Draws it.
    """
    return np.full(count, rng.integers(0, 2**64, dtype=np.uint64))


def main() -> int:
    """Print a row per kind of hashes, and return 1 if one took more than a minute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000, help="how many hashes")
    parser.add_argument("--distance", type=int, default=NEAR, help="bits in which a pair may differ")
    options = parser.parse_args()
    slow = 0
    print(f"{'hashes':<12}  {'seconds':>7}  {'pairs':>8}  {'complete':>8}  {'peak MB':>7}")
    for make in (like_noise, like_films, all_equal):
        hashes = make(options.images, np.random.default_rng(0))
        started = time.perf_counter()
        near = near_duplicates(hashes, options.distance)
        seconds = time.perf_counter() - started
        slow += seconds > 60
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        name = make.__name__.replace("_", " ")
        print(
            f"{name:<12}  {seconds:>7.2f}  {len(near.pairs):>8}  {near.complete!s:>8}  {peak:>7}", flush=True
        )
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
