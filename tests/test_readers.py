"""Every format that is read means what it says, and what cannot be read is named, before it costs memory."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from damage import damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PillowImage
from test_pixels import sixteen_bit_colour

from rn50med.data.pixels import as_grey, display
from rn50med.data.readers import Image, ImageFault, Reader, fingerprint, full_range
from rn50med.data.readers.trial import trials

pytestmark = pytest.mark.usefixtures("no_gigabyte")
HEIGHT, WIDTH = 40, 30
Y, X = np.mgrid[:HEIGHT, :WIDTH]
FILM = np.round(40 + 150 * X / WIDTH + 50 * Y / HEIGHT).astype(np.uint8)
SCENE = np.stack([FILM, FILM[::-1], 255 - FILM], axis=-1)


def encoded(image: PillowImage.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def npy(values: NDArray[np.generic], **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


def fault_of(content: bytes, **options: object) -> ImageFault:
    with pytest.raises(ImageFault) as caught:
        Reader(**options).decode(content)
    return caught.value


def on_a_scale(image: Image) -> NDArray[np.float64]:
    """Return grey from 0 to 1, as a display shows it."""
    shown = as_grey(display(image))
    return shown.astype(np.float64) / np.iinfo(shown.dtype).max


def turned() -> tuple[PillowImage.Image, PillowImage.Exif]:
    """Return the film as a camera that was held sideways stores it."""
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    return PillowImage.fromarray(np.ascontiguousarray(np.rot90(FILM))), exif


GREY_FILE, SCENE_FILE = PillowImage.fromarray(FILM), PillowImage.fromarray(SCENE)
WIDE_FILE = PillowImage.fromarray(FILM.astype(np.uint16) * 257)
ALIKE = {
    "PNG L": encoded(GREY_FILE),
    "PNG 16-bit": encoded(WIDE_FILE),
    "PNG RGB": encoded(GREY_FILE.convert("RGB")),
    "PNG RGBA": encoded(GREY_FILE.convert("RGBA")),
    "PNG LA": encoded(GREY_FILE.convert("LA")),
    "PNG P": encoded(GREY_FILE.convert("P")),
    "PNG turned": encoded(turned()[0], exif=turned()[1]),
    "PNG unused transparent colour": encoded(GREY_FILE, transparency=1),
    "PNG 16-bit with unused transparent value": encoded(WIDE_FILE, transparency=1),
    "TIFF L": encoded(GREY_FILE, "TIFF"),
    "TIFF packed": encoded(GREY_FILE, "TIFF", compression="tiff_lzw"),
    "TIFF 16-bit": encoded(WIDE_FILE, "TIFF"),
    "TIFF 16-bit deflated": encoded(WIDE_FILE, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF 16-bit, white is zero": encoded(
        PillowImage.fromarray(65535 - FILM.astype(np.uint16) * 257), "TIFF", tiffinfo={262: 0}
    ),
    "TIFF float": encoded(PillowImage.fromarray((FILM / 255).astype(np.float32)), "TIFF"),
    "TIFF CMYK": encoded(GREY_FILE.convert("RGB").convert("CMYK"), "TIFF"),
    "TIFF RGBA": encoded(GREY_FILE.convert("RGBA"), "TIFF"),
    "TIFF turned": encoded(turned()[0], "TIFF", tiffinfo={274: 6}),
    "BMP L": encoded(GREY_FILE, "BMP"),
    "BMP RGB": encoded(GREY_FILE.convert("RGB"), "BMP"),
    "WebP": encoded(GREY_FILE.convert("RGB"), "WebP", lossless=True),
    "WebP with alpha": encoded(GREY_FILE.convert("RGBA"), "WebP", lossless=True, exact=True),
    "GIF": encoded(GREY_FILE, "GIF"),
    "npy": npy(FILM),
    "npy 16-bit, big endian": npy((FILM.astype(np.uint16) * 257).astype(">u2")),
    "npy float": npy(FILM / 255),
    "npy with single axes": npy(FILM[None, ..., None]),
    "npy in columns": npy(np.asfortranarray(FILM)),
    "npy RGBA": npy(np.dstack([FILM] * 3 + [np.full_like(FILM, 255)])),
}


@pytest.mark.parametrize("content", ALIKE.values(), ids=ALIKE)
def test_one_film_is_displayed_alike_whatever_file_holds_it(content: bytes) -> None:
    shown = on_a_scale(Reader().decode(content))
    assert shown.shape == FILM.shape
    assert np.abs(shown - FILM / 255).max() <= 1e-3


@pytest.mark.parametrize("kind", ["JPEG", "WebP"])
def test_a_lossy_file_is_displayed_nearly_alike(kind: str) -> None:
    content = encoded(GREY_FILE.convert("RGB"), kind, quality=98)
    assert np.abs(on_a_scale(Reader().decode(content)) - FILM / 255).max() <= 4 / 255


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WebP"])
def test_colours_are_the_same_in_every_file(kind: str) -> None:
    options = {"lossless": True} if kind == "WebP" else {}
    read = Reader().decode(encoded(SCENE_FILE, kind, **options))
    assert np.array_equal(read.values, SCENE)
    assert (read.facts.format, read.facts.mode, read.facts.channels) == (kind, "RGB", 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_black_or_white(kind: str) -> None:
    mask = FILM > 128
    read = Reader().decode(encoded(PillowImage.fromarray(mask), kind))
    assert np.array_equal(display(read), mask * np.uint8(255))
    assert np.array_equal(display(Reader().decode(npy(mask))), mask * np.uint8(255))


def test_a_palette_of_colours_is_colour() -> None:
    few = SCENE_FILE.quantize(16)
    read = Reader().decode(encoded(few))
    assert np.array_equal(read.values, np.array(few.convert("RGB")))
    assert (read.facts.mode, read.facts.channels) == ("P", 3)


def test_cmyk_and_cut_bits_are_noted() -> None:
    cmyk = Reader().decode(encoded(SCENE_FILE.convert("CMYK"), "JPEG", quality=98))
    assert np.abs(cmyk.values.astype(int) - SCENE).mean() < 8
    assert cmyk.facts.notes == ("cmyk",)
    wide = Reader().decode(sixteen_bit_colour())
    assert wide.values.dtype == np.uint8
    assert (wide.facts.bits, wide.facts.notes) == (16, ("sixteen-bit-colour",))


def test_a_turned_file_says_so() -> None:
    facts = Reader().decode(ALIKE["PNG turned"]).facts
    assert (facts.rotated, facts.height, facts.width) == (True, HEIGHT, WIDTH)
    assert Reader().decode(ALIKE["TIFF turned"]).facts.rotated
    assert not Reader().decode(ALIKE["PNG L"]).facts.rotated


def test_see_through_pixels_are_refused_in_every_mode() -> None:
    for mode, kind in [("LA", "PNG"), ("RGBA", "PNG"), ("RGBA", "WebP"), ("RGBA", "TIFF")]:
        veiled = GREY_FILE.convert(mode)
        veiled.putalpha(PillowImage.fromarray(np.where(X == 3, 200, 255).astype(np.uint8)))
        assert fault_of(encoded(veiled, kind)).code == "transparent"
    for image, key in [(GREY_FILE, 40), (SCENE_FILE, tuple(SCENE[0, 0].tolist())), (WIDE_FILE, 40 * 257)]:
        assert fault_of(encoded(image, transparency=key)).code == "transparent"
    index = GREY_FILE.convert("P")
    assert fault_of(encoded(index, transparency=int(np.array(index)[0, 0]))).code == "transparent"
    alpha = np.dstack([SCENE, np.where(X == 3, 200, 255).astype(np.uint8)])
    assert fault_of(npy(alpha)).code == "transparent"


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.int64, np.float32, np.float64])
def test_numbers_that_do_not_say_what_is_black_are_kept_and_wait_for_a_range(
    dtype: type[np.generic],
) -> None:
    values = FILM.astype(dtype) * dtype(5)
    read = Reader().decode(npy(values))
    assert np.array_equal(read.values, values)
    assert np.isnan(read.black)
    assert np.isnan(read.white)
    told = Reader(range=(0, 1275)).decode(npy(values))
    assert np.abs(on_a_scale(told) - FILM / 255).max() <= 1e-3


def test_signed_and_float_tiffs_keep_their_values() -> None:
    signed = FILM.astype(np.int32) - 100
    assert np.array_equal(Reader().decode(encoded(PillowImage.fromarray(signed), "TIFF")).values, signed)
    floats = FILM.astype(np.float32) * 3 - 100
    read = Reader().decode(encoded(PillowImage.fromarray(floats), "TIFF"))
    assert np.array_equal(read.values, floats)
    assert np.isnan(read.black)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused(wrong: float) -> None:
    values = (FILM / 255).astype(np.float32)
    values[3, 4] = wrong
    for content in (npy(values), encoded(PillowImage.fromarray(values), "TIFF")):
        assert fault_of(content, range=(0, 1)).code == "nan"
        assert "holds 1 values" in str(fault_of(content))


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WebP", "PNG"])
def test_a_file_of_several_frames_needs_a_choice(kind: str) -> None:
    pages = [PillowImage.fromarray(np.roll(FILM, 5 * page, axis=1)) for page in range(3)]
    options = {"lossless": True} if kind == "WebP" else {}
    if kind == "WebP":
        pages = [page.convert("RGB") for page in pages]
    content = encoded(pages[0], kind, save_all=True, append_images=pages[1:], **options)
    fault = fault_of(content)
    assert (fault.code, "--data.reader.frame (0 to 2)" in str(fault)) == ("several-frames", True)
    for page in range(3):
        read = as_grey(Reader(frame=page).decode(content).values)
        assert np.array_equal(read, np.roll(FILM, 5 * page, axis=1))
    assert fault_of(content, frame=3).code == "no-such-frame"
    assert fault_of(ALIKE["PNG L"], frame=1).code == "no-such-frame"


def test_a_volume_needs_a_choice_and_channels_come_last() -> None:
    volume = np.random.default_rng(0).integers(0, 65535, (HEIGHT, WIDTH, 5), dtype=np.uint16)
    fault = fault_of(npy(volume))
    assert (fault.code, "--data.reader.slice (0 to 4)" in str(fault)) == ("volume", True)
    assert np.array_equal(Reader(slice=4).decode(npy(volume)).values, volume[..., 4])
    assert fault_of(npy(volume), slice=5).code == "no-such-slice"
    assert fault_of(npy(volume), slice=-1).code == "no-such-slice"
    assert np.array_equal(Reader().decode(npy(SCENE)).values, SCENE)
    assert "(H, W, 3)" in str(fault_of(npy(np.moveaxis(SCENE, -1, 0))))
    assert fault_of(npy(np.zeros((2, 3, 4, 5)))).code == "volume"


@pytest.mark.parametrize(
    "values",
    [
        np.array([{"a": 1}], object),
        np.zeros((4, 4), [("x", "u1")]),
        np.zeros((4, 4), complex),
        np.array([["a", "b"]]),
    ],
)
def test_an_array_of_no_numbers_is_refused_and_never_unpickled(values: NDArray[np.generic]) -> None:
    assert fault_of(npy(values, allow_pickle=True)).code == "unsupported"


def test_an_empty_array_is_refused() -> None:
    assert fault_of(npy(np.zeros((0, 4), np.uint8))).code == "empty"


def png_header(width: int, height: int) -> bytes:
    """Return a one-bit PNG whose header tells of a size that its data do not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def npy_header(*shape: int) -> bytes:
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def huge_files() -> dict[str, bytes]:
    """Return small files whose headers tell of 400 million pixels."""
    flat = PillowImage.new("1", (20000, 20000))
    small = bytearray(encoded(GREY_FILE, "BMP"))
    small[18:26] = struct.pack("<2i", 20000, 20000)
    gif = bytearray(encoded(GREY_FILE, "GIF"))
    gif[6:10] = struct.pack("<2H", 20000, 20000)
    jpeg = bytearray(encoded(GREY_FILE, "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">2H", 20000, 20000)
    tiff = encoded(flat, "TIFF", compression="group4")
    return {
        "PNG": encoded(flat), "PNG header": png_header(50_000, 50_000), "BMP": bytes(small),
        "GIF": bytes(gif), "JPEG": bytes(jpeg), "TIFF": tiff, "npy": npy_header(20000, 20000),
    }  # fmt: skip


def test_a_decompression_bomb_is_refused_from_its_header_without_taking_memory() -> None:
    files = huge_files()
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, content in files.items():
        fault = fault_of(content)
        assert fault.code == "too-large", name
        assert "--data.reader.most_megapixels" in str(fault), name
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * (1 if sys.platform == "darwin" else 1024) < 100e6


def test_an_image_within_the_limit_is_read_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    content = encoded(PillowImage.new("1", (10000, 9500)))  # 95 megapixels: Pillow's own limit is 89.5
    assert Reader().decode(content).facts.width == 10000
    assert not recwarn.list
    assert fault_of(content, most_megapixels=94).code == "too-large"


def test_a_file_too_large_to_be_an_image_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    with path.open("wb") as file:
        file.truncate(17_000_000)
    with pytest.raises(ImageFault, match="most_megapixels") as caught:
        Reader(most_megapixels=1).open(path)
    assert caught.value.code == "too-large"


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", "empty", "is empty (0 bytes); copy the file again"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web-page", "is a web page, not an image"),
        (b"\xef\xbb\xbf\r\n<!doctype HTML>", "web-page", "is a web page, not an image"),
        (b"<?xml version='1.0'?><html>", "web-page", "is a web page, not an image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git-lfs", "is a Git LFS pointer"),
        (b"PK\x03\x04rest", "not-an-image", "is a ZIP file"),
        (b"%PDF-1.7", "not-an-image", "is a PDF document"),
        (zlib.compress(b"x", wbits=31), "not-an-image", "is a gzip file"),
        (b"\0\0\0\x20ftypisom", "not-an-image", "is a video (MP4"),
        (b"\0\0\0\x20ftypheic", "not-an-image", "is a HEIC photo"),
        (b"RIFF\0\0\0\0AVI LIST", "not-an-image", "is an AVI video"),
        (b"\x89HDF\r\n\x1a\n", "not-an-image", "is an HDF5 file"),
        (b"some words", "not-an-image", "is no image that is known (it starts with b'some wor')"),
        (b"BMI of patients", "not-an-image", "is no image that is known"),
        (b"\0" * 5000, "truncated", "holds nothing but 5000 zero bytes"),
    ],
)
def test_a_file_that_is_no_image_is_called_what_it_is(content: bytes, code: str, said: str) -> None:
    fault = fault_of(content)
    assert fault.code == code
    assert str(fault).startswith(said)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    def code(path: Path) -> str:
        with pytest.raises(ImageFault) as caught:
            Reader().open(path)
        return caught.value.code

    assert code(tmp_path / "nothing.png") == "missing"
    (tmp_path / "empty.png").write_bytes(b"")
    assert code(tmp_path / "empty.png") == "empty"
    for path in (tmp_path, tmp_path / "zero\0byte.png", tmp_path / ("long" * 1000)):
        assert code(path) == "cannot-open"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        assert code(tmp_path / "pipe.png") == "cannot-open"


