"""The cache: every image is looked at and prepared once, for all workers, ranks and runs."""

from rn50med.data.cache.build import read_images
from rn50med.data.cache.place import CACHE_VARIABLE, cache_place, clear, occupied
from rn50med.data.cache.stored import FreshImages, MappedImages, PreparedImages, prepared
from rn50med.data.cache.work import Outcome, Work

__all__ = [
    "CACHE_VARIABLE",
    "FreshImages",
    "MappedImages",
    "Outcome",
    "PreparedImages",
    "Work",
    "cache_place",
    "clear",
    "occupied",
    "prepared",
    "read_images",
]
