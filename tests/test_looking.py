"""What the check keeps of an image: enough to compare it, robust to how it was saved."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from rn50med.data.images import Reading
from rn50med.data.looking import look, perceptual_hash
from rn50med.data.phantom import draw_film
from rn50med.data.readers import Facts, Image, Reader, full_range


def film(patient: int = 0) -> np.ndarray:
    """Return a phantom film with 8 bits."""
    pixels = draw_film(0, patient, 0, ()).pixels
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)


def differing(one: Image, other: Image) -> int:
    return (perceptual_hash(one) ^ perceptual_hash(other)).bit_count()


def saved(picture: Pillow.Image, format: str, **options: object) -> Image:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return Reader().decode(buffer.getvalue())


@pytest.mark.parametrize(
    "again",
    [
        lambda p: saved(p, "JPEG", quality=90),
        lambda p: saved(p, "JPEG", quality=75),
        lambda p: saved(p.convert("RGB"), "PNG"),
        lambda p: saved(p, "TIFF"),
        lambda p: saved(p.resize((160, 160), Pillow.Resampling.BILINEAR), "PNG"),
        lambda p: saved(p.resize((700, 700), Pillow.Resampling.BICUBIC), "PNG"),
        lambda p: saved(p.point(lambda v: v * 0.9 + 10), "PNG"),
        lambda p: full_range(np.asarray(p).astype(np.uint16) * np.uint16(257)),
    ],
    ids=["jpeg 90", "jpeg 75", "rgb", "tiff", "smaller", "larger", "brighter", "16 bits"],
)
def test_a_film_saved_again_keeps_its_hash_within_two_bits(again) -> None:
    for patient in range(3):
        values = film(patient)
        assert differing(full_range(values), again(Pillow.fromarray(values))) <= 2


def test_films_of_different_patients_have_different_hashes() -> None:
    hashes = [perceptual_hash(full_range(film(patient))) for patient in range(12)]
    least = min((a ^ b).bit_count() for i, a in enumerate(hashes) for b in hashes[:i])
    assert least > 2


def test_monochrome1_and_2_twins_have_one_hash() -> None:
    values = film().astype(np.uint16)
    facts = Facts("DICOM", "MONOCHROME1", 8, *values.shape, 1)
    assert differing(Image(255 - values, 255.0, 0.0, facts), Image(values, 0.0, 255.0, facts)) == 0


def test_a_window_that_cuts_values_off_is_what_is_compared() -> None:
    values = film().astype(np.int32)
    facts = Facts("DICOM", "MONOCHROME2", 16, *values.shape, 1)
    cut = np.clip(values, 60, 160)
    assert differing(Image(values, 60.0, 160.0, facts), Image(cut, 60.0, 160.0, facts)) == 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (31, 31), (300, 257), (300, 270, 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.float32])
def test_any_shape_and_type_can_be_looked_at(shape: tuple[int, ...], kind: type) -> None:
    values = np.random.default_rng(0).integers(0, 120, shape).astype(kind)
    facts = Facts("NumPy", "", 8, shape[0], shape[1], 1 if len(shape) == 2 else 3)
    seen = look(Reading(Image(values, float("nan"), float("nan"), facts), "00"))
    assert (seen.low, seen.high) == (values.min(), values.max())
    assert 0 <= seen.look < 2**64
    assert 0 <= seen.spread <= 0.5
    assert seen.coloured == (len(shape) == 3)
    assert len(seen.pixels) == 64


def test_spread_is_a_share_of_what_a_display_shows() -> None:
    values = np.tile(np.array([[0, 4095]], dtype=np.uint16), (40, 20))
    facts = Facts("PNG", "I;16", 16, 40, 40, 1)
    assert look(Reading(Image(values, 0.0, 65535.0, facts), "")).spread == pytest.approx(0.5 / 16, rel=1e-3)
    assert look(Reading(Image(values, 0.0, 4095.0, facts), "")).spread == pytest.approx(0.5)
    assert look(Reading(Image(values, 4095.0, 9000.0, facts), "")).spread == 0


def test_what_is_no_number_harms_nothing() -> None:
    values = np.ones((40, 40), dtype=np.float32)
    values[:20] = 0
    values[0, 0], values[0, 1] = np.nan, np.inf
    facts = Facts("NIfTI", "float32", 32, 40, 40, 1)
    seen = look(Reading(Image(values, 0.0, 1.0, facts), ""))
    assert np.isfinite([seen.low, seen.high, seen.spread]).all()


def test_a_constant_image_has_the_hash_zero_and_no_spread() -> None:
    for value in (0, 7, 255):
        seen = look(Reading(full_range(np.full((50, 70), value, dtype=np.uint8)), ""))
        assert (seen.look, seen.spread, seen.low, seen.high) == (0, 0.0, value, value)


def test_equal_channels_are_no_colour() -> None:
    grey = np.repeat(film()[..., None], 3, axis=2)
    assert not look(Reading(full_range(grey), "")).coloured
    grey[0, 0, 2] ^= 1
    assert look(Reading(full_range(grey), "")).coloured
