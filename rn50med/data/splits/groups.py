"""Groups: the images that must not be parted, because they share a patient, a study or their pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def connected_groups(*keys: Sequence[str]) -> NDArray[np.int64]:
    """Return the group of each image: images connected by any key that they share, also over others.

    Args:
        keys: For each kind of key, such as patient, study or hash of the pixels, the key of each image.
            Empty text is no key: it joins nobody.

    Returns:
        Numbers from 0 in the order in which the groups first appear.

    Raises:
        ValueError: If the kinds do not have one key for each image.

    Example:
        >>> connected_groups(["a", "a", "b", "c"], ["1", "2", "2", ""])
        array([0, 0, 0, 1])
    """
    count = len(keys[0]) if keys else 0
    if any(len(kind) != count for kind in keys):
        raise ValueError(f"keys: have lengths {[len(kind) for kind in keys]}; give one for each image.")
    images, nodes, size = [], [], count
    for kind in keys:
        number = _codes(kind)
        held = np.flatnonzero(number >= 0)
        images.append(held)
        nodes.append(number[held] + size)  # a patient called like a hash is another node
        size += int(number.max(initial=-1)) + 1
    if not images:
        return np.zeros(0, dtype=np.int64)
    image, node = np.concatenate(images), np.concatenate(nodes)
    links = coo_matrix((np.ones(len(image), dtype=np.int8), (image, node)), shape=(size, size))
    _, label = connected_components(links, directed=False)
    return numbered(label[:count])


def _codes(keys: Sequence[str]) -> NDArray[np.int64]:
    """Give each key a number, and empty text -1."""
    number: dict[str, int] = {}
    return np.fromiter(
        (number.setdefault(key, len(number)) if key else -1 for key in keys), dtype=np.int64, count=len(keys)
    )


def numbered(labels: NDArray[np.generic]) -> NDArray[np.int64]:
    """Number labels from 0 in the order in which they first appear.

    Args:
        labels: Anything that can be sorted.

    Example:
        >>> numbered(np.array([7, 3, 7, 5]))
        array([0, 1, 0, 2])
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