@pytest.mark.parametrize("name", ["PNG L", "TIFF L", "TIFF packed", "BMP L", "WebP", "GIF", "npy"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_off_is_called_that(name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, FILM.shape, dtype=np.uint8)
    image = PillowImage.fromarray(noise)
    options = {"WebP": {"lossless": True}, "TIFF packed": {"compression": "tiff_lzw"}}
    kind = name.split(maxsplit=1)[0]
    content = npy(noise) if kind == "npy" else encoded(image, kind, **options.get(name, {}))
    fault = fault_of(content[: int(len(content) * share)])
    assert fault.code == "truncated" or (kind == "TIFF" and fault.code == "damaged")


SAMPLES = [
    content
    for name, content in ALIKE.items()
    if name in {"PNG P", "TIFF packed", "TIFF CMYK", "BMP RGB", "WebP", "GIF", "npy", "TIFF 16-bit"}
]


@given(sample=st.sampled_from(SAMPLES), data=st.data())
@settings(max_examples=500, deadline=None)
def test_damage_is_read_or_named_but_never_a_bug(sample: bytes, data: st.DataObject) -> None:
    with suppress(ImageFault):
        read = Reader(most_megapixels=20).decode(damaged(sample, data))
        assert read.values.shape[:2] == (read.facts.height, read.facts.width)


def test_several_threads_read_the_same_values() -> None:
    contents = list(ALIKE.values()) * 4
    alone = [fingerprint(Reader().decode(content)) for content in contents]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda content: fingerprint(Reader().decode(content)), contents))
    assert together == alone


