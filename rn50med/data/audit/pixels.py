"""Images: those that cannot be read, and what the others say of themselves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rn50med.data.audit.codes import CODES
from rn50med.data.audit.counting import MOST_DETAILS, lines_of, many, names_of, shares
from rn50med.data.faults import Fault
from rn50med.data.findings import Finding, Severity
from rn50med.data.manifest import Manifest
from rn50med.data.readers import Facts, ImageFault
from rn50med.data.seen import Seen

SMALL = 32
"""Side in pixels below which an image is tiny: the network halves it five times."""

FLAT = 0.002
"""Spread below which an image is nearly of one value: half of one of 256 greys."""

BURNS_IN = frozenset({"US", "SC", "OT", "XC", "ES"})
"""Modalities whose images often carry text."""

DIGITAL_FILM = frozenset({"", "DX", "MG", "CR", "RG"})
"""Modalities of which a detector's raw data may be stored."""


@dataclass(frozen=True)
class _Check:
    """A kind of image that is told of.

    Args:
        code: Of the finding.
        severity: Of the finding.
        holds: Whether an image is of that kind.
        what: Said after the number of images, of one and of several.
        remedy: What to do.
    """

    code: str
    severity: Severity
    holds: Callable[[Seen], bool]
    what: tuple[str, str]
    remedy: str


def faults_found(faults: Sequence[tuple[int, str, ImageFault]]) -> list[Finding]:
    """Return a finding for each kind of fault that images have.

    Args:
        faults: Row of the source, name of the image, and what is wrong with it.
    """
    by_code: dict[str, list[tuple[int, str, ImageFault]]] = {}
    for fault in sorted(faults, key=lambda each: each[0]):
        by_code.setdefault(fault[2].code, []).append(fault)
    return [
        Finding(
            code,
            "error",
            f"Images that {_meaning(code)}: {len(found)}.",
            _remedy(str(fault) for _, _, fault in found),
            tuple(row for row, _, _ in found),
            tuple(f"row {row}: {name} {fault}" for row, name, fault in found),
        )
        for code, found in by_code.items()
    ]


def _meaning(code: str) -> str:
    return CODES.get(code, f"cannot be used ({code})")


def _remedy(texts: Iterable[str]) -> str:
    """Return what the commonest messages say to do."""
    remedies = Counter(text.partition("; ")[2] for text in texts)
    return ", or ".join(remedy for remedy, _ in remedies.most_common(2) if remedy)


def rows_found(faults: Sequence[Fault]) -> list[Finding]:
    """Return a finding for each kind of fault that rows of the source have.

    Args:
        faults: As they were noted.
    """
    by_code: dict[str, list[Fault]] = {}
    for fault in faults:
        by_code.setdefault(fault.code, []).append(fault)
    return [
        Finding(
            code,
            "error",
            f"{many(len(found), 'row')}: {CODES.get(code, code)}.",
            "mend the cells",
            tuple(fault.row or 0 for fault in found),
            tuple(str(fault) for fault in found),
        )
        for code, found in by_code.items()
    ]


def image_findings(manifest: Manifest, seen: Sequence[Seen | None], channels: int) -> list[Finding]:
    """Report what images are, where that is unusual, mixed, or not what a network should see.

    Args:
        manifest: The images.
        seen: What was seen of each; None where it cannot be read.
        channels: Of the transforms: 1 for grey, 3 for colour.
    """
    told = [_checked(manifest, seen, check) for check in _CHECKS]
    told += [_mixed(seen, *mixture) for mixture in _MIXTURES]
    told += [_channels(manifest, seen, channels), _dark(seen)]
    return [finding for finding in told if finding is not None] + _notes(manifest, seen)


def _checked(manifest: Manifest, seen: Sequence[Seen | None], check: _Check) -> Finding | None:
    found = [i for i, each in enumerate(seen) if each is not None and check.holds(each)]
    if not found:
        return None
    what = check.what[len(found) > 1]
    return _finding(
        manifest, check.code, check.severity, f"{many(len(found), 'image')} {what}.", check.remedy, found
    )


def _finding(
    manifest: Manifest, code: str, severity: Severity, message: str, remedy: str, found: Sequence[int]
) -> Finding:
    details = tuple(names_of(manifest, [i]) for i in found[:MOST_DETAILS])
    return Finding(code, severity, message, remedy, lines_of(manifest, found), details)


