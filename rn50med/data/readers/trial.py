"""One real file of each kind, read: what this installation can decode."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from rn50med.data.readers.image import ImageFault, Values
from rn50med.data.readers.reader import Reader

RAMP = np.linspace(0, 255, 48 * 64).reshape(48, 64).round().astype(np.uint8)

ENCODINGS = (
    ("RLE", "MR_small_RLE.dcm", "MR_small.dcm", 0),
    ("deflated", "image_dfl.dcm", "image_dfl.dcm", 0),
    ("JPEG", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle.dcm", 6),
    ("JPEG Lossless", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm", 0),
    ("JPEG-LS", "MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm", 0),
    ("JPEG 2000", "MR_small_jp2klossless.dcm", "MR_small.dcm", 0),
)
"""Compressions of DICOM, a file that pydicom brings, one of the same picture, and the most they differ."""


@dataclass(frozen=True)
class Trial:
    """One kind of file that was read.

    Args:
        kind: Such as ``JPEG 2000``.
        fault: Why it cannot be read, and what to do; empty where it can.
        code: Code of the fault, ``missing-decoder`` where a package would mend it.
    """

    kind: str
    fault: str = ""
    code: str = ""


def trials() -> Iterator[Trial]:
    """Read one real file of each kind that is read, and yield how it went.

    Files are made here, in memory; of compressed DICOM they are those that pydicom brings, where it does.
    """
    for kind, content, expected in _plain():
        yield _tried(kind, content, expected, 4 if kind == "JPEG" else 0)
    for kind, name, twin, most in ENCODINGS:
        content, reference = _brought(name), _brought(twin)
        if content and reference:
            yield _tried(f"DICOM {kind}", content, Reader().decode(reference).values, most)


def _tried(kind: str, content: bytes, expected: Values, most: int) -> Trial:
    """Read one file, and compare it to what it holds."""
    try:
        values = Reader().decode(content).values
    except ImageFault as fault:
        return Trial(kind, str(fault), fault.code)
    if values.shape != expected.shape or np.abs(values.astype(np.int64) - expected).max() > most:
        return Trial(kind, "is read, but not as it was written; install its decoder again", "wrong")
    return Trial(kind)


def _plain() -> Iterator[tuple[str, bytes, Values]]:
    """Yield files that are written here: kind, bytes, and the values that they hold."""
    wide = RAMP.astype(np.uint16) * 257
    for kind, form, values in (
        ("PNG 8-bit", "PNG", RAMP),
        ("PNG 16-bit", "PNG", wide),
        ("PNG colour", "PNG", np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)),
        ("JPEG", "JPEG", RAMP),
        ("TIFF", "TIFF", wide),
        ("BMP", "BMP", RAMP),
        ("WebP", "WebP", np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)),
        ("GIF", "GIF", RAMP),
    ):
        file = BytesIO()
        PillowImage.fromarray(values).save(file, form, **({"lossless": True} if form == "WebP" else {}))
        yield kind, file.getvalue(), values
    file = BytesIO()
    np.save(file, wide)
    yield "npy", file.getvalue(), wide
    yield "NIfTI", _nifti(), wide
    yield "DICOM", _dicom(wide), wide


def _nifti() -> bytes:
    """Return the ramp as a gzipped axial slice, whose axes run to the left and to the front."""
    import nibabel  # noqa: PLC0415 - only where its files are met

    stored = (RAMP.astype(np.uint16) * 257)[::-1].T[..., None]
    volume = nibabel.Nifti1Image(stored, np.diag([-1, 1, 1, 1]))  # type: ignore[no-untyped-call]
    return gzip.compress(volume.to_bytes())


def _dicom(values: Values) -> bytes:
    """Return an uncompressed secondary capture."""
    from pydicom import Dataset  # noqa: PLC0415 - only where its files are met
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid  # noqa: PLC0415

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    dataset.Modality = "OT"
    dataset.set_pixel_data(values, "MONOCHROME2", values.dtype.itemsize * 8, generate_instance_uid=False)
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _brought(name: str) -> bytes:
    """Return a file that pydicom brings; nothing where it does not."""
    from pydicom.data import get_testdata_file  # noqa: PLC0415

    path = get_testdata_file(name, download=False)
    return Path(str(path)).read_bytes() if path else b""
