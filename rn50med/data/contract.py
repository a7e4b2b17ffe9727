"""The pixel contract: how a run's images were read, and of which kinds they were.

It goes into the checkpoint. Whoever uses the model later reads images the same way, and is told of images
of a kind that the model has not learnt from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rn50med.data.readers import Facts, Reader
from rn50med.data.readers.reader import CONTRACT
from rn50med.data.seen import Seen
from rn50med.errors import DataError, StorageError, listed

_ARRAYS = frozenset({"NIfTI", "NumPy"})


@dataclass(frozen=True)
class PixelContract:
    """How images were read, and their kinds.

    Args:
        reader: Reads them.
        kinds: Of the images that were trained on, in order.
    """

    reader: Reader
    kinds: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Return the contract in plain types, for a checkpoint."""
        return {"reader": dict(self.reader.contract), "kinds": list(self.kinds)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> PixelContract:
        """Return the contract that a checkpoint holds.

        Args:
            plain: As `plain` gave it.

        Raises:
            StorageError: If it was made by readers that give other pixels.
        """
        options = dict(plain["reader"])
        version = options.pop("version")
        if version != CONTRACT:
            raise StorageError(
                f"checkpoint: its images were read by version {version} of the readers, this is version "
                f"{CONTRACT}, which gives other pixels; use the version of rn50med that trained it."
            )
        return cls(Reader(**options), tuple(plain["kinds"]))

    def check_reader(self, reader: Reader) -> None:
        """Refuse to judge a model on images that are read in another way.

        Args:
            reader: Of the images.

        Raises:
            DataError: If it has other options, naming each.
        """
        ours, theirs = self.reader.contract, reader.contract
        other = [f"data.reader.{k} is {theirs[k]!r}, not {ours[k]!r}" for k in ours if theirs[k] != ours[k]]
        if other:
            raise DataError(
                f"reader: {listed(other)} as in training; leave these options as the run had them."
            )

    def strange(self, kinds: Iterable[str]) -> str | None:
        """Return a sentence on images of kinds that were not trained on, or None where there are none.

        Args:
            kinds: Of each image.
        """
        counted = Counter(kind for kind in kinds if kind not in self.kinds)
        if not counted:
            return None
        found = listed(f"{count} {kind}" for kind, count in sorted(counted.items()))
        return (
            f"{counted.total()} images are of kinds that the model has not learnt from ({found}); "
            f"it knows {listed(self.kinds)}."
        )


def kind_of(facts: Facts) -> str:
    """Return what kind of image a file holds, as far as a model can tell: format families, modality, colour.

    Args:
        facts: What the file says of itself.

    Example:
        >>> kind_of(Facts("DICOM", "MONOCHROME1", 12, 2000, 2000, 1, modality="DX"))
        'DICOM DX'
        >>> kind_of(Facts("JPEG", "RGB", 8, 224, 224, 3))
        'picture'
    """
    if facts.format == "DICOM":
        words = ["DICOM", facts.modality or "of no modality", facts.presentation.lower()]
        return " ".join(word for word in words if word and word != "for presentation")
    if facts.format in _ARRAYS:
        return f"{facts.format} {facts.mode}"
    return "picture"


def kinds_of(seen: Iterable[Seen | None]) -> tuple[str, ...]:
    """Return the kinds of images that were seen, each once, in order.

    Args:
        seen: Of each image; None where it could not be read.
    """
    return tuple(sorted({kind_of(one.facts) for one in seen if one is not None}))
