"""A progress bar on standard error, where somebody watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar while work goes on; where standard error is no terminal, draw nothing.

    Args:
        what: What is being done, in a word or two.
        total: Steps of the whole.

    Yields:
        To be called with the number of steps that are newly done.
    """
    if not sys.stderr.isatty() or os.environ.get("LOCAL_RANK", "0") != "0":  # one bar is enough
        yield lambda steps: None
        return
    from rich.console import Console  # noqa: PLC0415 - only where it is seen
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda steps: progress.advance(task, steps)
