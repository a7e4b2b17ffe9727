"""From what a reader gives to the pixels of a domain: windows, percentiles and crops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rn50med.data.readers.image import Image, ImageFault, full_range
from rn50med.data.transforms import CropBright, CTSlice, Fundus, Mammogram, MRISlice, Stretch, Window
from rn50med.data.transforms.cropping import bright_region
from rn50med.errors import RecipeError

RAMP = np.linspace(-1000, 1000, 64 * 64).round().astype(np.int16).reshape(64, 64)


def hounsfield(values: np.ndarray) -> Image:
    image = full_range(np.zeros(values.shape, np.uint8), "DICOM")
    return Image(values, -160.0, 240.0, replace(image.facts, units="HU", modality="CT"))


def unit(pixels: np.ndarray) -> np.ndarray:
    return pixels / np.iinfo(pixels.dtype).max


@pytest.mark.parametrize("window", [(40.0, 400.0), (-600.0, 1500.0)])
def test_a_ct_slice_is_shown_through_the_windows_hounsfield_units(window: tuple[float, float]) -> None:
    centre, width = window
    shown = unit(CTSlice(size=64, window=window).prepare(hounsfield(RAMP))[0])
    expected = np.clip((RAMP - (centre - width / 2)) / width, 0, 1)
    assert np.abs(shown - expected).max() < 0.01


def test_a_slice_that_shows_a_window_already_passes_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    for given in (pixels, full_range(pixels)):
        assert np.array_equal(CTSlice(size=64).prepare(given)[0], pixels)


def test_values_that_nobody_calls_hounsfield_units_are_refused() -> None:
    facts = full_range(np.zeros((64, 64), np.uint8), "DICOM").facts
    with pytest.raises(
        ImageFault, match=r"not said to be Hounsfield units; give CT with its rescale"
    ) as caught:
        Window(40, 400)(Image(RAMP, -1000.0, 1000.0, facts))
    assert caught.value.code == "no-hounsfield"
    with pytest.raises(ImageFault, match=r"--data.reader.range"):
        Window(40, 400)(Image(RAMP, float("nan"), float("nan"), replace(facts, format="NIfTI")))


def test_a_range_that_the_reader_was_given_is_shown() -> None:
    facts = full_range(np.zeros((64, 64), np.uint8), "NIfTI").facts
    shown = unit(Window(40, 400)(Image(RAMP, -500.0, 500.0, facts)))
    assert np.abs(shown - np.clip((RAMP + 500) / 1000, 0, 1)).max() < 0.01


@pytest.mark.parametrize(
    "window", [(40.0, 0.0), (40.0, -1.0), (40.0,), (float("nan"), 400.0), (0.0, float("inf"))]
)
def test_a_window_that_is_none_is_refused(window: tuple[float, ...]) -> None:
    with pytest.raises(RecipeError, match=r"give its centre and width in Hounsfield units"):
        CTSlice(window=window)


def test_a_slice_of_mri_is_shown_alike_whatever_its_scale() -> None:
    values = np.random.default_rng(0).gamma(2, 100, (64, 64)).astype(np.uint16)
    values[0, 0] = 60000  # one hot pixel must not darken the rest
    prepare = MRISlice(size=64).prepare
    one, other = unit(prepare(values)[0]), unit(prepare(full_range(values // 2 * 2 + 300))[0])
    assert np.abs(one - other).max() < 0.02
    assert 0.25 < one.mean() < 0.5


def test_a_constant_slice_stays_finite() -> None:
    shown = Stretch(1, 99)(np.full((40, 40), 7, np.uint16))
    assert shown.dtype in (np.uint8, np.uint16)
    assert len(np.unique(shown)) == 1


# Crops


def disc(height: int, width: int, radius: float, brightness: int = 120) -> np.ndarray:
    rows, columns = np.indices((height, width))
    inside = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < radius**2
    noise = np.random.default_rng(0).integers(0, 9, (height, width, 3))
    return (noise + brightness * inside[..., None]).astype(np.uint8)


@pytest.mark.parametrize("wide", [True, False])
def test_the_disc_of_a_fundus_photograph_fills_the_square(wide: bool) -> None:
    photo = disc(400, 700 if wide else 400, 180)
    photo[10:18, 5:60] = 255  # a burned-in date
    prepared = Fundus(size=128).prepare(photo)[0]
    lit = prepared > 60
    assert lit[:, 2:126].any(axis=0).all()
    assert lit[2:126].any(axis=1).all()
    assert lit.mean() == pytest.approx(np.pi / 4, abs=0.04)


def test_a_photograph_in_16_bits_is_cut_as_its_twin() -> None:
    photo = disc(300, 500, 120)
    assert bright_region(photo, 0.06) == bright_region(photo.astype(np.uint16) * 257, 0.06)


@pytest.mark.parametrize("brightness", [0, 3])
def test_a_picture_without_anything_bright_is_kept_whole(brightness: int) -> None:
    for pixels in (np.full((300, 200, 3), brightness, np.uint8), np.full((6, 4), brightness, np.uint8)):
        assert CropBright(0.06)(pixels).shape == pixels.shape


def test_a_lamp_is_not_taken_for_the_disc() -> None:
    pixels = np.zeros((400, 400), np.uint8)
    pixels[100:140, 100:140] = 255
    assert CropBright(0.06)(pixels).shape == (400, 400)


@pytest.mark.parametrize("left", [True, False])
def test_a_breast_keeps_its_side_and_loses_the_air_and_the_letters(left: bool) -> None:
    rows, columns = np.indices((800, 600))
    film = np.where((rows - 400) ** 2 / 300**2 + columns**2 / 260**2 < 1, 20000, 0).astype(np.uint16)
    film[30:80, 480:560] = 65535
    film = film if left else film[:, ::-1]
    cut = CropBright(0.04)(film)
    assert 600 <= cut.shape[0] <= 630
    assert 260 <= cut.shape[1] <= 275
    assert (cut[:, 0].max() > 0) == left
    assert (cut[:, -1].max() > 0) != left
    assert cut.max() == 20000
    prepared = Mammogram(size=64).prepare(film)[0]
    whole = Mammogram(size=64, crop=False).prepare(film)[0]
    assert (prepared > 0).mean() > 1.5 * (whole == whole.max()).mean()
    assert (prepared[:, :32].mean() > prepared[:, 32:].mean()) == left


def test_a_scanned_film_with_a_bright_background_is_kept_whole() -> None:
    film = np.full((500, 400), 40, np.uint8)
    film[100:400, :200] = 150
    assert CropBright(0.04)(film).shape == (500, 400)
