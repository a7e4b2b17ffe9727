"""The stored pixels of one DICOM frame: which decoder, and whether the frame is whole."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NoReturn

from rn50med.data.readers.checks import refuse_short
from rn50med.data.readers.dicom_jpeg import is_sound
from rn50med.data.readers.image import ImageFault, Values

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

PLUGINS = ("pydicom", "pillow", "pylibjpeg", "pyjpegls")
"""Decoders in the order in which they are tried: those that every installation has come first, so that
one more package makes more files readable and changes no value of those that were."""

LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
"""What GDCM alone decodes. It is asked for nothing else, as an unsound frame makes it end the process."""

EXTENDED = "1.2.840.10008.1.2.4.51"
PACKAGES = {
    "1.2.840.10008.1.2.4.57": "python-gdcm",  # JPEG Lossless
    "1.2.840.10008.1.2.4.70": "python-gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",  # JPEG-LS
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg-openjpeg",  # JPEG 2000
    "1.2.840.10008.1.2.4.91": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg-openjpeg",  # HTJ2K
    "1.2.840.10008.1.2.4.202": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg-openjpeg",
}
"""Of each compressed transfer syntax, the package of the ``dicom`` extra that decodes it."""

END = b"\xff\xd9"
"""Last marker of each frame in JPEG, JPEG-LS and JPEG 2000."""

FRAME_STARTS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG (T.81, table B.1) and JPEG-LS (T.87) that are followed by the size of the image."""


def stored_frame(dataset: Dataset, at: int) -> tuple[Values, str]:
    """Return one frame as it is stored, colours as RGB, and its photometric interpretation.

    Args:
        dataset: With pixels.
        at: Number of the frame, from 0.

    Raises:
        ImageFault: If it is cut off, damaged, or needs a decoder that is not there.
    """
    from pydicom.pixels.decoders.base import get_decoder  # noqa: PLC0415 - only when such a file is met

    syntax = _transfer_syntax(dataset)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        kind = "a video" if "MPEG" in syntax.name or "HEVC" in syntax.name else "compressed by a method"
        raise ImageFault(
            f"is {kind} that no decoder reads ({syntax.name}, {syntax}); save it as uncompressed images",
            "missing-decoder",
        ) from None
    if syntax.is_encapsulated:
        _check_frame(dataset, syntax, at)
    else:
        _check_length(dataset)
    fault: Exception | None = None
    for plugin in _plugins(syntax, decoder.available_plugins):
        try:
            values, facts = decoder.as_array(dataset, index=at, decoding_plugin=plugin)
        except Exception as error:  # each decoder raises its own kinds; another may read it
            fault = error
        else:
            native: Values = values.astype(values.dtype.newbyteorder("="), copy=False)
            return native, str(facts["photometric_interpretation"])
    return _refuse(dataset, syntax, decoder.available_plugins, fault)


def _plugins(syntax: UID, available: tuple[str, ...]) -> list[str]:
    """Return the decoders to try; uncompressed pixels need none, which pydicom calls an empty name."""
    if not syntax.is_encapsulated:
        return [""]
    names = (*PLUGINS, "gdcm") if syntax in LOSSLESS_JPEG else PLUGINS
    return [name for name in names if name in available]


def _transfer_syntax(dataset: Dataset) -> UID:
    """Return how the pixels are encoded; where the header lacks it, as the elements were read."""
    from pydicom import uid  # noqa: PLC0415

    meta = getattr(dataset, "file_meta", None)
    syntax = meta.get("TransferSyntaxUID") if meta is not None else None
    if syntax is None:
        implicit, little = dataset.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        syntax = uid.ImplicitVRLittleEndian if implicit else explicit
        dataset.file_meta.TransferSyntaxUID = syntax
    return uid.UID(syntax)


