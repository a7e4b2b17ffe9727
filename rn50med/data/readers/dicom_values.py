"""What a DICOM frame's stored values mean: modality LUT, VOI LUT or window, palette, padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rn50med.data.readers.checks import display_range, finite, grey_if_equal, opaque, window_ends
from rn50med.data.readers.image import Facts, Image, ImageFault, Values

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from rn50med.data.readers.reader import Reader

Bounds = tuple[float, float]
WIDEST = 16
"""Most bits whose whole range can be meant as black to white; unsigned only."""

NARROWEST = 1e-3
"""Width that a window of one value is given, so that black and white differ."""


def colour_image(stored: Values, dataset: Dataset) -> Image:
    """Return colours, which have no window.

    Args:
        stored: Unsigned integers, ``(H, W, 3)``.
        dataset: Their header.
    """
    bits = int(dataset.BitsStored)
    return Image(stored, 0.0, float(2**bits - 1), _facts(stored, bits))


def palette_colours(stored: Values, dataset: Dataset) -> Image:
    """Return the colours of a palette, or greys where all of them are.

    Args:
        stored: Indexes, ``(H, W)``.
        dataset: Their header, with the palette.

    Raises:
        ImageFault: If any of them is see-through.
    """
    from pydicom.pixels.processing import apply_color_lut  # noqa: PLC0415 - only when such a file is met

    colours = apply_color_lut(stored, dataset)
    full = int(np.iinfo(colours.dtype).max)
    if colours.shape[-1] == 4:
        opaque(colours[..., 3], full)
    values = grey_if_equal(np.ascontiguousarray(colours[..., :3]))
    return Image(values, 0.0, float(full), _facts(values, int(dataset.BitsStored)))


def grey_image(stored: Values, dataset: Dataset, options: Reader) -> Image:
    """Return grey values in the units of the modality, the window as black and white.

    A window that is a straight line is only told, so that Hounsfield units stay; a VOI LUT and a sigmoid are
    applied, as nothing else shows them. Padding becomes as dark as what is darkest.

    Args:
        stored: Integers or floats, ``(H, W)``.
        dataset: Their header.
        options: The reader's.

    Raises:
        ImageFault: If any value is no number, or a LUT cannot be read.
    """
    finite(stored)
    padded = _padding(stored, dataset)
    values, bounds = _modality(stored, dataset, options)
    values, (black, white), note = _voi(values, dataset, bounds, options)
    turned = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    if turned:
        black, white = white, black
    notes = [note] if note else []
    if padded is not None:
        notes.append("padding")
        values = _darkened(values, padded, black, turned)
    bits = int(dataset.get("BitsStored") or stored.dtype.itemsize * 8)
    units = "HU" if _is_hounsfield(dataset) and note != "voi-lut" else ""
    return Image(values, black, white, _facts(values, bits, units, tuple(notes)))


def _facts(values: Values, bits: int, units: str = "", notes: tuple[str, ...] = ()) -> Facts:
    channels = 1 if values.ndim == 2 else 3
    height, width = values.shape[:2]
    return Facts("DICOM", "", bits, height, width, channels, units=units, notes=notes)


def _is_hounsfield(dataset: Dataset) -> bool:
    kind = str(dataset.get("RescaleType") or "").upper()
    rescaled = "RescaleSlope" in dataset and "RescaleIntercept" in dataset
    return rescaled and (kind == "HU" or (not kind and dataset.get("Modality") == "CT"))


def _padding(stored: Values, dataset: Dataset) -> NDArray[np.bool_] | None:
    """Return which stored values stand for no tissue; None where none or all do."""
    first = dataset.get("PixelPaddingValue")
    if not isinstance(first, int):  # none, or not one value
        return None
    other = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((first, other if isinstance(other, int) else first))
    padded: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return padded if padded.any() and not padded.all() else None


def _darkened(values: Values, padded: NDArray[np.bool_], black: float, turned: bool) -> Values:
    """Make padding black in the image's own window and no brighter than anything else in any other."""
    rest = values[~padded]
    dark = np.fmax(black, rest.max()) if turned else np.fmin(black, rest.min())
    if values.dtype.kind in "ui":
        kind = np.iinfo(values.dtype)
        dark = np.clip(np.ceil(dark) if turned else np.floor(dark), kind.min, kind.max)
    changed = values.copy()
    changed[padded] = dark
    return changed


