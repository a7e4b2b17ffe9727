"""DICOM pixels mean what the header says; the files are written here, so that the truth is known."""

from __future__ import annotations

import io
import itertools
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest
from damage import damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_windowing
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    generate_uid,
)

from rn50med.data.pixels import display, windowed
from rn50med.data.readers import Image, ImageFault, Reader

pytestmark = pytest.mark.usefixtures("no_gigabyte")
FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
RAMP = np.linspace(0, 4095, 20 * 30).reshape(20, 30).round().astype(np.uint16)
"""Twelve bits."""


def film(values: NDArray[np.generic] = RAMP, bits: int = 12, **tags: object) -> Dataset:
    """Return a data set of one frame, or of several along the first of three axes."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    dataset.PatientName, dataset.Modality = "Canary^Jane", "DX"
    colour = values.ndim >= 3 and values.shape[-1] == 3
    rows, columns = values.shape[-3:-1] if colour else values.shape[-2:]
    dataset.Rows, dataset.Columns = rows, columns
    if values.ndim - colour == 3:
        dataset.NumberOfFrames = len(values)
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = values.itemsize * 8, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    return dataset


def written(dataset: Dataset, **options: object) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True, **options)
    return file.getvalue()


def read(dataset: Dataset, **options: object) -> Image:
    return Reader(**options).decode(written(dataset))


def fault_of(content: bytes, **options: object) -> ImageFault:
    with pytest.raises(ImageFault) as caught:
        Reader(**options).decode(content)
    return caught.value


def test_twelve_bits_span_black_to_white_and_none_is_lost() -> None:
    image = read(film())
    assert np.array_equal(image.values, RAMP)
    assert (image.black, image.white, image.facts.bits) == (0, 4095, 12)
    assert np.abs(display(image) / 65535 - RAMP / 4095).max() < 1e-4
    assert image.facts.notes == ("no-window",)


@pytest.mark.parametrize("window", [None, (2000, 1000), (2000.5, 1)])
@pytest.mark.parametrize("rescale", [None, (2, -1000), (0.5, 3), (-1, 4095)])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_monochrome1_and_2_twins_are_displayed_alike(
    window: tuple[float, float] | None, rescale: tuple[float, float] | None, function: str
) -> None:
    one, two = film(PhotometricInterpretation="MONOCHROME1"), film(4095 - RAMP)
    for dataset, turned in ((one, False), (two, True)):
        slope, intercept = rescale or (1, 0)
        if rescale is not None:
            dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        if window is not None:
            centre, width = window
            # the same stored values in the middle, mirrored with them; LINEAR's middle is half a value lower
            mirror = 2 * intercept + slope * 4095 + (1 if function == "LINEAR" else 0)
            dataset.WindowCenter = mirror - centre if turned else centre
            dataset.WindowWidth, dataset.VOILUTFunction = width, function
    assert np.abs(display(read(one)).astype(int) - display(read(two))).max() <= 1
    assert read(one).facts.mode == "MONOCHROME1"
    assert display(read(two)).std() > 0


def test_8_bit_twins_are_displayed_with_equal_bytes() -> None:
    narrow = (RAMP >> 4).astype(np.uint8)
    one, two = film(narrow, 8), film(255 - narrow, 8, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(display(read(one)), narrow)
    assert np.array_equal(display(read(two)), narrow)


@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (2, -1000), (0.25, 10.5), (-1, 0)])
def test_rescaled_values_are_in_the_units_of_the_modality(slope: float, intercept: float) -> None:
    dataset = film(Modality="CT", RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="HU")
    image = read(dataset)
    assert np.array_equal(image.values, RAMP.astype(float) * slope + intercept)
    ends = sorted([intercept, 4095 * slope + intercept])
    assert [image.black, image.white] == ends
    assert image.facts.units == "HU"


def test_signed_values_keep_their_sign_and_wait_for_a_range() -> None:
    signed = RAMP.astype(np.int16) - 2048
    image = read(film(signed, 12))
    assert np.array_equal(image.values, signed)
    assert np.isnan(image.black)
    everything = read(film(signed, 12), voi="none")
    assert (everything.black, everything.white) == (-2048, 2047)
    told = read(film(signed, 12), range=(-100, 100))
    assert (told.black, told.white) == (-100, 100)
    assert windowed(read(film(signed, 12, PhotometricInterpretation="MONOCHROME1")), 0, 10)[0, 0] == 65535


def test_overlay_bits_above_the_stored_ones_are_no_pixels() -> None:
    assert np.array_equal(read(film(RAMP | 0x8000)).values, RAMP)
    signed = (RAMP.astype(np.int16) - 2048) & 0x0FFF
    assert np.array_equal(read(film(signed | 0x4000, 12)).values, RAMP.astype(np.int16) - 2048)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("signed", [False, True])
def test_a_window_shows_what_pydicom_computes(function: str, signed: bool) -> None:
    values = RAMP.astype(np.int16) - 2048 if signed else RAMP
    dataset = film(values, RescaleSlope=2, RescaleIntercept=-500, VOILUTFunction=function)
    dataset.WindowCenter, dataset.WindowWidth = [600, 1], [900, 2]
    image = read(dataset)
    exact = apply_windowing(values * 2.0 - 500, dataset)
    low, high = np.array([-2048, 2047] if signed else [0, 4095]) * 2.0 - 500
    assert np.abs(display(image) / 65535 - (exact - low) / (high - low)).max() < 1e-4
    if function != "SIGMOID":
        assert np.array_equal(image.values, values * 2.0 - 500)
        assert image.facts.notes == ()
    else:
        assert image.facts.notes == ("voi-lut",)


def test_options_go_before_the_header() -> None:
    dataset = film(WindowCenter=600, WindowWidth=900)
    assert (read(dataset).black, read(dataset).white) == (150, 1049)
    chosen = read(dataset, window=(1000, 400))
    assert (chosen.black, chosen.white) == (800, 1200)
    assert np.array_equal(chosen.values, RAMP)
    everything = read(dataset, voi="none")
    assert (everything.black, everything.white) == (0, 4095)
    assert fault_of(written(dataset), window=(1000, 0)).code == "window"


@pytest.mark.parametrize("width", [0, -5, None])
def test_a_window_that_shows_nothing_is_left_out(width: float | None) -> None:
    image = read(film(WindowCenter=600, WindowWidth=width))
    assert (image.black, image.white, image.facts.notes) == (0, 4095, ("no-window",))


def look_up(first: int, entries: list[int], bits: int, kind: str = "OW") -> Dataset:
    table = Dataset()
    table.LUTDescriptor = [len(entries), first, bits]
    table["LUTDescriptor"].VR = "US"
    table.add_new("LUTData", kind, np.array(entries, "<u2").tobytes() if kind == "OW" else entries)
    return table


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("kind", ["OW", "US"])
def test_a_voi_lut_is_applied_at_its_own_depth(bits: int, kind: str) -> None:
    entries = [round((at / 3000) ** 2 * (2**bits - 1)) for at in range(3001)]
    dataset = film(VOILUTSequence=[look_up(500, entries, bits, kind)], WindowCenter=1, WindowWidth=2)
    image = read(dataset)
    expected = np.array(entries)[np.clip(RAMP.astype(int) - 500, 0, 3000)]
    assert np.array_equal(image.values, expected)
    assert (image.black, image.white, image.facts.notes) == (0, 2**bits - 1, ("voi-lut",))
    assert np.array_equal(read(dataset, voi="none").values, RAMP)


def test_a_voi_lut_that_is_shorter_than_it_says_is_named() -> None:
    table = look_up(0, [0, 1, 2], 8)
    table.LUTDescriptor = [4096, 0, 8]
    fault = fault_of(written(film(VOILUTSequence=[table])))
    assert (fault.code, "--data.reader.voi" in str(fault)) == ("voi-lut", True)


def test_a_modality_lut_is_applied() -> None:
    entries = [at * 3 for at in range(4096)]
    image = read(film(ModalityLUTSequence=[look_up(0, entries, 16)]))
    assert np.array_equal(image.values, RAMP * 3)
    assert (image.black, image.white) == (0, 65535)


def test_padding_is_as_dark_as_the_darkest_in_any_window() -> None:
    padded = RAMP.copy()
    padded[:, :3] = 4095
    padded[:, 3:] = np.clip(padded[:, 3:], 1000, 4000)
    tags = {"PixelPaddingValue": 4095, "RescaleSlope": 1, "RescaleIntercept": -1024}
    image = read(film(padded, **tags, WindowCenter=1500, WindowWidth=1000))
    assert not display(image)[:, :3].any()
    assert (image.values[:, :3] == -24).all()  # no brighter than anything else, in any other window too
    assert np.array_equal(image.values[:, 3:], padded[:, 3:] - 1024.0)
    assert "padding" in image.facts.notes
    light = 4095 - padded  # MONOCHROME1: padding is 0, which would be white
    turned = film(light, **{**tags, "PixelPaddingValue": 0}, PhotometricInterpretation="MONOCHROME1")
    turned.WindowCenter, turned.WindowWidth = 1500, 1000
    assert not display(read(turned))[:, :3].any()
    assert display(read(turned)).any()


def test_a_range_of_padding_is_padding_and_an_image_of_nothing_else_is_left() -> None:
    signed = RAMP.astype(np.int16)
    signed[:, :2], signed[:, 2:4] = -2000, -1990
    dataset = film(signed, 16, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990)
    assert (read(dataset).values[:, :4] == RAMP[:, 4:].min()).all()
    blank = film(np.full((4, 4), -2000, np.int16), 16, PixelPaddingValue=-2000)
    assert (read(blank).values == -2000).all()


SCENE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_colours_are_read_in_either_order_of_planes() -> None:
    assert np.array_equal(read(film(SCENE, 8)).values, SCENE)
    planes = film(SCENE, 8, PlanarConfiguration=1)
    planes.PixelData = np.moveaxis(SCENE, -1, 0).tobytes()
    assert np.array_equal(read(planes).values, SCENE)
    wide = read(film(SCENE.astype(np.uint16) * 257, 16))
    assert (wide.white, wide.facts.channels) == (65535, 3)
    assert np.array_equal(display(wide), SCENE.astype(np.uint16) * 257)


def test_luminance_and_colour_difference_become_rgb() -> None:
    y, b, r = (SCENE[..., at].astype(float) for at in range(3))
    expected = np.stack(
        [y + 1.402 * (r - 128), y - 0.344136 * (b - 128) - 0.714136 * (r - 128), y + 1.772 * (b - 128)],
        axis=-1,
    )
    image = read(film(SCENE, 8, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(image.values - np.clip(expected, 0, 255)).max() <= 1
    assert image.facts.mode == "YBR_FULL"


@pytest.mark.parametrize("grey", [False, True])
def test_a_palette_becomes_its_colours(grey: bool) -> None:
    index = np.arange(256, dtype=np.uint8).reshape(16, 16)
    dataset = film(index, 8, PhotometricInterpretation="PALETTE COLOR")
    tables = [np.arange(256) * 257, np.arange(255, -1, -1) * 257, np.arange(256) ** 2 % 65536]
    tables = [tables[0]] * 3 if grey else tables
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", table.astype("<u2").tobytes())
    image = read(dataset)
    colours = np.stack([table[index] for table in tables], axis=-1)
    assert np.array_equal(image.values, colours[..., 0] if grey else colours)
    assert image.white == 65535


def test_a_frame_of_several_has_to_be_chosen() -> None:
    frames = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]])
    content = written(film(frames))
    fault = fault_of(content)
    assert (fault.code, "--data.reader.frame (0 to 2)" in str(fault)) == ("several-frames", True)
    for at in range(3):
        assert np.array_equal(Reader(frame=at).decode(content).values, frames[at])
    assert fault_of(content, frame=3).code == "no-such-frame"
    assert np.array_equal(read(film(frames[:1]), frame=0).values, RAMP)


def test_an_enhanced_object_tells_of_each_frame() -> None:
    dataset = film(np.stack([RAMP, RAMP]), Modality="CT")

    def groups(**tags: object) -> Dataset:
        item, group = Dataset(), Dataset()
        for name, value in tags.items():
            setattr(item, name, value)
        name = "FrameVOILUTSequence" if "WindowWidth" in tags else "PixelValueTransformationSequence"
        setattr(group, name, [item])
        return group

    dataset.SharedFunctionalGroupsSequence = [
        groups(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        groups(WindowCenter=40.5, WindowWidth=401), groups(WindowCenter=-599.5, WindowWidth=1501)
    ]  # fmt: skip
    for at, ends in enumerate([(-160, 240), (-1350, 150)]):
        image = read(dataset, frame=at)
        assert (image.black, image.white, image.facts.units) == (*ends, "HU")
        assert np.array_equal(image.values, RAMP - 1024.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_pixels_are_read_and_numbers_asked_for(dtype: type[np.floating]) -> None:
    dataset = film()
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.BitsAllocated = np.dtype(dtype).itemsize * 8
    name = "FloatPixelData" if dtype is np.float32 else "DoubleFloatPixelData"
    setattr(dataset, name, (RAMP.astype(dtype) - 0.5).tobytes())
    image = read(dataset)
    assert np.array_equal(image.values, RAMP - 0.5)
    assert np.isnan(image.black)
    assert read(dataset, range=(0, 4095)).white == 4095
    setattr(dataset, name, np.full(RAMP.shape, np.nan, dtype).tobytes())
    assert fault_of(written(dataset)).code == "nan"


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_header_tells_its_facts_and_nothing_that_names_anybody() -> None:
    dataset = film(ViewPosition="PA", PresentationIntentType="FOR PRESENTATION", BurnedInAnnotation="yes")
    dataset.PatientID, dataset.AccessionNumber = "Canary-1", "Canary-2"
    facts = read(dataset).facts
    assert (facts.modality, facts.view, facts.presentation) == ("DX", "PA", "FOR PRESENTATION")
    assert (facts.burned_in, facts.format, facts.mode) == ("YES", "DICOM", "MONOCHROME2")
    assert "anary" not in repr(facts)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_file_without_preamble_is_read(syntax: str) -> None:
    dataset = film()
    dataset.file_meta.TransferSyntaxUID = syntax
    content = written(dataset)
    assert np.array_equal(Reader().decode(content[132:]).values, RAMP)  # with its meta information
    start = content.index(b"\x08\0\x16\0")
    assert np.array_equal(Reader().decode(content[start:]).values, RAMP)


def test_an_object_without_pixels_is_named() -> None:
    report = film()
    del report.PixelData, report.Rows
    report.SOPClassUID = BasicTextSRStorage
    fault = fault_of(written(report))
    assert fault.code == "not-an-image-object"
    assert "Basic Text SR Storage" in str(fault)
    stripped = film()
    del stripped.PixelData
    fault = fault_of(written(stripped))
    assert fault.code == "not-an-image-object"
    assert "Digital X-Ray Image Storage - For Presentation" in str(fault)


@pytest.mark.parametrize("missing", [2, 100, 1000])
def test_missing_pixels_are_never_filled_in(missing: int) -> None:
    assert fault_of(written(film())[:-missing]).code == "truncated"
    short = film()
    short.PixelData = short.PixelData[:-missing]
    assert fault_of(written(short)).code == "truncated"


def test_a_compressed_frame_without_its_end_is_cut_off() -> None:
    from PIL import Image as PillowImage

    file = io.BytesIO()
    PillowImage.fromarray((RAMP >> 4).astype(np.uint8)).save(file, "JPEG")
    dataset = film((RAMP >> 4).astype(np.uint8), 8)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    for frame, code in [(file.getvalue(), ""), (file.getvalue()[:-40], "truncated")]:
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        content = written(dataset)
        if code:
            assert fault_of(content).code == code
        else:
            assert Reader().decode(content).values.shape == RAMP.shape
    dataset.Rows = 4000
    assert fault_of(written(dataset)).code in {"damaged", "truncated"}


@pytest.mark.parametrize(
    "name", ["MR_small_RLE.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "image_dfl.dcm", "MR_small.dcm"]
)
@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_a_file_that_was_cut_off_is_refused(name: str, share: float) -> None:
    content = (FOLDER / name).read_bytes()
    assert fault_of(content[: int(len(content) * share)]).code in {"truncated", "not-an-image-object"}


def test_a_bomb_is_refused_from_its_header() -> None:
    huge = film(np.zeros((2, 2), np.uint8), 8, Rows=20000, Columns=20000)
    fault = fault_of(written(huge))
    assert (fault.code, "--data.reader.most_megapixels" in str(fault)) == ("too-large", True)
    plain = film()
    plain.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = written(plain)
    assert np.array_equal(Reader().decode(content).values, RAMP)
    start = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    zeros = packer.compress(zlib.decompress(content[start:], -15)) + packer.compress(bytes(100_000_000))
    assert fault_of(content[:start] + zeros + packer.flush(), most_megapixels=10).code == "too-large"


def test_nothing_is_said_on_standard_error(
    capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    dataset = film(StudyDate="no date", PatientName="Canary")
    dataset.PixelData += b"\0" * 100  # pydicom warns of both
    assert np.array_equal(read(dataset).values, RAMP)
    said = capfd.readouterr()
    assert not said.err + said.out
    assert not [one for one in recwarn.list if "pydicom/file" in one.filename or "pixels" in one.filename]


COMPRESSED = ("MR_small_RLE.dcm", "SC_rgb_small_odd_jpeg.dcm", "MR_small_jp2klossless.dcm", "image_dfl.dcm")
SAMPLES = [
    written(film(WindowCenter=600, WindowWidth=900)),
    *((FOLDER / one).read_bytes() for one in COMPRESSED),
]


@given(sample=st.sampled_from(SAMPLES), data=st.data())
@settings(max_examples=250, deadline=None)
def test_damage_is_read_or_named_but_never_a_bug(sample: bytes, data: st.DataObject) -> None:
    with suppress(ImageFault):
        content = damaged(sample, data, start=128, header=1500, most=4)
        image = Reader(most_megapixels=20).decode(content)
        assert image.values.shape[:2] == (image.facts.height, image.facts.width)


def test_each_kind_of_number_is_read() -> None:
    for kind, bits in itertools.product("ui", (8, 16, 32)):
        values = np.arange(100).reshape(10, 10).astype(f"{kind}{bits // 8}")
        assert np.array_equal(read(film(values, bits)).values, values)
    mask = np.random.default_rng(0).integers(0, 2, (8, 16), dtype=np.uint8)
    dataset = film(mask, 1, BitsAllocated=1)
    dataset.PixelData = np.packbits(mask.ravel(), bitorder="little").tobytes()
    assert np.array_equal(display(read(dataset)), mask * np.uint16(65535))


def test_a_window_centred_on_zero_is_one() -> None:
    from rn50med.data.readers.dicom_values import _window

    header = Dataset()
    header.WindowCenter, header.WindowWidth = 0, 100
    assert _window(header) == (0.0, 100.0)
    header.WindowCenter = ""
    assert _window(header) is None
