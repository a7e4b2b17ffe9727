"""Every file that pydicom brings is read as it was recorded, or is named with what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import get_frame

from rn50med.data.readers import Image, ImageFault, Reader, fingerprint
from rn50med.data.readers.dicom_jpeg import is_sound

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
FILES = sorted(FOLDER.glob("*.dcm"))
GOLDEN = Path(__file__).parent / "golden" / "pydicom_files.json"
RECORDED = json.loads(GOLDEN.read_text(encoding="utf-8"))
READABLE = [path for path in FILES if "shape" in RECORDED.get(path.name, {})]
LOSSY = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91"}
"""JPEG and JPEG 2000 with losses: another build of a decoder may round another way."""

EXTRA = ("gdcm", "openjpeg", "libjpeg", "rle", "jpeg_ls", "pylibjpeg")
"""Modules of the packages that the ``dicom`` extra, and a user, may bring."""


def record(path: Path, reader: Reader | None = None) -> dict[str, object]:
    """Return what is read of a file, in plain types."""
    try:
        image = (reader or Reader()).decode(path.read_bytes())
    except ImageFault as fault:
        if fault.code == "several-frames":
            return record(path, Reader(frame=1)) | {"frames": True}
        return {"code": fault.code, "said": str(fault)}
    except Exception as error:  # what must not happen
        return {"code": "bug", "said": repr(error)}
    values, facts = image.values, image.facts
    return {
        "shape": list(values.shape),
        "type": values.dtype.name,
        "mean": float(values.mean()),
        "crc": zlib.crc32(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).data),
        "shown": [None if np.isnan(end) else end for end in (image.black, image.white)],
        "facts": [facts.mode, facts.bits, facts.channels, facts.units, facts.modality, *facts.notes],
    }


def is_lossy(path: Path) -> bool:
    meta = pydicom.dcmread(path, force=True).file_meta
    return meta.get("TransferSyntaxUID") in LOSSY


def test_all_files_are_recorded() -> None:
    assert len(RECORDED) == 78
    assert "bug" not in {one.get("code") for one in RECORDED.values()}
    assert sum("code" not in one for one in RECORDED.values()) == 57


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_of_pydicom_is_read_as_recorded_or_says_what_it_needs(
    path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    found, expected = record(path), dict(RECORDED.get(path.name, {}))
    if not expected:
        pytest.skip("a file of a later pydicom")
    if found.get("code") == "missing-decoder" != expected.get("code"):
        assert "pip install rn50med[dicom]" in str(found["said"])
        pytest.skip(str(found["said"]))
    if "mean" in expected:
        assert found["mean"] == pytest.approx(expected.pop("mean"), abs=0.5 if is_lossy(path) else 1e-4)
    if is_lossy(path):
        expected.pop("crc", None)
    if found.get("code") == "damaged":
        expected.pop("said")  # which may quote a library
    assert {key: found.get(key) for key in expected} == expected
    assert not [warning for warning in recwarn.list if "pydicom" in str(warning.filename)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_values_are_the_plain_computation_of_pydicoms_own(path: Path) -> None:
    found = record(path)
    if found.get("code") == "missing-decoder":
        pytest.skip(str(found["said"]))
    dataset = pydicom.dcmread(path, force=True)
    image = Reader(frame=1 if "frames" in found else None, voi="none").decode(path.read_bytes())
    stored = dataset.pixel_array[1 if "frames" in found else ...]
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        table = [np.frombuffer(dataset[f"{name}PaletteColorLookupTableData"].value, "<u2") for name in
                 ("Red", "Green", "Blue")]  # fmt: skip
        expected = np.stack([colours[stored] for colours in table], axis=-1)
    else:
        slope, intercept = (float(dataset.get(name) or other) for name, other in
                            (("RescaleSlope", 1), ("RescaleIntercept", 0)))  # fmt: skip
        expected = stored * slope + intercept
    kept = stored != dataset.get("PixelPaddingValue", np.nan)
    assert np.array_equal(image.values[kept], expected[kept])
    if not kept.all():
        assert (image.values[~kept] <= image.values[kept].min()).all()


SCRIPT = """
import json, sys
from pathlib import Path
banned, fake = json.loads(sys.argv[1])

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in banned:
            raise ImportError(name)

class Fake:
    __version__, __path__ = "99.0", []
    def __getattr__(self, name):
        raise AssertionError("itk is used")

sys.meta_path.insert(0, Without())
if fake:
    sys.modules["itk"] = Fake()
from rn50med.data.readers import Reader, ImageFault, fingerprint
said = {}
for path in sorted(Path(sys.argv[2]).glob("*.dcm")):
    try:
        said[path.name] = fingerprint(Reader(frame=None).decode(path.read_bytes()))
    except ImageFault as fault:
        said[path.name] = f"{fault.code}: {fault}"
