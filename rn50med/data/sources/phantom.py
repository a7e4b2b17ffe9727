"""Synthetic films, drawn as they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd
import scipy

from rn50med.data.faults import Faults
from rn50med.data.images import Images, Reading
from rn50med.data.manifest import Columns
from rn50med.data.phantom import PhantomRow, cohort, draw_film
from rn50med.data.readers import full_range
from rn50med.data.sources.base import Found, Place, Source
from rn50med.data.sources.table import numbered
from rn50med.tasks import Task

WORD = "phantom"
_DRAWN_BY = ("phantom.py", "phantom_anatomy.py")
_SIZE = 256


class PhantomImages(Images):
    """Films of a cohort, drawn each time they are read.

    Args:
        seed: Of the whole phantom.
        films: Films by the names that the manifest gives them.
        shown: The findings of each, and how large its heart is; None leaves that to the patient.
    """

    def __init__(
        self,
        seed: int,
        films: Mapping[str, PhantomRow],
        shown: Mapping[str, tuple[tuple[int, ...], float | None]],
    ) -> None:
        self.seed = seed
        self.films = films
        self.shown = shown

    def read(self, name: str) -> Reading:
        """Draw one film."""
        film, (findings, growth) = self.films[name], self.shown[name]
        pixels = draw_film(self.seed, film.patient, film.film, findings, _SIZE, growth).pixels
        return Reading(full_range(pixels, "phantom"), hashlib.sha256(pixels.tobytes()).hexdigest())

    def identity(self, name: str) -> str | None:
        """Return what is drawn, and a hash of what draws it."""
        film = self.films[name]
        shown = (self.seed, film.patient, film.film, *self.shown[name], _SIZE)
        return f"phantom\0{_drawing()}\0{shown}"


@cache
def _drawing() -> str:
    """Return a hash of the code that draws, and of the versions of what it draws with."""
    code = [files("rn50med.data").joinpath(name).read_bytes() for name in _DRAWN_BY]
    versions = f"{np.__version__} {scipy.__version__}".encode()
    return hashlib.sha256(b"\0".join([*code, versions])).hexdigest()


class PhantomSource(Source):
    """Synthetic films, drawn from a seed; the task says what they show.

    Args:
        place: Its seed; another one gives other patients.
    """

    kind = "phantom"
    about = "the word phantom"

    @classmethod
    def opens(cls, place: Place) -> bool:
        """Return whether it is the word."""
        return place.source == WORD

    @classmethod
    def words(cls) -> tuple[str, ...]:
        """Return the word."""
        return (WORD,)

    @property
    def name(self) -> str:
        """The word."""
        return WORD

    def find(self, task: Task, columns: Columns, faults: Faults) -> Found:
        """Draw the cohort, not yet its films."""
        seed = self.place.seed
        films = cohort(seed)
        drawn = np.random.default_rng([seed, 1]).permutation(max(film.patient for film in films) + 1)
        # Evenly spaced draws, shuffled: the classes have the shares that the task asks for.
        place = {film.patient: (drawn[film.patient] + 0.5) / len(drawn) for film in films}
        imagined = {patient: task.imagine(draw) for patient, draw in place.items()}
        growth = {patient: task.growth(draw) for patient, draw in place.items()}
        named = {f"patient-{f.patient:04d}-film-{f.film}": f for f in films}
        rows = [
            {"image": name, "patient": f"patient-{f.patient:04d}", "split": f.split, **imagined[f.patient][0]}
            for name, f in named.items()
        ]
        shown = {name: (imagined[film.patient][1], growth[film.patient]) for name, film in named.items()}
        images = PhantomImages(seed, named, shown)
        return Found(numbered(pd.DataFrame(rows, dtype=str)), images, Columns(patient="patient"))
