"""Readers: from the bytes of a file to values, each format's own way."""

from rn50med.data.readers.fingerprint import fingerprint
from rn50med.data.readers.image import Facts, Image, ImageFault, Values, full_range
from rn50med.data.readers.reader import Reader

__all__ = ["Facts", "Image", "ImageFault", "Reader", "Values", "fingerprint", "full_range"]