print(json.dumps(said))
"""


def read_in_another_process(banned: list[str], fake_itk: bool) -> tuple[dict[str, str], str]:
    arguments = [json.dumps([banned, fake_itk]), str(FOLDER)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout), done.stderr


def here() -> dict[str, str]:
    found = {}
    for path in FILES:
        try:
            found[path.name] = fingerprint(Reader().decode(path.read_bytes()))
        except ImageFault as fault:
            found[path.name] = f"{fault.code}: {fault}"
    return found


def test_with_and_without_itk_the_same_is_read_and_nothing_is_said() -> None:
    with_itk, said = read_in_another_process([], True)
    assert with_itk == here()
    assert not said
    without_itk, _ = read_in_another_process(["itk"], False)
    assert without_itk == with_itk


def test_without_decoders_a_file_names_its_syntax_and_the_package() -> None:
    found, said = read_in_another_process(list(EXTRA), False)
    whole = here()
    assert not said
    needs = {name: text for name, text in found.items() if text.startswith("missing-decoder")}
    for name, package, syntax in [
        ("SC_rgb_jpeg_gdcm.dcm", "python-gdcm", "1.2.840.10008.1.2.4.70"),
        ("MR_small_jpeg_ls_lossless.dcm", "pyjpegls", "1.2.840.10008.1.2.4.80"),
        ("JPEGLSNearLossless_16.dcm", "pyjpegls", "1.2.840.10008.1.2.4.81"),
        ("GDCMJ2K_TextGBR.dcm", "pylibjpeg-openjpeg", "1.2.840.10008.1.2.4.90"),
        ("JPGExtended.dcm", "pylibjpeg-libjpeg", "1.2.840.10008.1.2.4.51"),
    ]:
        assert package in needs[name]
        assert syntax in needs[name]
    assert "pip install rn50med[dicom]" in needs["SC_rgb_jpeg_gdcm.dcm"]
    assert "GPL" in needs["JPGExtended.dcm"]
    # one more package changes no value of what could be read without it
    assert {name: text for name, text in found.items() if name not in needs} == {
        name: text for name, text in whole.items() if name not in needs
    }


def test_a_syntax_of_which_no_file_is_at_hand_is_named_too() -> None:
    code = SCRIPT.split("said = {}", maxsplit=1)[0] + (
        "import io, pydicom\n"
        "dataset = pydicom.dcmread(Path(sys.argv[2], 'MR_small_jp2klossless.dcm'))\n"
        "dataset.file_meta.TransferSyntaxUID = '1.2.840.10008.1.2.4.201'\n"
        "file = io.BytesIO()\n"
        "dataset.save_as(file)\n"
        "try:\n    Reader().decode(file.getvalue())\n"
        "except ImageFault as fault:\n    print(fault.code, fault)\n"
    )
    arguments = [json.dumps([list(EXTRA), False]), str(FOLDER)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("missing-decoder needs a decoder for")
    assert "pylibjpeg-openjpeg" in done.stdout


def shown_alike(one: Image, other: Image) -> bool:
    return one.values.shape == other.values.shape and bool((one.values == other.values).all())


@pytest.mark.parametrize(
    "twin", ["RLE", "bigendian", "expb", "implicit", "jp2klossless", "jpeg_ls_lossless", "padded"]
)
def test_one_image_in_several_syntaxes_is_one_image(twin: str) -> None:
    plain = Reader().decode((FOLDER / "MR_small.dcm").read_bytes())
    path = FOLDER / f"MR_small_{twin}.dcm"
    if record(path).get("code") == "missing-decoder":
        pytest.skip("needs the `dicom` extra")
    other = Reader().decode(path.read_bytes())
    assert shown_alike(plain, other)
    assert fingerprint(plain) == fingerprint(other)


def test_several_threads_read_the_same_values() -> None:
    contents = [path.read_bytes() for path in READABLE if path.stat().st_size < 200_000] * 2
    alone = [record_of(content) for content in contents]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(record_of, contents)) == alone


def record_of(content: bytes) -> str:
    try:
        return fingerprint(Reader().decode(content))
    except ImageFault as fault:
        return fault.code


LOSSLESS = pydicom.dcmread(FOLDER / "SC_rgb_jpeg_gdcm.dcm")


def test_a_sound_lossless_frame_is_told_from_damaged_ones() -> None:
    frame = get_frame(LOSSLESS.PixelData, 0, number_of_frames=1)
    assert is_sound(frame, 3, True)
    assert is_sound(frame + b"\0\0", 3, True)
    assert not is_sound(frame, 1, True)
    for cut in (0, 1, 10, 30, 60, 61, 62, 63, 1000, len(frame) - 3):
        assert not is_sound(frame[:cut], 3, True)
    harmless = {*range(6, 17), *range(23, 27), 30, 33, 36}  # the application's; the size; unused tables
    for at in set(range(75)) - harmless:
        changed = bytearray(frame)
        changed[at] ^= 0xF5
        assert not is_sound(bytes(changed), 3, True), at


def test_a_box_without_length_is_damage_and_not_an_endless_loop() -> None:
    name = next(path for path in READABLE if b"jP  " in path.read_bytes())
    content = name.read_bytes()
    at = content.index(b"jP  ") + 8
    for wrong in (0, 1, 7, 2**31):
        changed = content[:at] + wrong.to_bytes(4, "big") + content[at + 4 :]
        with pytest.raises(ImageFault) as caught:
            Reader().decode(changed)
        assert caught.value.code == "damaged"


@pytest.mark.parametrize(("at", "value"), [(17, 0x84), (0, 0), (20, 0xC0), (28, 4), (29, 0x22), (45, 0xFF)])
def test_a_damaged_lossless_frame_is_named_and_does_not_end_the_process(at: int, value: int) -> None:
    frame = bytearray(get_frame(LOSSLESS.PixelData, 0, number_of_frames=1))
    frame[at] = value
    content = (FOLDER / "SC_rgb_jpeg_gdcm.dcm").read_bytes()
    start = content.index(b"\xff\xd8\xff\xee")
    changed = content[:start] + bytes(frame) + content[start + len(frame) :]
    with pytest.raises(ImageFault) as caught:
        Reader().decode(changed)
    assert caught.value.code == "damaged"


if __name__ == "__main__":  # records anew; look at every change before it is kept
    lines = (f"  {json.dumps(path.name)}: {json.dumps(record(path))}" for path in FILES)
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
