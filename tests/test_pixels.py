"""Pixels keep their meaning: depth, orientation, aspect, and what is black and white."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from rn50med.data.pixels import (
    Pixels,
    as_colour,
    as_grey,
    channels_first,
    display,
    read_image,
    resize,
    stretched,
    windowed,
)
from rn50med.data.readers import Facts, ImageFault, full_range
from rn50med.data.readers import Image as ReadImage
from rn50med.data.transforms import Unit
from rn50med.errors import DataError

HEIGHT, WIDTH = 6, 4
GREY = (np.arange(HEIGHT * WIDTH, dtype=np.uint8) * 10).reshape(HEIGHT, WIDTH)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)


def smooth(height: int, width: int) -> NDArray[np.uint8]:
    """Return a film that JPEG keeps nearly as it is."""
    y, x = np.mgrid[:height, :width]
    return np.round(40 + 150 * x / width + 50 * y / height).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def file_of(folder: Path, content: bytes, name: str = "film.png") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_image(path)
    return str(caught.value)


def sixteen_bit_colour() -> bytes:
    """Return a PNG with 16 bits in each of three channels, which Pillow cannot write."""
    wide = (COLOUR.astype(np.uint16) * 257).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in wide)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    ]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    "pixels", [GREY, COLOUR, GREY.astype(np.uint16) * 257], ids=["grey", "colour", "16 bit"]
)
def test_a_png_is_read_as_it_is_with_height_before_width(tmp_path: Path, pixels: Pixels) -> None:
    read = read_image(file_of(tmp_path, encoded(Image.fromarray(pixels))))
    assert read.dtype == pixels.dtype
    assert read.shape[:2] == (HEIGHT, WIDTH)
    assert np.array_equal(read, pixels)


@pytest.mark.parametrize("colour", [False, True])
def test_a_jpeg_is_read_with_height_before_width(tmp_path: Path, colour: bool) -> None:
    film = smooth(60, 40)
    pixels = np.repeat(film[..., None], 3, axis=2) if colour else film
    read = read_image(file_of(tmp_path, encoded(Image.fromarray(pixels), "JPEG", quality=98)))
    assert read.shape == pixels.shape
    assert np.abs(read.astype(int) - pixels).max() <= 3


def test_an_image_is_known_by_its_bytes_and_not_by_its_name(tmp_path: Path) -> None:
    path = file_of(tmp_path, encoded(Image.fromarray(smooth(60, 40)), "JPEG"), "really_a_jpeg.png")
    assert read_image(path).shape == (60, 40)


@pytest.mark.parametrize("size", [HEIGHT, 4, 32, 33])
def test_the_16_bit_twin_of_an_8_bit_film_gives_the_same_values(tmp_path: Path, size: int) -> None:
    narrow = read_image(file_of(tmp_path, encoded(Image.fromarray(GREY)), "8.png"))
    wide = read_image(file_of(tmp_path, encoded(Image.fromarray(GREY.astype(np.uint16) * 257)), "16.png"))
    one, other = (Unit()(channels_first(resize(pixels, size))) for pixels in (narrow, wide))
    assert float((one - other).abs().max()) <= 1 / 255


def test_16_bits_are_not_cut_to_8(tmp_path: Path) -> None:
    fine = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) + 30000
    read = read_image(file_of(tmp_path, encoded(Image.fromarray(fine))))
    assert len(np.unique(read)) == fine.size
    assert len(np.unique(resize(read, HEIGHT)[:, 1:-1])) == fine.size


def test_16_bit_colour_is_read_at_8_bits(tmp_path: Path) -> None:
    read = read_image(file_of(tmp_path, sixteen_bit_colour()))
    assert read.dtype == np.uint8
    assert np.array_equal(read, COLOUR)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_that_its_header_turns_is_turned(tmp_path: Path, turn: int, kind: str) -> None:
    upright = smooth(60, 40)
    # What a camera would have stored for this orientation: the inverse of what a viewer does.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T,
        6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[turn]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    content = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    read = read_image(file_of(tmp_path, content))
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).max() <= 6


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_8_bit_files_give_the_very_arrays_that_pillow_gives(
    tmp_path: Path, pixels: Pixels, kind: str
) -> None:
    path = file_of(tmp_path, encoded(Image.fromarray(pixels), kind))
    with Image.open(path) as image:
        expected = np.array(image)
    assert read_image(path).dtype == np.uint8
    assert np.array_equal(read_image(path), expected)


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing.png") == "is not there"
    for path in (tmp_path, tmp_path / "zero\0byte.png", tmp_path / ("long" * 1000)):
        assert refusal(path).startswith("cannot be opened (")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@given(share=st.floats(0.02, 0.95))
@settings(max_examples=40, deadline=None)
def test_an_image_that_was_cut_off_is_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, share: float
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    path = file_of(tmp_path_factory.mktemp("cut"), content[: max(8, int(len(content) * share))])
    assert refusal(path).startswith("cannot be decoded: ")


def test_grey_of_equal_channels_is_exact_and_of_others_their_luma() -> None:
    assert np.array_equal(as_grey(as_colour(GREY)), GREY)
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 200
    assert as_grey(red).tolist() == [[60]]  # 0.299 of it
    assert as_grey(GREY) is GREY
    assert as_colour(GREY).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_resized_image_keeps_its_aspect_between_black_margins(
    dtype: type[np.unsignedinteger], channels: int
) -> None:
    shape = (40, 20) if channels == 1 else (40, 20, 3)
    square = resize(np.full(shape, 200, dtype), 32)
    assert square.dtype == dtype
    assert square.shape == (32, 32, *shape[2:])
    assert (square[:, 8:24] == 200).all()
    assert not square[:, :8].any()
    assert not square[:, 24:].any()


@given(height=st.integers(1, 90), width=st.integers(1, 90))
@settings(max_examples=60, deadline=None)
def test_any_shape_becomes_a_whole_square(height: int, width: int) -> None:
    assert resize(np.full((height, width), 9, np.uint8), 32).shape == (32, 32)


def test_an_image_that_already_fits_is_not_touched() -> None:
    film = smooth(32, 32)
    assert np.array_equal(resize(film, 32), film)


def test_a_circle_stays_round() -> None:
    y, x = np.mgrid[:120, :60]
    circle = (((y - 60) ** 2 + (x - 30) ** 2 < 20**2) * 255).astype(np.uint8)
    small = resize(circle, 60) > 127
    rows, columns = np.flatnonzero(small.any(axis=1)), np.flatnonzero(small.any(axis=0))
    assert abs((rows[-1] - rows[0]) - (columns[-1] - columns[0])) <= 1


def image_of(values: object, black: float, white: float, mode: str = "test") -> ReadImage:
    array = np.asarray(values)
    height, width = array.shape[:2]
    return ReadImage(array, black, white, Facts("NumPy", mode, 8, height, width, 1))


def test_8_bits_from_black_to_white_are_displayed_as_they_are() -> None:
    assert display(full_range(GREY)) is GREY
    assert np.array_equal(display(image_of(GREY, 255, 0)), 255 - GREY)
    wide = GREY.astype(np.uint16) * 257
    assert display(full_range(wide)) is wide


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64])
def test_values_are_displayed_between_black_and_white(dtype: type[np.generic]) -> None:
    values = np.arange(5000, dtype=dtype).reshape(50, 100)
    for black, white in [(1000.0, 3000.0), (1000.25, 3000.75), (3000.0, 1000.0), (-100.0, 9000.0)]:
        exact = np.clip((values.astype(np.float64) - black) / (white - black), 0, 1) * 65535
        shown = display(image_of(values, black, white))
        assert shown.dtype == np.uint16
        assert np.abs(shown - exact).max() <= 0.51


def test_nothing_is_lost_of_12_bits_and_a_step_of_one_value_is_a_step() -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    assert len(np.unique(display(image_of(values, 0, 4095)))) == 4096
    assert display(image_of([[4, 5, 6, 7]], 5, 5)).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(("black", "white"), [(np.nan, np.nan), (0, np.nan), (-np.inf, np.inf)])
def test_without_black_and_white_nothing_is_displayed(black: float, white: float) -> None:
    with pytest.raises(ImageFault, match=r"--data\.reader\.range") as caught:
        display(image_of([[-5, 7]], black, white))
    assert caught.value.code == "no-range"


def test_a_window_shows_hounsfield_units_whatever_the_header_shows() -> None:
    units = np.array([[-1000, -160, 40, 240, 3000]], np.int32)
    for image in (image_of(units, np.nan, np.nan), image_of(units, -10, 10)):
        assert windowed(image, 40, 400).tolist() == [[0, 0, 32768, 65535, 65535]]
    assert windowed(image_of(units, 10, -10), 40, 400).tolist() == [[65535, 65535, 32768, 0, 0]]
    inverted = image_of(units, np.nan, np.nan, "MONOCHROME1")
    assert windowed(inverted, 40, 400).tolist() == [[65535, 65535, 32768, 0, 0]]


def test_percentiles_stretch_an_image_and_leave_a_constant_one_black() -> None:
    values = np.arange(101, dtype=np.float32)[None]
    shown = stretched(image_of(values, np.nan, np.nan), 10, 90)
    assert (shown[0, :11] == 0).all()
    assert (shown[0, 90:] == 65535).all()
    assert shown[0, 50] == 32768
    assert not stretched(image_of(np.full((4, 4), 7), 0, 255), 1, 99).any()
    sparse = np.zeros((20, 20), np.uint8)
    sparse[3, 4] = 200
    assert stretched(full_range(sparse), 1, 99)[3, 4] == 65535


def test_channels_come_first() -> None:
    assert channels_first(GREY).shape == (1, HEIGHT, WIDTH)
    assert np.array_equal(channels_first(COLOUR)[2], COLOUR[..., 2])


def test_no_torch_is_needed_to_read_pixels() -> None:
    import subprocess
    import sys

    code = "import sys, rn50med.data.pixels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
