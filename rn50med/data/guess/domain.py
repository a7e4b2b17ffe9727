"""Which transforms suit the images: by modality, by colour, and by what the classes are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from rn50med.data.readers import Image, ImageFault

SAMPLE = 16
"""Images that are opened for a guess."""

_BY_MODALITY = MappingProxyType(
    {
        "CR": "Radiograph", "DX": "Radiograph", "RG": "Radiograph", "MG": "Mammogram", "US": "Ultrasound",
        "CT": "CTSlice", "MR": "MRISlice", "OP": "Fundus", "XC": "Dermoscopy", "SM": "Histology",
    }
)  # fmt: skip

_GREY_WORDS = (
    ("MRISlice", ("mri", "glioma", "meningioma", "pituitary", "brain")),
    ("Mammogram", ("mammo", "birads", "breast_density", "inbreast", "cbis")),
    ("Ultrasound", ("ultrasound", "busi", "sono")),
    ("CTSlice", ("ct", "hounsfield")),
)
_COLOUR_WORDS = (
    ("Fundus", ("retino", "fundus", "diabetic", "glaucoma", "macula", "proliferative", "aptos")),
    (
        "Histology",
        ("histo", "patho", "stain", "stroma", "adipose", "mitosis", "pcam", "tumour", "tumor", "lymph"),
    ),
    ("Dermoscopy", ("mel", "nevus", "naevus", "nv", "bkl", "skin", "derm", "lesion", "isic")),
)


@dataclass(frozen=True)
class Domain:
    """Transforms, and why.

    Args:
        transforms: Class name.
        reason: A sentence.
    """

    transforms: str
    reason: str


def sample(names: Sequence[str], read_one: Callable[[str], Image]) -> list[Image]:
    """Read some images, evenly spaced; those that cannot be read are left out.

    Args:
        names: Of all of them.
        read_one: Reads one.
    """
    chosen = np.unique(np.linspace(0, max(len(names) - 1, 0), SAMPLE).astype(int)).tolist() if names else []
    read = []
    for position in chosen:
        try:
            read.append(read_one(names[position]))
        except ImageFault:
            continue
    return read


def guess_domain(images: Sequence[Image], words: Iterable[str]) -> Domain:
    """Return the transforms that images look like.

    Args:
        images: Some of them.
        words: Names of source, columns and classes.
    """
    heard = " ".join(words).casefold()
    if not images:
        found = _by_words(_COLOUR_WORDS + _GREY_WORDS, heard)
        why = f"{found[1]!r} is among the names; " if found else ""
        reason = f"{why}none of the images that were tried could be read: CHECK"
        return Domain(found[0] if found else "Radiograph", reason)
    modalities = Counter(image.facts.modality for image in images if image.facts.modality in _BY_MODALITY)
    if modalities:
        modality = modalities.most_common(1)[0][0]
        return Domain(_BY_MODALITY[modality], f"the DICOM files are of modality {modality}")
    coloured = sum(_coloured(image) for image in images) * 2 > len(images)
    kind, other = ("colour", "Dermoscopy") if coloured else ("grey", "Radiograph")
    found = _by_words(_COLOUR_WORDS if coloured else _GREY_WORDS, heard)
    if found:
        return Domain(found[0], f"the images are {kind}, and {found[1]!r} is among the names: CHECK")
    return Domain(other, f"the images are {kind}, and nothing says of what: CHECK")


def _by_words(known: Sequence[tuple[str, tuple[str, ...]]], heard: str) -> tuple[str, str] | None:
    """Return the first transforms of which a word is among the names, and that word."""
    return next(((name, hint) for name, hints in known for hint in hints if _is_heard(hint, heard)), None)


def _is_heard(hint: str, heard: str) -> bool:
    """Return whether a word is among the names; a short one has to stand alone."""
    return hint in heard if len(hint) > 3 else hint in heard.replace("_", " ").replace("-", " ").split()


def _coloured(image: Image) -> bool:
    if image.values.ndim == 2:
        return False
    wide = image.values.astype(np.float64)
    return float(np.ptp(wide, axis=-1).mean()) > 0.01 * max(float(wide.max()), 1e-9)
