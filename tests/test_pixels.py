"""Pixels keep their meaning: depth, orientation, aspect; and every file that is no image is named."""

from __future__ import annotations

import io
import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from rn50med.data.pixels import Pixels, as_colour, as_grey, channels_first, read_image, resize
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


@pytest.mark.parametrize(
    ("mode", "kind", "said"),
    [
        ("1", "PNG", r"^is a 1-bit image \(mode 1\)"),
        ("P", "PNG", r"^is a palette image \(mode P\)"),
        ("LA", "PNG", r"^is a grey with transparency image \(mode LA\)"),
        ("RGBA", "PNG", r"^is a colour with transparency image \(mode RGBA\)"),
        ("CMYK", "JPEG", r"^is a CMYK image \(mode CMYK\)"),
    ],
)
def test_a_mode_that_is_not_read_is_refused_by_its_name(
    tmp_path: Path, mode: str, kind: str, said: str
) -> None:
    path = file_of(tmp_path, encoded(Image.fromarray(COLOUR).convert(mode), kind))
    with pytest.raises(DataError, match=said + ".*save it as grey or RGB$"):
        read_image(path)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_is_refused(tmp_path: Path, mode: str) -> None:
    transparent: object = 3 if mode == "L" else (1, 2, 3)
    path = file_of(tmp_path, encoded(Image.fromarray(COLOUR).convert(mode), transparency=transparent))
    assert re.match(r"is a (grey|colour) with transparency image", refusal(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty (0 bytes); copy the file again"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page, not an image"),
        (b"\xef\xbb\xbf\r\n<!doctype HTML>", "is a web page, not an image"),
        (b"<?xml version='1.0'?><html>", "is a web page, not an image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer"),
        (b"\0" * 128 + b"DICM" + b"\0" * 100, "is a DICOM file, which this version does not read"),
        (encoded(Image.fromarray(GREY), "TIFF"), "is a TIFF image; save it as PNG or JPEG"),
        (encoded(Image.fromarray(GREY), "GIF"), "is a GIF image"),
        (encoded(Image.fromarray(GREY), "BMP"), "is a BMP image"),
        (b"PK\x03\x04rest", "is a ZIP file"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"some words", "is no image that is known (it starts with b'some wor')"),
    ],
)
def test_a_file_that_is_no_image_is_called_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    assert refusal(file_of(tmp_path, content)).startswith(said)


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


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), length=st.integers(1, 8))
@settings(max_examples=200, deadline=None)
def test_damage_is_read_or_refused_but_never_a_bug(
    tmp_path_factory: pytest.TempPathFactory, kind: str, place: float, value: int, length: int
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x829A] = 6, "a description", (1, 2)
    content = bytearray(encoded(Image.fromarray(smooth(20, 30)), kind, exif=exif))
    at = int(place * len(content))
    content[at : at + length] = bytes([value]) * length
    path = file_of(tmp_path_factory.mktemp("damaged"), bytes(content))
    with suppress(DataError):
        assert read_image(path).ndim in {2, 3}


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


def test_channels_come_first() -> None:
    assert channels_first(GREY).shape == (1, HEIGHT, WIDTH)
    assert np.array_equal(channels_first(COLOUR)[2], COLOUR[..., 2])


def test_no_torch_is_needed_to_read_pixels() -> None:
    import subprocess
    import sys

    code = "import sys, rn50med.data.pixels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
