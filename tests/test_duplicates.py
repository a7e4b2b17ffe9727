"""Every pair within the distance is found, and none beyond; and the search ends, whatever the hashes."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn50med.data.duplicates import near_duplicates


def by_brute_force(hashes: list[int], distance: int) -> list[tuple[int, int, int]]:
    return [
        (i, j, bits)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (bits := (hashes[i] ^ hashes[j]).bit_count()) <= distance
    ]


def found(hashes: list[int], distance: int) -> list[tuple[int, int, int]]:
    near = near_duplicates(hashes, distance)
    assert near.complete
    return [(i, j, d) for (i, j), d in zip(near.pairs.tolist(), near.distances.tolist(), strict=True)]


FLIPS = st.lists(st.integers(0, 63), max_size=8)


@given(
    seeds=st.lists(st.integers(0, 2**64 - 1), max_size=12),
    copies=st.lists(st.tuples(st.integers(0, 11), FLIPS), max_size=30),
    distance=st.integers(0, 6),
)
@settings(max_examples=200, deadline=None)
def test_all_pairs_within_the_distance_are_found_and_none_beyond(
    seeds: list[int], copies: list[tuple[int, list[int]]], distance: int
) -> None:
    hashes = list(seeds)
    for origin, flips in copies:
        if seeds:
            hashes.append(seeds[origin % len(seeds)] ^ sum(1 << bit for bit in set(flips)))
    assert found(hashes, distance) == by_brute_force(hashes, distance)


@pytest.mark.parametrize("distance", [0, 1, 2, 4, 7])
def test_the_bands_find_what_brute_force_finds_among_many(distance: int) -> None:
    rng = np.random.default_rng(distance)
    hashes = rng.integers(0, 2**64, 600, dtype=np.uint64)
    again = hashes[rng.integers(0, 600, 300)]
    for _ in range(4):
        again ^= np.uint64(1) << rng.integers(0, 64, 300).astype(np.uint64)
    both = np.concatenate([hashes, again])
    assert found(both.tolist(), distance) == by_brute_force(both.tolist(), distance)


def test_one_hash_ten_thousand_times_ends_and_says_that_it_is_incomplete() -> None:
    near = near_duplicates(np.zeros(10_000, dtype=np.uint64), most_pairs=5_000)
    assert len(near.pairs) == 5_000
    assert not near.complete
    assert (near.distances == 0).all()


def test_full_buckets_beyond_what_can_be_compared_are_left_out_and_said() -> None:
    rng = np.random.default_rng(0)
    alike = rng.integers(0, 2**20, 3000, dtype=np.uint64)  # equal in 44 bits: buckets as full as can be
    apart = rng.integers(0, 2**64, 100, dtype=np.uint64)
    near = near_duplicates(np.concatenate([alike, apart, apart]), distance=2, most_comparisons=100_000)
    assert not near.complete
    assert {(3000 + i, 3100 + i) for i in range(100)} <= set(map(tuple, near.pairs.tolist()))


def test_nothing_and_one_hash_have_no_pairs() -> None:
    for hashes in ([], [5]):
        near = near_duplicates(hashes)
        assert near.pairs.shape == (0, 2)
        assert near.complete


def test_a_hundred_thousand_hashes_take_seconds() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 100_000, dtype=np.uint64)
    hashes[50_000:50_100] = hashes[:100] ^ np.uint64(0b11)
    started = time.perf_counter()
    near = near_duplicates(hashes)
    assert time.perf_counter() - started < 20
    assert {(i, 50_000 + i) for i in range(100)} <= set(map(tuple, near.pairs.tolist()))
