"""A NIfTI slice is upright whatever the file's axes are, and a volume is never read by accident."""

from __future__ import annotations

import gzip
import itertools
from contextlib import suppress

import nibabel
import numpy as np
import pytest
from damage import damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from rn50med.data.pixels import display
from rn50med.data.readers import ImageFault, Reader

pytestmark = pytest.mark.usefixtures("no_gigabyte")
RNG = np.random.default_rng(0)
BODY = RNG.integers(0, 60000, (7, 6, 5), dtype=np.uint16)
"""Voxels that run to the patient's right, front and head (RAS)."""


def stored_as(codes: str) -> nibabel.Nifti1Image:
    """Return the body stored with axes that run to the given ends."""
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    voxels = nibabel.orientations.apply_orientation(BODY, turn)
    return nibabel.Nifti1Image(voxels, np.diag([2.0, 3.0, 4.0, 1.0]) @ inv_ornt_aff(turn, BODY.shape))


ORDERS = [
    "".join(ends) for axes in itertools.permutations(["RL", "AP", "SI"]) for ends in itertools.product(*axes)
]


@pytest.mark.parametrize("codes", ORDERS)
def test_a_slice_is_upright_with_the_patients_right_on_the_left(codes: str) -> None:
    volume = stored_as(codes)
    at = 1
    end = codes[2]  # the slices are along the file's last axis, counted as stored
    axis = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}[end]
    where = at if end in "RAS" else BODY.shape[axis] - 1 - at
    expected = {
        # rows from the front, columns from the patient's right
        2: lambda: BODY[::-1, ::-1, where].T,
        # rows from the head, columns from the patient's right
        1: lambda: BODY[::-1, where, ::-1].T,
        # rows from the head, columns from the front
        0: lambda: BODY[where, ::-1, ::-1].T,
    }[axis]()
    for content in (volume.to_bytes(), gzip.compress(volume.to_bytes())):
        assert np.array_equal(Reader(slice=at).decode(content).values, expected)


def test_without_orientation_the_first_axis_runs_to_the_left() -> None:
    volume = nibabel.Nifti1Image(BODY[..., :1], None)
    assert volume.header["qform_code"] == volume.header["sform_code"] == 0
    assert np.array_equal(Reader().decode(volume.to_bytes()).values, BODY[:, ::-1, 0].T)


@pytest.mark.parametrize("shape", [(7, 6), (7, 6, 1), (7, 6, 1, 1), (7, 6, 1, 1, 1)])
def test_single_axes_are_dropped(shape: tuple[int, ...]) -> None:
    volume = nibabel.Nifti1Image(BODY[..., 0].reshape(shape), np.diag([-1, 1, 1, 1]))
    assert np.array_equal(Reader().decode(volume.to_bytes()).values, BODY[:, ::-1, 0].T)


def test_a_slice_that_is_one_voxel_wide_stays_a_slice() -> None:
    volume = nibabel.Nifti1Image(BODY[:1], np.diag([-1, 1, 1, 1]))
    assert Reader(slice=2).decode(volume.to_bytes()).values.shape == (6, 1)


def test_a_volume_needs_a_choice() -> None:
    content = stored_as("LAS").to_bytes()
    for options, code in [({}, "volume"), ({"slice": 5}, "no-such-slice"), ({"slice": -1}, "no-such-slice")]:
        with pytest.raises(ImageFault) as caught:
            Reader(**options).decode(content)
        assert caught.value.code == code
    series = nibabel.Nifti1Image(np.zeros((4, 4, 3, 2), np.int16), np.eye(4))
    with pytest.raises(ImageFault, match="save one volume") as caught:
        Reader(slice=0).decode(series.to_bytes())
    assert caught.value.code == "volume"


