"""The thorax of one made-up patient, as density over patient coordinates.

Patient coordinates have their origin at the middle of the chest, x to the right of the film
(the patient's left), y downwards, and one unit per film width. Density is in arbitrary units
that add up along a ray, as attenuation does: about 0 for lung, about 0.5 for soft tissue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Field = NDArray[np.floating]  # single precision; numpy's stubs cannot see that it stays so


def soft_step(distance: Field, width: float) -> Field:
    """Return a step from 0 to 1 that is smooth and has reached both within ``width``.

    Args:
        distance: Signed distance from the edge, positive on the side of the ones.
        width: From the last 0 to the first 1, in the unit of ``distance``.

    Shape:
        - distance: any; the output has the same.
    """
    t = np.clip(distance / width + 0.5, 0, 1)
    return np.asarray(t * t * (3 - t - t))


@dataclass(frozen=True)
class Position:
    """How a patient stood before one film: the map between patient and film coordinates.

    Args:
        shift: Where the patient's origin lies on the film, from its middle, in film widths.
        angle: Rotation in radians.
        scale: Film widths per patient unit.
        size: Pixels per film width.
    """

    shift: tuple[float, float]
    angle: float
    scale: float
    size: int

    def grid(self) -> tuple[Field, Field]:
        """Return the patient coordinates x and y of every pixel's middle.

        Shape:
            - output: two of ``(size, size)``.
        """
        steps = (np.arange(self.size, dtype=np.float32) + 0.5) / self.size - 0.5
        across, down = (steps - self.shift[0])[None, :], (steps - self.shift[1])[:, None]
        c, s = math.cos(self.angle) / self.scale, math.sin(self.angle) / self.scale
        x, y = across * c + down * s, down * c - across * s
        return x, y

    def pixels(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Return where patient points lie on the film, in pixels across and down.

        Shape:
            - x, y: any, the same; both outputs have it too.
        """
        c, s = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        across, down = x * c - y * s + self.shift[0], x * s + y * c + self.shift[1]
        return (across + 0.5) * self.size, (down + 0.5) * self.size


@dataclass(frozen=True)
class Thorax:
    """The measures that several organs of one patient share, in patient units.

    Args:
        half_width: From the midline to the outer edge of a lung.
        apex: Height (y) of the top of the lungs.
        domes: Heights (y) of the right and of the left dome of the diaphragm.
        rib_step: From one rib to the next.
        heart: Middle x and y, radii across and down, of the heart.
        mediastinum: Half the width of the shadow between the lungs.
        curve: How far the spine bends sideways.
    """

    half_width: float
    apex: float
    domes: tuple[float, float]
    rib_step: float
    heart: tuple[float, float, float, float]
    mediastinum: float
    curve: float

    @classmethod
    def of(cls, rng: np.random.Generator) -> Thorax:
        """Draw a patient's measures."""
        half_width, dome = rng.uniform(0.31, 0.375), rng.uniform(0.16, 0.25)
        across = half_width * rng.uniform(0.40, 0.56)
        middle = (half_width * rng.uniform(0.10, 0.24), dome - rng.uniform(0.05, 0.09))
        return cls(
            half_width=half_width,
            apex=rng.uniform(-0.40, -0.33),
            domes=(dome, dome + rng.uniform(0.0, 0.04)),
            rib_step=rng.uniform(0.066, 0.08),
            heart=(*middle, across, rng.uniform(0.13, 0.17)),
            mediastinum=rng.uniform(0.05, 0.075),
            curve=rng.uniform(-0.02, 0.02),
        )

    def grown(self, growth: float) -> Thorax:
        """Return the same chest with a heart of another size.

        Args:
            growth: From 0, a third of the chest's width, to 1, two thirds of it.
        """
        x, y, _, _ = self.heart
        across = self.half_width * (0.30 + 0.36 * growth)
        return replace(self, heart=(x, y, across, 0.10 + 0.08 * growth))

    def air(self, x: Field, y: Field) -> Field:
        """Return how much of each point is open lung, in [0, 1].

        Shape:
            - x, y: any, the same; the output has it too.
        """
        side = np.abs(x - self.curve * np.sin(5 * y))
        fall = np.clip((y - self.apex) / 0.34, 0, 1)
        outer = self.half_width * (0.25 + 0.75 * np.sqrt(fall * (2 - fall))) + 0.04 * y
        inner = self.mediastinum + 0.12 * np.square(np.clip(-0.18 - y, 0, 1))
        ratio = (side - 0.5 * self.half_width) / self.half_width
        dome = (
            self.domes[0]
            + (self.domes[1] - self.domes[0]) * (x > 0).astype(np.float32)
            + 0.42 * np.square(ratio)
        )
        lung = soft_step(np.minimum(outer - side, y - self.apex - 0.25 * np.square(side - 0.13)), 0.022)
        lung *= soft_step(side - inner, 0.03) * soft_step(dome - y, 0.02)
        return lung * (1 - 0.93 * self.heart_shadow(x, y))

    def heart_shadow(self, x: Field, y: Field) -> Field:
        """Return how much of each point the heart and the great vessels cover, in [0, 1].

        Shape:
            - x, y: any, the same; the output has it too.
        """
        middle_x, middle_y, across, down = self.heart
        dx, dy = x - middle_x, y - middle_y
        lies_x, lies_y = dx * 0.9 + dy * 0.44, dy * 0.9 - dx * 0.44  # the apex points down and left
        muscle = np.exp(-np.square(lies_x / across) - np.square(lies_y / (0.8 * down)))
        knob = np.exp(-np.square((x - 0.035) / 0.05) - np.square((y + 0.14) / 0.06))
        vessels = np.exp(-np.square((x - 0.005) / 0.07) - np.square((y - 0.02) / 0.14))
        together = muscle + 0.6 * (knob + vessels)  # sums of bells merge into one outline
        return soft_step(together - 0.42, 0.17)

    def spot(self, rng: np.random.Generator, radius: float) -> tuple[float, float]:
        """Draw a point round which a disc lies in the lungs, or as nearly so as there is.

        Args:
            rng: Where to draw from.
            radius: Of the disc, in patient units.
        """
        tries = rng.uniform((-self.half_width, self.apex), (self.half_width, 0.3), size=(32, 2))
        ring = 0.8 * radius * np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)])
        points = (tries[:, None, :] + ring).astype(np.float32)
        fit = self.air(points[..., 0], points[..., 1]).min(axis=1)
        best = int(np.argmax(fit > 0.6)) if bool((fit > 0.6).any()) else int(np.argmax(fit))
        return float(tries[best, 0]), float(tries[best, 1])


