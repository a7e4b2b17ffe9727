"""Small DICOM files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

DX = "1.2.840.10008.5.1.4.1.1.1.1"
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"


def write_dicom(path: Path, image: bool = True, seed: int = 0, **tags: object) -> Path:
    """Write a film of 6 x 4 pixels, or a report without any, with these tags."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DX if image else REPORT
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    found.SOPClassUID = meta.MediaStorageSOPClassUID
    found.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    if image:
        found.Rows, found.Columns, found.SamplesPerPixel = 6, 4, 1
        found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation = 16, 12, 11, 0
        found.PhotometricInterpretation = "MONOCHROME2"
        found.PixelData = np.random.default_rng(seed).integers(0, 4096, (6, 4), np.uint16).tobytes()
    for name, value in tags.items():
        setattr(found, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save_as(path, enforce_file_format=True)
    return path