def _refuse(dataset: Dataset, syntax: UID, plugins: tuple[str, ...], fault: Exception | None) -> NoReturn:
    """Refuse a frame that no decoder read: for want of a decoder, or because it is damaged."""
    if syntax == EXTENDED and dataset.get("BitsStored") != 8 and "pylibjpeg" not in plugins:
        raise ImageFault(
            f"is in 12-bit JPEG ({syntax.name}, {syntax}), which only the package pylibjpeg-libjpeg decodes; "
            "its licence is the GPL, so rn50med does not bring it: install it yourself, or convert the file",
            "missing-decoder",
        )
    package = PACKAGES.get(syntax, "")
    if package and _plugin_of(package) not in plugins:
        raise ImageFault(
            f"needs a decoder for {syntax.name} ({syntax}); run `pip install rn50med[dicom]`, "
            f"which brings {package}",
            "missing-decoder",
        )
    reason = str(fault).splitlines()[-1].strip() if fault is not None and str(fault) else "no decoder read it"
    raise ImageFault(f"cannot be decoded: {reason}; copy the file again", "damaged")


def _plugin_of(package: str) -> str:
    return {"python-gdcm": "gdcm", "pylibjpeg-openjpeg": "pylibjpeg"}.get(package, package)


def _check_length(dataset: Dataset) -> None:
    """Refuse uncompressed pixels of which some are missing."""
    from pydicom.pixels.utils import get_expected_length  # noqa: PLC0415

    if "PixelData" not in dataset:
        return
    refuse_short(len(dataset.PixelData), get_expected_length(dataset))


def _check_frame(dataset: Dataset, syntax: UID, at: int) -> None:
    """Refuse a compressed frame without its end, or of another size than the header says.

    Some decoders fill what is missing with grey, and make room for whatever size the frame itself tells.
    """
    from pydicom.encaps import get_frame  # noqa: PLC0415
    from pydicom.uid import RLELossless  # noqa: PLC0415

    frames = int(dataset.get("NumberOfFrames") or 1)
    try:
        frame = get_frame(dataset.PixelData, at, number_of_frames=frames)
    except Exception as error:  # an offset or length that leads nowhere
        raise ImageFault("is cut off: its pixels lack frames; copy the file again", "truncated") from error
    if syntax == RLELossless:
        return
    if END not in frame[-16:]:  # some writers add bytes after the end
        raise ImageFault("is cut off: its pixels lack their end; copy the file again", "truncated")
    is_rgb = dataset.get("PhotometricInterpretation") == "RGB"
    if syntax in LOSSLESS_JPEG and not is_sound(frame, int(dataset.SamplesPerPixel), is_rgb):
        raise ImageFault("cannot be decoded: its lossless JPEG is damaged; copy the file again", "damaged")
    size, expected = _size(_codestream(frame)), (int(dataset.Rows), int(dataset.Columns))
    if size is not None and size != expected:
        raise ImageFault(
            f"says that it is {expected[0]} x {expected[1]} pixels large, and its pixels that they are "
            f"{size[0]} x {size[1]}; copy the file again",
            "damaged",
        )


def _codestream(frame: bytes) -> bytes:
    """Return what is in a JPEG 2000 frame's boxes, where a writer left them round it (T.800, annex I)."""
    at = 12  # the first box
    while frame[4:8] == b"jP  " and frame[at + 4 : at + 8] != b"jp2c":
        length = int.from_bytes(frame[at : at + 4], "big")
        if length < 8 or at + length >= len(frame):  # pydicom would follow a box of no length for ever
            raise ImageFault("cannot be decoded: its JPEG 2000 is damaged; copy the file again", "damaged")
        at += length
    return frame[at + 8 :] if frame[4:8] == b"jP  " else frame


def _size(frame: bytes) -> tuple[int, int] | None:
    """Return rows and columns by a frame's own header; None where it is of no known kind."""
    if frame.startswith(b"\xff\x4f\xff\x51"):  # JPEG 2000 (T.800, A.5.1): ends of the grid, then its offsets
        width, height, left, top = struct.unpack_from(">4I", frame.ljust(24, b"\0"), 8)
        return height - top, width - left
    at = 2
    while frame[at : at + 1] == b"\xff" and at + 9 <= len(frame):
        marker = frame[at + 1]
        if marker in FRAME_STARTS:
            rows, columns = struct.unpack_from(">2H", frame, at + 5)
            return rows, columns
        at += 1 if marker == 0xFF else 2 + int.from_bytes(frame[at + 2 : at + 4], "big")  # 0xFF: a filler
    return None
