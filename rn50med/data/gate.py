"""The gate before training: everything is read and checked, and all that is wrong is known at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

from rn50med.data.audit import (
    LEAKS,
    audit,
    class_balance,
    conflicting_labels,
    copies,
    duplicate_rows,
    expected_interval,
    faults_found,
    image_findings,
    leakage,
    missing_classes,
    near_findings,
    patients_of_several_classes,
    patients_unique,
    rows_found,
    studies_of_two_patients,
    study_keys,
)
from rn50med.data.cache import Outcome, Work, read_images
from rn50med.data.faults import Faults
from rn50med.data.findings import Finding
from rn50med.data.inspection import Inspection
from rn50med.data.manifest import ROW, Columns, Manifest, Step
from rn50med.data.progress import bar
from rn50med.data.readers import ImageFault
from rn50med.data.seen import Seen
from rn50med.data.sources import Source
from rn50med.data.splits import (
    SplitPlan,
    Strata,
    connected_groups,
    given_splits,
    hold_to,
    make_splits,
    read_splits,
)
from rn50med.data.transforms import Transforms
from rn50med.errors import DataError, listed
from rn50med.tasks import Task

log = logging.getLogger(__name__)

ALLOWABLE = LEAKS | {"burned-in", "for-processing", "conflicting-labels", "no-test"}
"""Codes of errors that a user can let through: with all others there is nothing to train on."""


@dataclass(frozen=True)
class Gate:
    """How a source is checked.

    Args:
        task: What is predicted.
        columns: Names of the columns.
        transforms: Their deterministic part is applied.
        plan: How splits are made.
        split_file: Splits of an earlier run, to be held to.
        seed: Of splits that are made.
        unsplit: What a source without splits is.
        allowed: Codes of findings that do not stop.
        on_bad_image: What becomes of an image that cannot be read.
        most_bad_images: Share of images that may be left out so.
        cache: Folder of the cache; None for none.
    """

    task: Task
    columns: Columns
    transforms: Transforms
    plan: SplitPlan
    split_file: str | None
    seed: int
    unsplit: Literal["folds", "test", "train"]
    allowed: frozenset[str]
    on_bad_image: Literal["stop", "skip"]
    most_bad_images: float
    cache: Path | None

    def inspect(self, source: Source, name: str) -> Inspection:
        """Read and check everything; what is wrong is found, not raised.

        Args:
            source: Of the images.
            name: Of the source, for messages.

        Raises:
            DataError: If there is no table or folder that could be checked.
            StorageError: If the cache cannot be written.
        """
        faults = Faults(name)
        manifest = source.manifest(self.task, self.columns, faults)
        outcome = self._read(manifest)
        manifest, seen, found = self._readable(manifest, outcome)
        given = given_splits(self.plan, manifest.table, [int(row) for row in manifest.column(ROW)], faults)
        manifest = manifest.with_splits(given)
        theirs = [self._of_source(finding) for finding in manifest.findings]
        found = [*theirs, *rows_found(faults.found), *found]
        found += image_findings(manifest, seen, self.transforms.channels)
        origin, images = "", outcome.images
        if len(faults) or any(each is None for each in seen):
            found += leakage(manifest, seen)
        else:
            manifest, origin, more, kept = self._split(manifest, [each for each in seen if each is not None])
            found += more
            if len(kept) < len(seen):
                seen, images = [seen[row] for row in kept], images.take(kept)
        contents = [each.content if each is not None else "" for each in seen]
        manifest = manifest.with_hashes(contents, [each.pixels if each is not None else "" for each in seen])
        told = tuple(self._told(finding) for finding in found)
        facts = audit(
            manifest,
            self.task,
            told,
            origin,
            manifest.digest(contents, self.task.columns),
            seen,
            self.allowed,
        )
        return Inspection(name, manifest, tuple(seen), images, told, facts, self.allowed)

    def _of_source(self, finding: Finding) -> Finding:
        """Let files that the source could not open pass where bad images may be left out."""
        if finding.code == "damaged-header" and self.on_bad_image == "skip":
            return replace(finding, severity="warning", message=f"{finding.message} Left out, as asked.")
        return finding

    def _told(self, finding: Finding) -> Finding:
        """Say of a finding that it was let through."""
        if finding.severity == "error" and finding.code in self.allowed:
            return replace(finding, message=f"{finding.message} This was allowed.", remedy="")
        return finding

    def _read(self, manifest: Manifest) -> Outcome:
        names = manifest.column("image")
        prepare = self.transforms.prepare
        work = Work(manifest.images, names, prepare, self.transforms.preparation)
        start = perf_counter()
        with bar("reading images", len(names)) as progress:
            outcome = read_images(work, self.cache, progress)
        log.info(
            "images: %d checked in %.0f s, %d of them known from the cache",
            len(names),
            perf_counter() - start,
            outcome.known,
        )
        return outcome

    def _readable(
        self, manifest: Manifest, outcome: Outcome
    ) -> tuple[Manifest, list[Seen | None], list[Finding]]:
        """Tell of images that cannot be read, and leave them out where that is asked for."""
        names, rows = manifest.column("image"), manifest.column(ROW)
        bad = [
            (int(row), name, seen)
            for row, name, seen in zip(rows, names, outcome.seen, strict=True)
            if isinstance(seen, ImageFault) and name.strip()  # an empty cell is told of as such
        ]
        found = faults_found(bad)
        few = len(bad) <= self.most_bad_images * len(names)
        if bad and self.on_bad_image == "skip" and few:
            good = [position for position, seen in enumerate(outcome.seen) if isinstance(seen, Seen)]
            manifest = manifest.take(good, Step("cannot be read; left out, as asked", len(bad)))
            left = [replace(f, severity="warning", message=f"{f.message} Left out, as asked.") for f in found]
            return manifest, [seen for seen in outcome.seen if isinstance(seen, Seen)], left
        return manifest, [seen if isinstance(seen, Seen) else None for seen in outcome.seen], found

    def _split(
        self, manifest: Manifest, seen: Sequence[Seen]
    ) -> tuple[Manifest, str, list[Finding], list[int]]:
        """Complete the splits, and check everything that depends on them; say which rows have one."""
        given, every = manifest.column("split"), list(range(len(manifest)))
        rows = manifest.rows()
        if self.unsplit != "test" and (said := self.task.single(rows)):
            found = [*leakage(manifest, seen), Finding("single-class", "error", f"{said}.")]
            return manifest, "", found, every
        try:
            splits, origin, found = self._made(manifest, given, seen)
        except DataError as error:
            found = [*leakage(manifest, seen), Finding("splits", "error", str(error))]
            return manifest, "", found, every
        manifest = manifest.with_splits(splits)
        kept = [row for row, split in enumerate(splits) if split]
        if len(kept) < len(splits):
            closed = Step("test, which cross-validation leaves closed", len(splits) - len(kept))
            manifest, seen = manifest.take(kept, closed), [seen[row] for row in kept]
            given, splits = [given[row] for row in kept], [splits[row] for row in kept]
        found += leakage(manifest, seen)
        found += conflicting_labels(manifest, seen, self.task)
        if self.unsplit != "test":
            found += _untrained(manifest, self.task)
        found += copies(manifest, seen, [g or s for g, s in zip(given, splits, strict=True)])
        found += [] if manifest.synthetic else near_findings(manifest, seen)
        for check in (missing_classes, class_balance, patients_of_several_classes, expected_interval):
            found += check(manifest, self.task)
        for look in (duplicate_rows, patients_unique, studies_of_two_patients):
            found += look(manifest)
        return manifest, origin, found, kept

    def _made(
        self, manifest: Manifest, given: Sequence[str], seen: Sequence[Seen]
    ) -> tuple[list[str], str, list[Finding]]:
        """Return the split of each image, where they come from, and what is to be told of them."""
        if self.split_file is not None:
            frozen = read_splits(Path(self.split_file))
            given = hold_to(frozen, [each.content for each in seen])
            if self.plan.crossval is None:
                origin = f"Held to a file of splits with the hash {frozen.sha256[:12]}: {frozen.origin}"
                return given, origin, []
        elif self.unsplit == "test":
            origin = "The source gives no split: all of it is test." if "" in given else _GIVEN
            return [split or "test" for split in given], origin, []
        elif self.unsplit == "train":
            given = [split or "train" for split in given]
        strata = Strata.of(self.task.strata(manifest.rows()), self.task.strata_names)
        pixels = [each.pixels for each in seen]
        groups = connected_groups(manifest.column("patient"), pixels, study_keys(manifest))
        made = make_splits(self.plan, given, strata, groups, manifest.column("image"), self.seed)
        return list(made.splits), made.origin, list(made.findings)


_GIVEN = "As the source gives them."


def _untrained(manifest: Manifest, task: Task) -> list[Finding]:
    """Report classes that cannot be learnt."""
    rows = [row for row in manifest.rows() if row["split"] == "train"]
    missing = task.absent(rows)
    if not missing:
        return []
    said = f"train has {listed(missing.values())}."
    return [Finding("untrained-class", "error", said, "add some, or take the class out")]
