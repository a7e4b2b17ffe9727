"""Built-in images: frontal chest films of patients who do not exist.

They let every recipe be tried and tested without a download. Each film is a thorax with ribs,
heart, vessels and smooth opacities, taken at its own position and exposure. A finding is a
texture in the lungs that neither brightens nor darkens a region, so that a network has to
look at it closely: neither a thumbnail nor a histogram gives it away.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rn50med.data.phantom_anatomy import Field, Position, Thorax, density, soft_step
from rn50med.errors import DataError

Box = tuple[int, int, int, int]

# The streams of random numbers of a film: one each, so that no draw moves another.
_ANATOMY, _POSITION, _EXPOSURE, _OPACITIES, _FINDING, _COHORT = range(6)


@dataclass(frozen=True)
class PhantomFilm:
    """One film and where its findings are.

    Args:
        pixels: Grey values, bright where the body is dense, ``(H, W)``.
        boxes: Of each finding: left, top, right, bottom in pixels; right and bottom exclusive.
        masks: Of each finding: the pixels it touches, ``(H, W)``. None outside has changed.
    """

    pixels: NDArray[np.uint8]
    boxes: Mapping[int, Box]
    masks: Mapping[int, NDArray[np.bool_]]


@dataclass(frozen=True)
class PhantomRow:
    """One film of a cohort.

    Args:
        patient: Number of the patient, from 0, in one split only.
        film: Number of the patient's film, from 0.
        split: ``"train"``, ``"val"`` or ``"test"``.
    """

    patient: int
    film: int
    split: str


@dataclass(frozen=True)
class _Style:
    """What one finding looks like, by rule from its number.

    Args:
        waves: Plane waves that are summed: 1 makes stripes, 2 a lattice, 3 dots; 0 makes rings.
        sign: -1 turns dots into the holes of a honeycomb.
        wavelength: In patient units.
        angle: Of the first wave, in radians; in a quarter turn, so that no style is
            another one's mirror image.
        patches: How many places the finding takes, at the least and at the most.
        reach: Size of a patch, as a multiple of the first finding's.
        stretch: Length over width of a patch.
    """

    waves: int
    sign: int
    wavelength: float
    angle: float
    patches: tuple[int, int]
    reach: float
    stretch: float

    @classmethod
    def of(cls, finding: int) -> _Style:
        """Return the style of a finding; the first fifteen differ in pattern or in scale."""
        waves, sign = ((3, 1), (1, 1), (3, -1), (2, 1), (0, 1))[finding % 5]
        octave = finding // 5 % 3
        turn = finding * 0.618 % 1  # the golden ratio: successive angles never bunch
        return cls(
            waves=waves,
            sign=sign,
            wavelength=0.042 * 1.4**octave,
            angle=turn * math.pi / 2,
            patches=(4 - finding % 3, 7 - finding % 3),
            reach=1.2**octave,  # a coarser pattern needs room to be seen
            stretch=1 + 0.25 * (finding % 4),
        )

    def texture(self, x: Field, y: Field) -> Field:
        """Return the pattern round the origin, with a root mean square of 1.

        Shape:
            - x, y: any, the same; the output has it too.
        """
        turns = 2 * math.pi / self.wavelength
        bent_x = turns * (x + 0.15 * self.wavelength * np.sin(turns * y / 3.1))
        bent_y = turns * (y + 0.15 * self.wavelength * np.sin(turns * x / 2.7))
        if self.waves == 0:
            return np.asarray(math.sqrt(2) * np.cos(np.hypot(bent_x, bent_y)))
        angles = [self.angle + math.pi * wave / self.waves for wave in range(self.waves)]
        total = sum(np.cos(bent_x * math.cos(a) + bent_y * math.sin(a)) for a in angles)
        return np.asarray(self.sign * math.sqrt(2 / self.waves) * total)


def draw_film(
    seed: int,
    patient: int,
    film: int,
    findings: Collection[int],
    size: int = 256,
    growth: float | None = None,
) -> PhantomFilm:
    """Draw one film of one patient.

    The same arguments give the same film, whatever was drawn before. Another film of the
    patient shows the same anatomy at another position and exposure. A finding changes
    nothing outside its mask.

    Args:
        seed: Of the whole phantom, 0 or more.
        patient: Number of the patient, 0 or more.
        film: Number of the patient's film, 0 or more.
        findings: Numbers of the findings to show, each 0 or more. The first fifteen differ in
            pattern or scale; later ones only in angle and arrangement.
        size: Height and width in pixels, 32 or more; the film looks alike at every size.
        growth: How large the heart is for this chest, in [0, 1]; None leaves it to the patient, as anatomy
            has it.

    Raises:
        DataError: If an argument is out of range.

    Example:
        >>> film = draw_film(seed=0, patient=7, film=0, findings=[0], size=64)
        >>> film.pixels.shape, sorted(film.boxes)
        ((64, 64), [0])
    """
    _check(seed, patient, film, findings, size, growth)
    position = _position(_stream(seed, _POSITION, patient, film), size)
    x, y = position.grid()
    anatomy = _stream(seed, _ANATOMY, patient)
    thorax = Thorax.of(anatomy) if growth is None else Thorax.of(anatomy).grown(growth)
    absorbed = density(thorax, anatomy, position, x, y)
    absorbed += _opacities(thorax, _stream(seed, _OPACITIES, patient, film), x, y)
    exposure = _stream(seed, _EXPOSURE, patient, film)
    blur = exposure.uniform(0.0015, 0.0032) * size
    absorbed = ndimage.gaussian_filter(absorbed, blur, truncate=3)
    masks: dict[int, NDArray[np.bool_]] = {}
    for finding in sorted(set(findings)):
        rng = _stream(seed, _FINDING, patient, film, finding)
        masks[finding] = _add_finding(absorbed, finding, thorax, rng, (x, y), blur)
    pixels = _expose(absorbed, exposure)
    return PhantomFilm(pixels, {finding: _bounds(mask) for finding, mask in masks.items()}, masks)


def cohort(seed: int, train: int = 180, val: int = 50, test: int = 100) -> list[PhantomRow]:
    """Return which films of which patients each split holds.

    Every patient has one to five films. Patients 2n and 2n + 1 have equally many and are in the
    same split, so calling the odd ones ill makes half of the patients and half of the films ill.

    Args:
        seed: Of the whole phantom, 0 or more.
        train: Patients to train on, an even number.
        val: Patients to choose thresholds and checkpoints on, an even number.
        test: Patients to score, an even number.

    Raises:
        DataError: If a number of patients is negative or odd, or ``seed`` is negative.

    Example:
        >>> rows = cohort(seed=0)
        >>> {split: sum(row.split == split for row in rows) for split in ("train", "val", "test")}
        {'train': 540, 'val': 150, 'test': 300}
    """
    splits = {"train": train, "val": val, "test": test}
    faults = [f"{name}={n!r} patients" for name, n in splits.items() if n < 0 or n % 2]
    faults += [f"seed={seed!r}"] if seed < 0 else []
    if faults:
        raise DataError(f"phantom cohort: {', '.join(faults)}; give even numbers that are not negative.")
    rng = _stream(seed, _COHORT)
    rows: list[PhantomRow] = []
    patient = 0
    for split, patients in splits.items():
        for films in rng.permutation(1 + np.arange(patients // 2) % 5):
            rows += [PhantomRow(p, film, split) for p in (patient, patient + 1) for film in range(films)]
            patient += 2
    return rows


def _check(
    seed: int, patient: int, film: int, findings: Collection[int], size: int, growth: float | None
) -> None:
    """Refuse arguments that no film can be drawn from."""
    numbers = {"seed": seed, "patient": patient, "film": film}
    faults = [f"{name}={value!r} is negative" for name, value in numbers.items() if value < 0]
    faults += [f"finding {finding!r} is negative" for finding in findings if finding < 0]
    faults += [f"size={size!r} is below 32"] if size < 32 else []
    faults += [f"growth={growth!r} is outside 0 to 1"] if growth is not None and not 0 <= growth <= 1 else []
    if faults:
        raise DataError(f"phantom film: {', '.join(faults)}; mend the arguments of draw_film().")


def _stream(seed: int, *key: int) -> np.random.Generator:
    """Return the random numbers of one purpose, independent of every other purpose's."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _position(rng: np.random.Generator, size: int) -> Position:
    """Draw how the patient stood."""
    shift = (rng.uniform(-0.035, 0.035), rng.uniform(-0.035, 0.035))
    return Position(shift, rng.uniform(-0.09, 0.09), rng.uniform(0.92, 1.08), size)