def density(thorax: Thorax, rng: np.random.Generator, position: Position, x: Field, y: Field) -> Field:
    """Return what the patient's body absorbs at every pixel.

    Args:
        thorax: The patient's measures.
        rng: The patient's stream; every film of the patient has to start it anew.
        position: How the patient stood.
        x: The grid of ``position``.
        y: The other half of it.

    Shape:
        - x, y: ``(size, size)``; the output has it too.
    """
    air, heart = thorax.air(x, y), thorax.heart_shadow(x, y)
    body = _body(thorax, rng, x, y)
    bones = _bones(thorax, rng, x, y) * (1 - 0.5 * heart)
    total = body * (_soft_tissue(thorax, rng, x, y) + 0.10 * heart + bones)
    total -= air * rng.uniform(0.40, 0.48)
    total += air * _vessels(thorax, rng, position) * 0.16
    total += body * _unevenness(rng, position)
    return np.asarray(total - 0.3 * (1 - body))


def _body(thorax: Thorax, rng: np.random.Generator, x: Field, y: Field) -> Field:
    """Return 1 where there is body and 0 beside it: neck, shoulders, chest wall."""
    wall = thorax.half_width + rng.uniform(0.06, 0.12) + 0.08 * np.maximum(y, 0)
    shoulders = soft_step(y - (thorax.apex - rng.uniform(0.01, 0.05)), 0.2)
    arms = 0.16 * soft_step(-y - 0.12, 0.25)
    return soft_step(0.12 + (wall + arms - 0.12) * shoulders - np.abs(x), 0.03)


def _soft_tissue(thorax: Thorax, rng: np.random.Generator, x: Field, y: Field) -> Field:
    """Return the density of muscle, fat, abdomen and airway."""
    lean = rng.uniform(0.42, 0.52)
    total = np.full_like(x, lean) - 0.4 * np.square(x)
    total += rng.uniform(0.06, 0.14) * soft_step(y - thorax.domes[0], 0.06)
    bubble = np.square((x - 0.19) / 0.05) + np.square((y - thorax.domes[1] - 0.085) / 0.03)
    total -= rng.uniform(0.0, 0.14) * soft_step(1 - bubble, 1.0)
    centre = np.abs(x - thorax.curve * np.sin(5 * y))
    total += 0.12 * soft_step(0.045 - centre, 0.03)
    windpipe = soft_step(0.018 - centre, 0.02) * soft_step(-0.15 - y, 0.05)
    total -= rng.uniform(0.08, 0.16) * windpipe
    breast = rng.uniform(0.0, 0.10)
    low, wide = rng.uniform(0.10, 0.17), rng.uniform(0.09, 0.13)
    shape = np.square((np.abs(x) - 0.55 * thorax.half_width) / wide) + np.square((y - low) / 0.11)
    return total + breast * soft_step(1 - shape, 0.5)