def test_a_fingerprint_is_of_the_values_and_not_of_the_file() -> None:
    def of(name: str) -> str:
        return fingerprint(Reader().decode(ALIKE[name]))

    eight = [
        "PNG L", "PNG RGB", "PNG RGBA", "PNG LA", "PNG P", "PNG turned", "TIFF L", "TIFF packed", "BMP L",
        "BMP RGB", "WebP", "GIF", "npy", "npy in columns", "TIFF CMYK",
    ]  # fmt: skip
    assert len({of(name) for name in eight}) == 1
    wide = ["PNG 16-bit", "TIFF 16-bit", "npy 16-bit, big endian"]
    assert len({of(name) for name in wide}) == 1
    assert of("PNG L") != of("PNG 16-bit")


def test_a_fingerprint_tells_pictures_apart() -> None:
    changed = FILM.copy()
    changed[3, 4] += 1
    pictures = [FILM, changed, FILM.T, FILM[::-1], SCENE, SCENE[..., ::-1], FILM.reshape(30, 40)]
    assert len({fingerprint(full_range(np.ascontiguousarray(one))) for one in pictures}) == len(pictures)
    signed, floats = FILM.astype(np.int32), FILM.astype(np.float64)
    same = {fingerprint(Image(one, 0, 255, full_range(FILM).facts)) for one in (FILM, signed, floats)}
    assert len(same) == 1
    assert fingerprint(Image(floats + 0.5, 0, 255, full_range(FILM).facts)) not in same
    assert fingerprint(Image(signed - 300, 0, 255, full_range(FILM).facts)) not in same


def test_reading_a_png_imports_no_library_of_another_format() -> None:
    code = (
        "import io, sys; from PIL import Image; from rn50med.data.readers import Reader; f = io.BytesIO();"
        "Image.new('L', (4, 4)).save(f, 'PNG'); Reader().decode(f.getvalue());"
        "sys.exit(any(name in sys.modules for name in ('torch', 'pydicom', 'nibabel', 'scipy', 'itk')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_contract_says_all_that_turns_bytes_to_values() -> None:
    contract = Reader(window=(40, 400), frame=2).contract
    assert list(contract["window"]) == [40, 400]
    assert set(contract) == {"version", "voi", "window", "frame", "slice", "range"}, (
        "a limit changes no pixel"
    )


def test_each_kind_of_file_is_tried() -> None:
    tried = {trial.kind: trial for trial in trials()}
    assert {"PNG 16-bit", "JPEG", "TIFF", "BMP", "WebP", "npy", "NIfTI", "DICOM", "DICOM RLE"} <= set(tried)
    assert all(not trial.fault or trial.code == "missing-decoder" for trial in tried.values())