def _modality(stored: Values, dataset: Dataset, options: Reader) -> tuple[Values, Bounds]:
    """Apply the modality LUT, and return with it what the stored range becomes."""
    from pydicom.pixels.processing import apply_modality_lut  # noqa: PLC0415

    table = dataset.get("ModalityLUTSequence")
    if table:
        values = apply_modality_lut(stored.astype(np.int64), dataset)
        return values, (0.0, float(2 ** int(table[0].LUTDescriptor[2]) - 1))
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    identity = slope is None or intercept is None or (slope == 1 and intercept == 0)
    if stored.dtype.kind == "f":
        rescaled = stored if identity else apply_modality_lut(stored, dataset).astype(stored.dtype)
        return rescaled, display_range(rescaled, options)
    bits = int(dataset.BitsStored)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if stored.dtype.kind == "i" else (0, 2**bits - 1)
    if identity:
        return stored, (float(low), float(high))
    ends = sorted(end * float(slope) + float(intercept) for end in (low, high))
    whole = float(slope).is_integer() and float(intercept).is_integer() and max(map(abs, ends)) < 2**31
    values = apply_modality_lut(stored, dataset).astype(np.int32 if whole else np.float32)
    return values, (ends[0], ends[1])


def _voi(values: Values, dataset: Dataset, bounds: Bounds, options: Reader) -> tuple[Values, Bounds, str]:
    """Return values, black and white by the options or the header, and a note of what was done."""
    if options.window is not None:
        return values, window_ends(options.window), ""
    if options.voi == "none":
        return values, bounds, ""
    table = dataset.get("VOILUTSequence")
    if table and "LUTDescriptor" in table[0] and "LUTData" in table[0]:
        return _looked_up(values, dataset)
    window = _window(dataset)
    if window is None:
        told = dataset.get("PixelRepresentation") != 1 and int(dataset.get("BitsStored") or 0) <= WIDEST
        return values, bounds if told else display_range(values, options), "no-window"
    return _shown(values, dataset, *window)


def _shown(values: Values, dataset: Dataset, centre: float, width: float) -> tuple[Values, Bounds, str]:
    """Return what the header's window shows, by its function."""
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if function == "SIGMOID":
        return _sigmoid(values, centre, width), (0.0, 1.0), "voi-lut"
    if function == "LINEAR_EXACT":
        return values, (centre - width / 2, centre + width / 2), ""
    half = max(width - 1, NARROWEST) / 2  # PS3.3, C.11.2.1.2.1
    return values, (centre - 0.5 - half, centre - 0.5 + half), ""


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """Return the first window's centre and width; None where there is none that shows anything."""
    centres, widths = (_numbers(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if not (centres.size and widths.size and np.isfinite(centres[0]) and 0 < widths[0] < np.inf):
        return None
    return float(centres[0]), float(widths[0])


def _numbers(value: object) -> NDArray[np.float64]:
    """Return one number or several; 0 is one, an empty element is none."""
    return np.atleast_1d(np.array([] if value is None or value == "" else value, dtype=np.float64))


def _sigmoid(values: Values, centre: float, width: float) -> Values:
    """Return PS3.3, C.11.2.1.3.1, from 0 to 1."""
    from scipy.special import expit  # noqa: PLC0415 - rare, and no overflow far from the centre

    shown: Values = expit(4 * (values.astype(np.float64) - centre) / width).astype(np.float32)
    return shown


def _looked_up(values: Values, dataset: Dataset) -> tuple[Values, Bounds, str]:
    """Apply the first VOI LUT."""
    from pydicom.dataset import Dataset as Header  # noqa: PLC0415
    from pydicom.pixels.processing import apply_voi_lut  # noqa: PLC0415

    item = Header()
    item.update(dataset.VOILUTSequence[0])
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    # pydicom looks 8-bit tables up by 8-bit indexes, so that long ones go wrong; by 16 bits they go right
    item.LUTDescriptor = [entries, first, 16]
    header = Header()
    header.VOILUTSequence = [item]
    header.file_meta = dataset.file_meta
    try:
        last = first + (entries or 2**16) - 1
        shown = apply_voi_lut(np.clip(np.rint(values), None, last).astype(np.int64), header)
    except Exception as error:  # a table that is shorter than it says, or packed as no standard says
        raise ImageFault(
            "has a VOI LUT that cannot be read; set --data.reader.window, or --data.reader.voi to none",
            "voi-lut",
        ) from error
    return shown, (0.0, float(2**bits - 1)), "voi-lut"
