"""The codes of all findings: stable names, for scripts and for looking them up."""

from __future__ import annotations

from types import MappingProxyType

CODES = MappingProxyType(
    {
        # leakage
        "patient-leak": "a patient has images in two splits",
        "study-leak": "a study has images in two splits",
        "identical-leak": "byte-identical images are in two splits",
        "pixels-leak": "images of equal pixels in different files are in two splits",
        "near-duplicates": "images look nearly the same across splits or patients",
        "identical-images": "byte-identical images are in the source, within one split",
        "identical-pixels": "images of equal pixels in different files are in the source, within one split",
        "splits": "the splits cannot be made or completed",
        "no-test": "the splits that are given have no test",
        "split-column": "the column of the splits does not hold what was asked for",
        # labels
        "single-class": "there is only one class, and nothing to tell apart",
        "untrained-class": "train lacks a class",
        "unknown-label": "a label is none of the task's classes",
        "unknown-split": "a split is none of train, val and test",
        "empty-cell": "a cell that is needed is empty",
        "stray-blank": "a cell has a stray blank before or after its text",
        "conflicting-labels": "images of equal pixels have different labels",
        "rare-class": "a class has too few patients for the folds asked for",
        "class-absent": "val or test lacks a class, so that its figures are undefined",
        "class-balance": "how many images each class has",
        "patients-several-classes": "patients hold images of several classes",
        # table
        "row": "a row has a cell that cannot be used",
        "duplicate-row": "two rows name one image",
        "duplicate-key": "two rows of a table of labels have one key",
        "ambiguous-file": "a row's key fits several files",
        "image-without-row": "images that no row of the table is about",
        "row-without-image": "rows that no image belongs to",
        "where-value": "a condition asks for values that no row has",
        "where-order": "cells that a condition cannot put in order",
        "damaged-header": "files that are named like DICOM, or start so, and cannot be read",
        "patients-unique": "no patient has two images, though the files may be of fewer patients",
        "study-two-patients": "a study belongs to two patients",
        "assumed": "something was taken for granted",
        # images that cannot be used
        "unreadable": "cannot be read",
        "not-an-image": "are no images that can be read",
        "missing": "are not there",
        "cannot-open": "cannot be opened",
        "damaged": "are damaged",
        "unsupported": "are of a kind that is not read",
        "missing-decoder": "are compressed in a way that needs another package",
        "not-an-image-object": "are DICOM objects without pixels",
        "empty": "are empty files",
        "truncated": "end too early",
        "web-page": "are web pages, not images",
        "git-lfs": "are Git LFS pointers, not images",
        "transparent": "are see-through in places",
        "several-frames": "hold several frames, of which none is chosen",
        "no-such-frame": "do not have the frame that is chosen",
        "volume": "are volumes, of which no slice is chosen",
        "no-such-slice": "do not have the slice that is chosen",
        "window": "have a window that cannot be used",
        "no-range": "do not say which of their values are black and white",
        "no-hounsfield": "are not in Hounsfield units, which the transforms need",
        "transform": "make the transforms fail",
        "too-large": "are larger than what is decoded",
        "nan": "hold values that are no numbers",
        # images that can be read
        "constant-image": "images are of one value, or nearly so",
        "tiny-image": "images are smaller than what the network can make use of",
        "dark-range": "16-bit files use few of their bits, so that they are nearly black",
        "mixed-modalities": "images of several modalities",
        "mixed-views": "images of several views",
        "mixed-photometric": "images of several photometric interpretations or modes",
        "mixed-bits": "images of several bit depths",
        "mixed-formats": "images in several file formats",
        "for-processing": "raw detector data, not meant to be looked at",
        "burned-in": "files that declare burned-in annotation",
        "burned-in-unknown": "files of a modality that burns in annotation, which do not say whether they do",
        "exif-rotated": "images turned by their file's header",
        "wrong-channels": "colour images where the transforms make grey ones, or the other way round",
        "no-window": "DICOM images without a window, shown with all their values",
        "voi-lut": "DICOM images shown by a VOI LUT or a sigmoid window",
        "padding": "DICOM images whose padding was made dark",
        "cmyk": "CMYK images, converted to RGB",
        "sixteen-bit-colour": "16-bit colour images, read at 8 bits",
        # strength
        "expected-interval": "how wide the intervals of this test set will be",
    }
)
"""Each code and one line of what it means."""

LEAKS = frozenset({"patient-leak", "study-leak", "identical-leak", "pixels-leak"})
"""What `data.allow_leakage` allows."""