def _bones(thorax: Thorax, rng: np.random.Generator, x: Field, y: Field) -> Field:
    """Return the density of ribs, spine and clavicles."""
    centre = np.abs(x - thorax.curve * np.sin(5 * y))
    inside = soft_step(thorax.half_width + 0.02 - centre, 0.03)
    start, bend = rng.uniform(0, 1), rng.uniform(0.30, 0.55)
    back = (y - bend * centre - 1.6 * centre * centre * centre) / thorax.rib_step + start
    front = (y + rng.uniform(0.7, 1.0) * (centre - 0.3)) / (1.2 * thorax.rib_step) + rng.uniform(0, 1)
    ribs = rng.uniform(0.09, 0.15) * _bands(back) * soft_step(centre - 0.04, 0.03)
    ribs += rng.uniform(0.03, 0.07) * _bands(front) * soft_step(centre - 0.15, 0.08)
    ribs *= inside * soft_step(y - thorax.apex + 0.02, 0.05)
    ribs *= 1 - 0.65 * soft_step(y - thorax.domes[0], 0.12)  # lost in the abdomen
    discs = 1 + 0.3 * np.cos(2 * math.pi * (y / thorax.rib_step + start))
    ribs += rng.uniform(0.05, 0.10) * soft_step(0.032 - centre, 0.012) * discs
    tilt, height = rng.uniform(0.10, 0.28), thorax.apex + rng.uniform(0.06, 0.10)
    line = height - tilt * (centre - 0.05) + 0.012 * np.sin(centre * 18)
    collar = soft_step(0.012 - np.abs(y - line), 0.01)
    ribs += rng.uniform(0.10, 0.16) * collar * soft_step(centre - 0.03, 0.02)
    return ribs


def _bands(phase: Field) -> Field:
    """Return bands with a bright rim, one per unit of phase, as a rib's cortex makes them."""
    wave = np.cos(2 * math.pi * phase)
    band = soft_step(wave - 0.35, 0.5)
    return band + 0.9 * band * (1 - band)


def _vessels(thorax: Thorax, rng: np.random.Generator, position: Position) -> Field:
    """Return lung vessels that fork and thin out from the two hila, in [0, 1]."""
    canvas = Image.new("L", (2 * position.size,) * 2)  # twice as fine, for smooth edges
    pen = ImageDraw.Draw(canvas)
    steps, stride = 7, 0.041
    side = np.repeat([-1.0, 1.0], 14)[:, None]
    start = np.tile(np.repeat(np.linspace(-1.3, 1.5, 7), 2), 2) + np.tile([-0.12, 0.12], 14)
    turns = rng.normal(0, 0.25, size=(28, steps))
    turns[:, 0] = start + 0.5 * turns[:, 0]
    headings = turns.cumsum(axis=1)
    x = np.cumsum(np.hstack([side * (thorax.mediastinum + 0.015), side * stride * np.cos(headings)]), axis=1)
    y = np.cumsum(np.hstack([0.04 * np.sin(start)[:, None] - 0.03, stride * np.sin(headings)]), axis=1)
    points = 2 * np.stack(position.pixels(x, y), axis=-1)
    for done, left in enumerate(np.linspace(1, 0, steps, endpoint=False)):
        width = 2 * position.size * position.scale * 0.011 * left
        ink = int(230 * min(1.0, width) * (0.5 + 0.5 * left))
        for ends in points[:, done : done + 2].reshape(28, 4).tolist():
            pen.line(ends, fill=ink, width=max(1, round(width)))
    return np.asarray(canvas.reduce(2), dtype=np.float32) / 255


def _unevenness(rng: np.random.Generator, position: Position) -> Field:
    """Return tissue that is not quite even: smooth noise at two scales, fixed to the patient."""
    c, s = math.cos(position.angle) / position.scale, math.sin(position.angle) / position.scale
    coarse = 112  # enough for the finer scale, and the same at every size
    total = np.zeros((coarse, coarse), dtype=np.float32)
    for cells, strength in ((10, 0.04), (40, 0.022)):
        tile = Image.fromarray((strength * rng.standard_normal((cells, cells))).astype(np.float32))
        unit = 0.7 * cells  # the middle 0.7 of the tile is one film: room for shift and turn
        across, down = 0.5 + position.shift[0], 0.5 + position.shift[1]
        row = (c * unit / coarse, s * unit / coarse)
        left, top = cells / 2 - unit * (c * across + s * down), cells / 2 - unit * (c * down - s * across)
        affine = (row[0], row[1], left, -row[1], row[0], top)
        total += np.asarray(
            tile.transform((coarse,) * 2, Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
        )
    whole = Image.fromarray(total).resize((position.size,) * 2, Image.Resampling.BICUBIC)
    return np.asarray(whole, dtype=np.float32)
