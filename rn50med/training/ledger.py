"""The ledger of test openings: a row each time that the images of a test split are evaluated."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from rn50med.data.datamodule import ManifestDataModule
from rn50med.evaluation.report.wording import ordinal
from rn50med.training.folder import PRIVATE

log = logging.getLogger(__name__)

NAME = "test_log.csv"
HEADER = ("test_images_sha256", "run", "time")
_PATIENCE = 60.0
"""Seconds to wait for another process that writes a row."""


def count_opening(data: ManifestDataModule, folder: Path) -> int | None:
    """Write down, before it happens, that a run opens the test images, and tell how often that was.

    The held-out folds of a cross-validation are no test images, and leave no row. A ledger that cannot be
    written stops nothing: a warning says so.

    Args:
        data: Prepared.
        folder: The run folder.

    Returns:
        The number of times that these very images were opened, this one included; None where it was not
        counted.
    """
    if data.splits.crossval is not None and data.unsplit != "test":
        return None
    place = ledger_of(folder)
    try:
        count = append(place, images_hash(data), folder.resolve().name)
    except (OSError, ValueError, NotImplementedError) as error:
        log.warning(
            "warning (test-log): %s cannot be written (%s), so that nobody knows how often test was opened",
            place.name,
            getattr(error, "strerror", None) or error,
        )
        return None
    log.info("test: these images are opened for the %s time (%s)", ordinal(count), place.name)
    return count


def ledger_of(folder: Path) -> Path:
    """Return the ledger of a run: ``runs/test_log.csv`` for ``runs/NAME/RUN``, else beside the run folder.

    Args:
        folder: The run folder.
    """
    around = folder.resolve().parent
    # The file `latest` marks the place of a recipe's runs, which the user did not choose.
    return (around.parent if (around / "latest").is_file() else around) / NAME


def images_hash(data: ManifestDataModule) -> str:
    """Return a SHA-256 that knows the contents of the test images, not their names, order or labels.

    Args:
        data: Prepared.
    """
    table = data.manifest.table
    contents = sorted(table.loc[table["split"] == "test", "sha256"].astype(str))
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()


def append(path: Path, digest: str, run: str) -> int:
    """Append a row, while no other process does.

    Args:
        path: The ledger, which is made where there is none.
        digest: Of the images.
        run: Name of the run folder.

    Returns:
        How many rows have this digest now.

    Raises:
        OSError: If it cannot be read or written, or another process does not let go of it.
        ValueError: If the file is another one of that name.
    """
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with FileLock(path.with_name(f".{path.name}.lock"), timeout=_PATIENCE, mode=PRIVATE):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        rows = list(csv.reader(io.StringIO(text)))
        if rows and tuple(rows[0]) != HEADER:
            raise ValueError("it is another table of that name")
        line = io.StringIO()
        writer = csv.writer(line, lineterminator="\n")
        if text and not text.endswith("\n"):  # a process was killed in the middle of its row
            line.write("\n")
        writer.writerows([*([] if rows else [HEADER]), (digest, run, time)])
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE)
        with os.fdopen(handle, "ab") as file:
            file.write(line.getvalue().encode("utf-8"))
    return 1 + sum(row[:1] == [digest] for row in rows[1:])
