"""PNG, JPEG, TIFF, BMP, WebP and GIF, through Pillow.

Of 16-bit colour Pillow keeps the high bytes, so that such images are read at 8 bits; 16-bit grey keeps all.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from rn50med.data.readers.checks import (
    chosen_frame,
    display_range,
    finite,
    grey_if_equal,
    opaque,
    quiet,
    refuse_large,
)
from rn50med.data.readers.image import Facts, Image, ImageFault, Values

if TYPE_CHECKING:
    from rn50med.data.readers.reader import Reader

FORMATS: tuple[tuple[bytes, str, type[ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG", PngImageFile),
    (b"\xff\xd8\xff", "JPEG", JpegImageFile),  # also the first picture of a multi-picture JPEG
    (b"II*\0", "TIFF", TiffImageFile),
    (b"MM\0*", "TIFF", TiffImageFile),
    (b"BM", "BMP", BmpImageFile),
    (b"GIF87a", "GIF", GifImageFile),
    (b"GIF89a", "GIF", GifImageFile),
    (b"RIFF", "WebP", WebPImageFile),
)
"""First bytes, name and Pillow's class: opened by class, because `PIL.Image.open` has a limit of its own."""

ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 274, 258, 262, 339  # numbers of TIFF tags
WHITE_IS_ZERO, UNSIGNED, SIGNED = 0, 1, 2
SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N"}


def reads(head: bytes) -> bool:
    """Return whether a file with these first bytes is read here.

    Args:
        head: Its first bytes.
    """
    return _format(head) is not None


def _format(head: bytes) -> tuple[str, type[ImageFile]] | None:
    if head.startswith(b"RIFF") and head[8:12] != b"WEBP":
        return None
    if head.startswith(b"BM") and head[6:10] != b"\0\0\0\0":  # reserved, so that not every text is a bitmap
        return None
    return next(((name, kind) for magic, name, kind in FORMATS if head.startswith(magic)), None)


def decode(content: bytes, options: Reader) -> Image:
    """Return the image; upright, where its header turns it.

    Args:
        content: All bytes of a file that `reads` knows.
        options: The reader's.

    Raises:
        ImageFault: If it cannot be used.
    """
    found = _format(content[:16])
    if found is None:
        raise ImageFault("is no image that Pillow is asked for", "not-an-image")
    name, kind = found
    quiet("PIL")
    try:
        with kind(BytesIO(content)) as file:
            return _read(file, name, content, options)
    except ImageFault:
        raise
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise _damaged(error, name, content) from error


def _read(file: ImageFile, name: str, content: bytes, options: Reader) -> Image:
    refuse_large(file.width * file.height, options)
    if name != "JPEG":
        file.seek(chosen_frame(getattr(file, "n_frames", 1), options))
        refuse_large(file.width * file.height, options)
    mode, bits, tags = file.mode, _bits(file, name, content), dict(getattr(file, "tag_v2", {}))
    rotated = file.getexif().get(ORIENTATION, 1) in range(2, 9)
    file.load()  # which turns a TIFF, as its header says
    values = _values(file if name == "TIFF" else ImageOps.exif_transpose(file))
    if tags.get(SAMPLE_FORMAT, (1,))[0] == SIGNED and values.dtype == np.uint8:
        values = values.view(np.int8)
    elif tags.get(SAMPLE_FORMAT, (1,))[0] == UNSIGNED and values.dtype == np.int32:
        values = values.view(np.uint32)
    finite(values)
    black, white = display_range(values, options)
    if values.dtype == np.uint16:
        white = float(2**bits - 1)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO and values.dtype != np.uint8:  # Pillow turns 8 bits itself
        black, white = white, black
    notes = [code for code, so in (("cmyk", mode == "CMYK"), ("sixteen-bit-colour", _cuts(mode, bits))) if so]
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else 3
    facts = Facts(name, mode, bits, height, width, channels, rotated=rotated, notes=tuple(notes))
    return Image(values, black, white, facts)


def _bits(file: ImageFile, name: str, content: bytes) -> int:
    """Return the bits of a sample: Pillow's mode does not tell them."""
    if name == "PNG":
        return content[24]  # of the header, the first chunk
    if isinstance(file, TiffImageFile):
        return int(file.tag_v2.get(BITS_PER_SAMPLE, (1,))[0])
    return 1 if file.mode == "1" else 8


def _cuts(mode: str, bits: int) -> bool:
    """Return whether Pillow keeps fewer bits than are stored."""
    return bits > 8 and mode not in {*SIXTEEN_BIT, "I", "F"}


def _values(image: PillowImage.Image) -> Values:
    """Return the values of a whole image, with what its mode means."""
    if "transparency" in image.info or image.mode in {"LA", "La", "PA", "RGBA", "RGBa"}:
        return _without_alpha(image)
    if image.mode == "1":
        return np.array(image.convert("L"))
    if image.mode in {"L", "RGB", "I", "F", *SIXTEEN_BIT}:
        values: Values = np.array(image)
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if image.mode == "P":
        return grey_if_equal(np.array(image.convert("RGB")))
    if image.mode in {"CMYK", "YCbCr"}:
        return np.array(image.convert("RGB"))
    raise ImageFault(
        f"has colours that are not read (mode {image.mode}); save it as grey or RGB", "unsupported"
    )


def _without_alpha(image: PillowImage.Image) -> Values:
    if image.mode in {*SIXTEEN_BIT, "I"}:  # one value of 65,536 is see-through
        values: Values = np.array(image)
        opaque(values != image.info["transparency"], True)
        return values.astype(np.uint16)
    grey = image.mode in {"1", "L", "LA", "La"}
    with_alpha = np.array(image.convert("LA" if grey else "RGBA"))
    opaque(with_alpha[..., -1], 255)
    if grey:
        return np.ascontiguousarray(with_alpha[..., 0])
    colour = np.ascontiguousarray(with_alpha[..., :3])
    return grey_if_equal(colour) if image.mode in {"P", "PA"} else colour


def _damaged(error: Exception, name: str, content: bytes) -> ImageFault:
    if isinstance(error, PillowImage.DecompressionBombError):  # WebP's own, near the largest that it can be
        return ImageFault(f"cannot be decoded: {_sentence(error)}", "too-large")
    text = str(error).lower()
    if any(word in text for word in ("unknown pixel mode", "cannot handle", "unsupported", "unknown data")):
        return ImageFault(
            f"is of a kind that Pillow does not read ({_sentence(error)}); save it as PNG", "unsupported"
        )
    cut = any(word in text for word in ("truncated", "eof", "end of file", "not enough")) or _is_cut(
        name, content
    )
    return ImageFault(
        f"cannot be decoded: {_sentence(error)}; copy the file again", "truncated" if cut else "damaged"
    )


def _is_cut(name: str, content: bytes) -> bool:
    """Return whether the end of the file is missing, by what each format ends with or says of its length."""
    if name in {"WebP", "BMP"}:
        start, header = (4, 8) if name == "WebP" else (2, 0)
        return int.from_bytes(content[start : start + 4], "little") + header > len(content)
    ends = {"PNG": b"IEND", "JPEG": b"\xff\xd9", "GIF": b";"}
    return name in ends and ends[name] not in content[-16:]


def _sentence(error: Exception) -> str:
    return str(error).split("\n")[0].split(". ")[0].rstrip(".") or type(error).__name__
