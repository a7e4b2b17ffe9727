"""How many processes help to prepare batches, and how they may be started."""

from __future__ import annotations

import multiprocessing
import os
import sys

import torch


def useful_workers() -> int:
    """Return how many worker processes help: on a CPU they would take cores from the network."""
    if not torch.cuda.is_available() or not may_fork():  # others need a main guard in the user's script
        return 0
    return min(8, max(0, (os.cpu_count() or 1) - 1))


def may_fork() -> bool:
    """Return whether workers can be forked: on Linux, unless the user has chosen another way."""
    chosen = multiprocessing.get_start_method(allow_none=True)
    return chosen == "fork" or (chosen is None and sys.platform == "linux")