def test_scaled_values_keep_their_units_and_the_header_says_what_is_shown() -> None:
    units = RNG.integers(-1000, 2000, (8, 8, 1)).astype(np.int16)
    volume = nibabel.Nifti1Image(units, np.diag([-1, 1, 1, 1]))
    read = Reader().decode(volume.to_bytes())
    assert np.array_equal(read.values, units[:, ::-1, 0].T)
    assert np.isnan(read.black)
    assert (Reader(window=(40, 400)).decode(volume.to_bytes()).black) == -160
    assert (Reader(range=(-1000, 1000)).decode(volume.to_bytes()).white) == 1000
    volume.header["cal_min"], volume.header["cal_max"] = -160, 240
    read = Reader().decode(volume.to_bytes())
    assert (read.black, read.white) == (-160, 240)
    assert np.isnan(Reader(voi="none").decode(volume.to_bytes()).black)
    floats = nibabel.Nifti1Image(units[..., 0] * 0.5, np.diag([-1, 1, 1, 1]))
    floats.set_data_dtype(np.int16)  # with a slope in the header
    assert np.abs(Reader().decode(floats.to_bytes()).values - units[:, ::-1, 0].T * 0.5).max() < 0.02


def test_colours_are_read_and_equal_ones_are_grey() -> None:
    scene = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    packed = scene.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    volume = nibabel.Nifti1Image(packed[..., None], np.diag([-1, 1, 1, 1]))
    assert np.array_equal(display(Reader().decode(volume.to_bytes())), scene[:, ::-1].swapaxes(0, 1))


def test_a_second_version_and_big_endian_are_read() -> None:
    volume = nibabel.Nifti2Image(BODY, np.diag([-1, 1, 1, 1]))
    swapped = nibabel.Nifti1Image(BODY, np.diag([-1, 1, 1, 1]), nibabel.Nifti1Header(endianness=">"))
    for one in (volume, swapped):
        assert np.array_equal(Reader(slice=3).decode(one.to_bytes()).values, BODY[:, ::-1, 3].T)


def bomb() -> bytes:
    """Return a small gzip file that would become 1 GB of zeros behind a NIfTI header."""
    header = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)).to_bytes()[:352]
    changed = bytearray(header)
    changed[40:56] = np.array([3, 1000, 1000, 1000, 1, 1, 1, 1], "<i2").tobytes()
    return gzip.compress(bytes(changed) + b"\0" * 1000)


def test_a_bomb_is_refused_from_its_header() -> None:
    with pytest.raises(ImageFault, match=r"--data\.reader\.most_megapixels") as caught:
        Reader(slice=0).decode(bomb())
    assert caught.value.code == "too-large"


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_cut_off_is_called_that(packed: bool) -> None:
    content = stored_as("LAS").to_bytes()
    content = gzip.compress(content) if packed else content
    with pytest.raises(ImageFault) as caught:
        Reader(slice=0).decode(content[: len(content) * 3 // 4])
    assert caught.value.code == "truncated"


def test_a_changed_byte_in_a_gzip_file_is_seen() -> None:
    content = bytearray(gzip.compress(stored_as("LAS").to_bytes(), 0))
    content[-60] ^= 1
    with pytest.raises(ImageFault) as caught:
        Reader(slice=0).decode(bytes(content))
    assert caught.value.code == "damaged"


def test_a_value_that_is_no_number_is_refused() -> None:
    values = np.full((4, 4, 1), 0.5, np.float32)
    values[1, 2] = np.nan
    with pytest.raises(ImageFault) as caught:
        Reader().decode(nibabel.Nifti1Image(values, np.eye(4)).to_bytes())
    assert caught.value.code == "nan"


def test_a_header_alone_says_what_to_do() -> None:
    pair = nibabel.Nifti1Pair(BODY, np.eye(4))
    with pytest.raises(ImageFault, match=r"save it as one \.nii"):
        Reader().decode(pair.header.binaryblock + b"\0" * 4)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damage_is_read_or_named_but_never_a_bug(data: st.DataObject) -> None:
    content = damaged(stored_as("PIR").to_bytes(), data, header=352)
    with suppress(ImageFault):
        assert Reader(slice=1, most_megapixels=20).decode(content).values.ndim in {2, 3}