_CHECKS = (
    _Check(
        "constant-image", "warning", lambda each: each.low == each.high or each.spread < FLAT,
        ("is of one value, or nearly so", "are of one value each, or nearly so"),
        "look at them, and take out what shows nothing",
    ),
    _Check(
        "tiny-image", "warning", lambda each: min(each.facts.height, each.facts.width) < SMALL,
        (f"is less than {SMALL} pixels high or wide", f"are less than {SMALL} pixels high or wide"),
        "give the images in their full size",
    ),
    _Check(
        "for-processing", "error",
        lambda each: _raw(each.facts),
        ("is FOR PROCESSING: the detector's raw data", "are FOR PROCESSING: the detector's raw data"),
        "give the images FOR PRESENTATION of the same studies",
    ),
    _Check(
        "burned-in", "error", lambda each: each.facts.burned_in == "YES",
        ("declares burned-in annotation, which may name a patient or give the label away",
         "declare burned-in annotation, which may name patients or give labels away"),
        "blank the text out",
    ),
    _Check(
        "burned-in-unknown", "warning",
        lambda each: each.facts.modality in BURNS_IN and not each.facts.burned_in,
        ("is of a modality that often burns in annotation, and does not say whether it does",
         "are of a modality that often burns in annotation, and do not say whether they do"),
        "look at some of them for names, dates and measurements",
    ),
    _Check(
        "exif-rotated", "info", lambda each: each.facts.rotated,
        ("was turned upright by its file's header", "were turned upright by their files' headers"), "",
    ),
)  # fmt: skip

_MIXTURES: tuple[tuple[str, Severity, str, Callable[[Facts], str], str], ...] = (
    ("mixed-modalities", "warning", "modalities", lambda facts: facts.modality,
     "keep one with --data.where 'Modality == ...'"),
    ("mixed-views", "warning", "views", lambda facts: facts.view,
     "keep what belongs together with --data.where 'ViewPosition in (PA, AP)', and see that no class has a "
     "view of its own"),
    ("mixed-photometric", "info", "modes or photometric interpretations", lambda facts: facts.mode, ""),
    ("mixed-bits", "info", "bit depths", lambda facts: f"of {facts.bits} bits", ""),
    ("mixed-formats", "info", "file formats", lambda facts: facts.format,
     "see that no class has a format of its own"),
)  # fmt: skip


def _mixed(
    seen: Sequence[Seen | None],
    code: str,
    severity: Severity,
    what: str,
    value: Callable[[Facts], str],
    remedy: str,
) -> Finding | None:
    counts = Counter(value(each.facts) for each in seen if each is not None)
    silent = counts.pop("", 0)
    if len(counts) < 2:
        return None
    rest = f", {silent} not told" if silent else ""
    return Finding(code, severity, f"There are images of several {what}: {shares(counts)}{rest}.", remedy)


def _channels(manifest: Manifest, seen: Sequence[Seen | None], channels: int) -> Finding | None:
    """Report colour images that are made grey, or grey ones where colour is expected."""
    wrong = [i for i, each in enumerate(seen) if each is not None and each.coloured == (channels == 1)]
    if not wrong:
        return None
    grey = channels == 1
    message = (
        f"{many(len(wrong), 'image')} {'is' if len(wrong) == 1 else 'are'} "
        f"{'colour, and made grey' if grey else 'grey, where the transforms are for colour'}."
    )
    remedy = f"take transforms for {'colour' if grey else 'grey'} images, if that is what they are"
    return _finding(manifest, "wrong-channels", "warning", message, remedy, wrong)


def _dark(seen: Sequence[Seen | None]) -> Finding | None:
    """Report 16-bit files that hold 12-bit values, or fewer, without saying so."""
    wide = [each for each in seen if each is not None and _spans_sixteen_bits(each.facts)]
    highest = max((each.high for each in wide), default=math.inf)
    if highest >= 2**13:
        return None
    message = (
        f"No value of {many(len(wide), '16-bit image')} is above {highest:.0f} of 65535, so that all are "
        "shown nearly black."
    )
    return Finding("dark-range", "warning", message, "stretch them to 16 bits, white being 65535")


def _raw(facts: Facts) -> bool:
    return facts.presentation.upper() == "FOR PROCESSING" and facts.modality in DIGITAL_FILM


def _spans_sixteen_bits(facts: Facts) -> bool:
    return facts.bits == 16 and facts.channels == 1 and facts.format in {"PNG", "TIFF"}


def _notes(manifest: Manifest, seen: Sequence[Seen | None]) -> list[Finding]:
    """Report what readers did that a reader of the report should know."""
    noted: dict[str, list[int]] = {}
    for position, each in enumerate(seen):
        for note in each.facts.notes if each is not None else ():
            noted.setdefault(note, []).append(position)
    return [
        _finding(manifest, code, "info", f"{CODES.get(code, code)}: {len(found)}.", "", found)
        for code, found in sorted(noted.items())
    ]