def _opacities(thorax: Thorax, rng: np.random.Generator, x: Field, y: Field) -> Field:
    """Return smooth shadows and clearings that mean nothing, as every film has some."""
    total = np.zeros_like(x)
    for _ in range(rng.integers(2, 6)):
        radius, strength = rng.uniform(0.04, 0.09), rng.uniform(0.03, 0.12) * (-1) ** int(rng.integers(2))
        left, top = thorax.spot(rng, radius)
        away = np.square((x - left) / radius) + np.square((y - top) / (radius * rng.uniform(0.7, 1.4)))
        total += strength * np.square(np.clip(1 - away, 0, 1))
    return total


def _add_finding(
    absorbed: Field,
    finding: int,
    thorax: Thorax,
    rng: np.random.Generator,
    grid: tuple[Field, Field],
    blur: float,
) -> NDArray[np.bool_]:
    """Add a finding to ``absorbed`` in place and return the pixels it has touched."""
    style, touched = _Style.of(finding), np.zeros(absorbed.shape, dtype=np.bool_)
    severity = rng.uniform(0.08, 0.18)  # from barely to plainly visible
    for _ in range(rng.integers(*style.patches, endpoint=True)):
        radius, strength = style.reach * rng.uniform(0.055, 0.09), severity * rng.uniform(0.8, 1.2)
        left, top = thorax.spot(rng, radius)
        near = np.square(grid[0] - left) + np.square(grid[1] - top) < (style.stretch * radius) ** 2
        rows, columns = _slices(near)
        x, y = (axis[rows, columns] - at for axis, at in zip(grid, (left, top), strict=True))
        c, s = math.cos(style.angle), math.sin(style.angle)
        away = np.hypot((x * c + y * s) / style.stretch, y * c - x * s)
        edge = soft_step(0.75 - away / radius, 0.5)
        edge *= thorax.air(x + left, y + top)
        aside, above = (style.wavelength * rng.uniform(-0.5, 0.5) for _ in range(2))
        pattern = style.texture(x + aside, y + above)
        pattern -= (pattern * edge).sum() / max(float(edge.sum()), 1e-6)  # no brighter, no darker
        shown = edge > 0.04  # below, a step of less than one grey value
        absorbed[rows, columns] += ndimage.gaussian_filter(strength * edge * pattern, blur) * shown
        touched[rows, columns] |= shown
    return touched


def _expose(absorbed: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return grey values of a film at its own gain, curve and noise."""
    size = absorbed.shape[0]
    gain, middle, gamma = rng.uniform(3.2, 4.8), rng.uniform(0.26, 0.36), rng.uniform(0.8, 1.25)
    strength = rng.uniform(0.008, 0.022) * size / 256  # per pixel: a finer one catches fewer quanta
    noise = rng.standard_normal(absorbed.shape, dtype=np.float32)
    light = 1 / (1 + np.exp(gain * (middle - absorbed - strength * noise)))
    return np.asarray(255 * light**gamma + 0.5, dtype=np.uint8)


def _slices(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and the columns that hold all of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _bounds(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box round a mask."""
    rows, columns = _slices(mask)
    return int(columns.start), int(rows.start), int(columns.stop), int(rows.stop)
