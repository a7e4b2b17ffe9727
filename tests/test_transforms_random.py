"""The random transforms, each against a formula of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rn50med.data.transforms import (
    CTSlice,
    Dermoscopy,
    DomainTransforms,
    Fundus,
    Histology,
    Mammogram,
    MRISlice,
    Radiograph,
    RandBias,
    RandColour,
    RandContrast,
    RandDepthGain,
    RandGamma,
    RandGeometry,
    RandLevels,
    RandNoise,
    RandResolution,
    RandStain,
    Ultrasound,
    light,
    seeded,
)
from rn50med.data.transforms.geometry import Mirror, Scale, Shift, Sometimes, Symmetry, Turn, Zoom
from rn50med.data.transforms.histology import STAINS
from rn50med.data.transforms.random import Random
from rn50med.errors import DataError

GREY = torch.from_numpy(np.random.default_rng(0).random((1, 40, 40), dtype=np.float32))
COLOUR = torch.from_numpy(np.random.default_rng(1).random((3, 40, 40), dtype=np.float32))
ALL = (
    (RandGamma(0.5, 2), GREY), (RandLevels(0.3, 0.2), GREY), (RandNoise(0.1), GREY),
    (RandNoise(0.1, multiplied=True), GREY), (RandDepthGain(0.3), GREY), (RandBias(0.3), GREY),
    (RandContrast(0.4, 0.9), GREY), (RandResolution(0.25), GREY),
    (RandColour(0.2, 0.2, 0.2, 10), COLOUR), (RandStain(0.1), COLOUR), (RandGeometry(Turn(20)), GREY),
)  # fmt: skip


def eight(image: torch.Tensor) -> list[torch.Tensor]:
    """All symmetries of the square."""
    return [torch.rot90(side, turns, (1, 2)) for side in (image, image.flip(2)) for turns in range(4)]


@pytest.mark.parametrize(("change", "image"), ALL, ids=lambda value: type(value).__name__)
def test_a_change_is_made_as_often_as_asked_and_never_in_place(change: Random, image: torch.Tensor) -> None:
    kept, prob = image.clone(), change.prob
    try:
        change.set_random_state(seed=0)
        assert not torch.equal(change(image), image)
        again = change(image, randomize=False)
        assert torch.equal(again, change(image, randomize=False))
        change.prob = 0.3
        changed = sum(not torch.equal(change(image), image) for _ in range(200))
        assert 35 <= changed <= 85  # 60 expected
        assert torch.equal(image, kept)
    finally:
        change.prob = prob


@pytest.mark.parametrize(("change", "image"), ALL, ids=lambda value: type(value).__name__)
def test_an_array_and_a_64_bit_image_are_taken(change: Random, image: torch.Tensor) -> None:
    results = []
    for given in (image, image.numpy(), image.double()):
        change.set_random_state(seed=3)
        results.append(change(given))
    assert torch.equal(results[0], results[1])
    assert results[2].dtype == torch.float64
    if not isinstance(change, RandNoise):  # whose draws are of another precision
        assert torch.allclose(results[0].double(), results[2], atol=1e-4)


def test_integers_are_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"uint8; scale it to \[0, 1\] first"):
        RandGamma(0.5, 2)(torch.zeros((1, 4, 4), dtype=torch.uint8))


def test_a_seed_draws_the_same_on_every_machine() -> None:
    change = RandLevels(0.3, 0.2).set_random_state(seed=2**32 - 1)
    draws = [round(change.R.uniform(), 6) for _ in range(3)]
    expected = np.random.Generator(np.random.PCG64(2**32 - 1)).random(3)
    assert draws == pytest.approx(expected.tolist(), abs=1e-6)
    state = np.random.RandomState(4)
    assert change.set_random_state(state=state).R is state


# Geometry


@pytest.mark.parametrize("shape", [(40, 40), (24, 40)])
def test_one_resampling_equals_torchs_affine_grid(shape: tuple[int, int]) -> None:
    image = torch.rand((2, *shape), generator=torch.Generator().manual_seed(0))
    change = RandGeometry(Turn(60), Shift(0.1), Scale(0.2), Sometimes(Mirror(), 0.5))
    change.set_random_state(seed=5)
    for _ in range(10):
        result = change(image)
        matrix = change._matrix.copy()
        aspect = shape[0] / shape[1]
        matrix[0, 1] *= aspect
        matrix[1, 0] /= aspect
        grid = F.affine_grid(torch.from_numpy(matrix[:2]).float()[None], [1, 2, *shape], align_corners=False)
        assert torch.allclose(result, F.grid_sample(image[None], grid, align_corners=False)[0], atol=1e-4)


def test_a_mirror_and_the_symmetries_move_pixels_as_they_are() -> None:
    assert torch.equal(RandGeometry(Mirror())(GREY), GREY.flip(2))
    change = RandGeometry(Symmetry())
    change.set_random_state(seed=0)
    seen = [
        [torch.equal(result, one) for one in eight(GREY)].index(True)
        for result in (change(GREY) for _ in range(160))
    ]
    assert sorted(set(seen)) == list(range(8))
    assert min(np.bincount(seen)) >= 8  # 20 expected of each


def test_the_short_way_of_a_symmetry_equals_resampling() -> None:
    change = RandGeometry(Symmetry())
    change.set_random_state(seed=0)
    for _ in range(20):
        result = change(GREY)
        grid = F.affine_grid(
            torch.from_numpy(change._matrix[:2]).float()[None], [1, 1, 40, 40], align_corners=False
        )
        assert torch.allclose(result, F.grid_sample(GREY[None], grid, align_corners=False)[0], atol=1e-4)


def test_a_picture_that_is_no_square_keeps_its_shape() -> None:
    wide = torch.rand((1, 20, 30))
    change = RandGeometry(Symmetry())
    change.set_random_state(seed=0)
    assert {tuple(change(wide).shape) for _ in range(20)} == {(1, 20, 30)}


def test_a_shift_and_a_zoom_reach_as_far_as_they_say() -> None:
    dot = torch.zeros((1, 101, 101))
    dot[0, 40:61, 40:61] = 1
    shift, zoom = RandGeometry(Shift(0.1)), RandGeometry(Zoom(0.5, 2.0))
    places, areas = [], []
    for draw in range(60):
        shift.set_random_state(seed=draw)
        zoom.set_random_state(seed=draw)
        rows, columns = (shift(dot)[0] > 0.5).nonzero().double().mean(dim=0) - 50
        places.append((float(rows), float(columns)))
        areas.append(float(zoom(dot).sum()) / 441)
    assert 8 < np.abs(places).max() <= 10.6
    assert 0.2 < min(areas) < 0.4
    assert 2.8 < max(areas) < 4.2


def test_what_comes_from_outside_is_black_or_reflected() -> None:
    bright = torch.ones((1, 32, 32))
    black, reflected = RandGeometry(Shift(0.5)), RandGeometry(Shift(0.5), outside="reflection")
    for change in (black, reflected):
        change.set_random_state(seed=1)
    assert float(black(bright).min()) == 0
    assert float(reflected(bright).min()) == pytest.approx(1)


# Brightness and colour


def test_gamma_leaves_black_and_white() -> None:
    ends = torch.tensor([[[0.0, 0.5, 1.0]]])
    change = RandGamma(1.5, 2.5)
    result = change(ends)
    assert result[0, 0, 0] == 0
    assert result[0, 0, 2] == 1
    assert 0.5**2.5 <= float(result[0, 0, 1]) <= 0.5**1.5


def test_gamma_brightens_as_often_as_it_darkens_and_as_much() -> None:
    middle, change = torch.full((1, 1, 1), 0.5), RandGamma(1 / 4, 4)
    change.set_random_state(seed=0)
    powers = [np.log(float(change(middle))) / np.log(0.5) for _ in range(400)]
    assert min(powers) == pytest.approx(1 / 4, rel=0.1)
    assert max(powers) == pytest.approx(4, rel=0.1)
    assert abs(np.median(np.log(powers))) < 0.15


def test_contrast_is_changed_about_the_images_own_mean() -> None:
    change = RandContrast(0.4, 1.4)
    change.set_random_state(seed=0)
    factors = []
    for _ in range(200):
        result = change(GREY)
        assert float(result.mean()) == pytest.approx(float(GREY.mean()), abs=1e-5)
        factors.append(float(result.std() / GREY.std()))
    assert 0.4 <= min(factors) < 0.43
    assert 1.3 < max(factors) <= 1.4 + 1e-5


@pytest.mark.parametrize("side", [32, 41])
def test_resolution_keeps_size_and_mean_and_takes_away_what_is_small(side: int) -> None:
    stripes = (torch.arange(side) % 2).float().expand(1, side, side)
    slope = torch.linspace(0, 1, side).expand(1, side, side)
    change = RandResolution(0.25)
    change.set_random_state(seed=0)
    contrasts = []
    for _ in range(50):
        coarse = change(slope)
        assert coarse.shape == slope.shape
        assert float((coarse - slope).abs().max()) < 0.08
        contrasts.append(float(change(stripes, randomize=False).std()))
    assert min(contrasts) < 0.2
    assert max(contrasts) > 0.3


def test_levels_turn_about_the_middle_grey() -> None:
    middle = torch.full((1, 4, 4), 0.5)
    change = RandLevels(contrast=0.4)
    assert torch.allclose(change(middle), middle)
    moved = [float(RandLevels(offset=0.1).set_random_state(seed=s)(middle)[0, 0, 0]) for s in range(50)]
    assert 0.4 <= min(moved) < 0.42
    assert 0.58 < max(moved) <= 0.6


def test_noise_is_as_strong_as_drawn_and_speckle_leaves_black() -> None:
    image = torch.full((1, 100, 100), 0.5)
    change = RandNoise(0.1)
    change.set_random_state(seed=1)
    assert float((change(image) - image).std()) == pytest.approx(change._std, rel=0.05)
    speckle = RandNoise(0.1, multiplied=True)
    assert torch.equal(speckle(torch.zeros((1, 8, 8))), torch.zeros((1, 8, 8)))


def test_no_reach_changes_no_colour() -> None:
    assert torch.allclose(RandColour(0, 0, 0, 0)(COLOUR), COLOUR, atol=1e-5)
    assert torch.allclose(RandStain(0)(COLOUR), COLOUR, atol=1e-5)


def test_saturation_and_hue_leave_grey_grey() -> None:
    change = RandColour(0, 0, saturation=0.5, hue=90)
    grey = GREY.expand(3, -1, -1)
    assert torch.allclose(change(grey), grey, atol=1e-3)
    weights = torch.tensor([0.299, 0.587, 0.114])
    luma, before = (torch.einsum("c,chw->hw", weights, image) for image in (change(COLOUR), COLOUR))
    assert torch.allclose(luma, before, atol=1e-3)


def test_brightness_and_contrast_are_factors() -> None:
    change = RandColour(0.4, 0, 0, 0)
    factor = change(COLOUR) / COLOUR.clamp_min(1e-3)
    assert float(factor.median()) != pytest.approx(1, abs=0.01)
    assert float(factor[COLOUR > 0.1].std()) < 1e-3
    contrast = RandColour(0, 0.4, 0, 0)(COLOUR)
    assert float(contrast.std() / COLOUR.std()) != pytest.approx(1, abs=0.01)
    weights = torch.tensor([0.299, 0.587, 0.114])
    assert float(weights @ contrast.mean((1, 2))) == pytest.approx(
        float(weights @ COLOUR.mean((1, 2))), abs=1e-3
    )


def test_stains_change_as_colour_deconvolution_by_hand() -> None:
    """Unmix the optical density, change each stain's amount, and mix again; pixel by pixel in 64 bits."""
    change = RandStain(0.2)
    change.set_random_state(seed=2)
    result = change(COLOUR)
    colours = np.array([np.array(stain) / np.linalg.norm(stain) for stain in STAINS])
    for row, column in ((0, 0), (7, 31), (39, 20)):
        density = -np.log(COLOUR[:, row, column].double().numpy())
        amounts = np.linalg.solve(colours.T, density)
        expected = np.exp(-(change._factors * amounts + change._offsets) @ colours)
        assert result[:, row, column].numpy() == pytest.approx(expected, rel=1e-4)


def test_stains_agree_with_scikit_image() -> None:
    colour = pytest.importorskip("skimage.color")
    change = RandStain(0.2)
    change.set_random_state(seed=2)
    colours = np.array([np.array(stain) / np.linalg.norm(stain) for stain in STAINS])
    amounts = np.random.default_rng(0).uniform(0.1, 0.6, (8, 8, 3))  # what it clips at 0 is left out
    image = np.exp(-amounts @ colours)
    result = change(torch.from_numpy(np.moveaxis(image, -1, 0)))
    unit = -np.log(1e-6)  # of its amounts
    hed = colour.separate_stains(image, np.linalg.inv(colours)) * unit
    mixed = colour.combine_stains((change._factors * hed + change._offsets) / unit, colours)
    assert np.moveaxis(result.numpy(), 0, -1) == pytest.approx(mixed, rel=1e-3)


def test_a_bias_field_is_smooth_and_depends_on_place_alone() -> None:
    change = RandBias(0.3)
    change.set_random_state(seed=0)
    field = change(torch.ones((1, 60, 80)))
    assert torch.allclose(change(GREY.new_full((1, 60, 80), 0.5), randomize=False), 0.5 * field)
    steps = torch.cat([field.log().diff(dim=1).flatten(), field.log().diff(dim=2).flatten()])
    assert 0 < float(steps.abs().max()) < 0.4
    rows, columns = np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 80), indexing="ij")
    expected = np.polynomial.legendre.legval2d(rows, columns, change._terms)
    assert field[0].log().numpy() == pytest.approx(expected, abs=1e-5)
    assert change._terms[0, 0] == 0


def test_depth_gain_changes_rows_alone() -> None:
    change = RandDepthGain(0.4)
    change.set_random_state(seed=0)
    gain = change(torch.ones((1, 51, 7)))[0]
    assert torch.allclose(gain, gain[:, :1].expand(-1, 7))
    assert float(gain[0, 0] * gain[-1, 0]) == pytest.approx(1, abs=1e-5)
    assert float(gain[25, 0]) == pytest.approx(1, abs=1e-5)


# Domains


@pytest.mark.parametrize(
    ("domain", "mirrors"),
    [
        (Radiograph(32), False), (Mammogram(32), False), (Mammogram(32, mirror=True), True),
        (Ultrasound(32), False), (Ultrasound(32, mirror=True), True), (MRISlice(32), False),
        (MRISlice(32, mirror=True), True), (CTSlice(32), False), (CTSlice(32, mirror=True), True),
        (Fundus(32), True), (Dermoscopy(32), True), (Histology(32), True),
    ],
)  # fmt: skip
def test_left_and_right_are_exchanged_where_anatomy_allows_it(
    domain: DomainTransforms, mirrors: bool
) -> None:
    """A map that mirrors has a determinant below 0, however it turns; nothing else moves pixels."""
    geometry, *others = domain.changes()
    assert isinstance(geometry, RandGeometry)
    assert all(isinstance(change, Random) and not isinstance(change, RandGeometry) for change in others)
    geometry.set_random_state(seed=0)
    mirrored = 0
    for _ in range(80):
        geometry.randomize(GREY)
        mirrored += geometry._do_transform and float(np.linalg.det(geometry._matrix)) < 0
    assert (20 < mirrored < 60) if mirrors else mirrored == 0


@pytest.mark.parametrize("domain", [Radiograph, Mammogram, Ultrasound, MRISlice, CTSlice])
def test_a_mark_on_the_left_stays_left(domain: type[DomainTransforms]) -> None:
    film = np.zeros((1, 48, 48), np.uint8)
    film[0, 10:20, 12:18], film[0, 10:20, 30:36] = 255, 120
    pipeline = domain(size=48).train
    for draw in range(80):
        with light():
            image = seeded(pipeline, film, (0, 0, draw))[0]
        assert float(image[:, :24].mean()) > float(image[:, 24:].mean())


@pytest.mark.parametrize("domain", [Radiograph, Mammogram, Ultrasound, MRISlice, CTSlice])
def test_up_is_never_down(domain: type[DomainTransforms]) -> None:
    film = np.zeros((1, 48, 48), np.uint8)
    film[0, 8:16, 20:28], film[0, 32:40, 20:28] = 255, 110
    pipeline = domain(size=48).train
    for draw in range(60):
        with light():
            image = seeded(pipeline, film, (0, 0, draw))[0]
        assert float(image[:24].amax()) > float(image[28:].amax())


def test_a_radiograph_turns_and_stretches_less_than_would_fold_it() -> None:
    for strength in (1.0, 5.0):
        maps = Radiograph(strength=strength).changes()[0].maps
        turn = next(change for change in maps if isinstance(change, Turn))
        scale = next(change for change in maps if isinstance(change, Scale))
        assert turn.degrees == 8 * strength < 90
        assert scale.share == pytest.approx(0.12 * strength)
        assert scale.share < 1


def test_histology_without_zoom_keeps_its_pixels_sharp() -> None:
    """Symmetries need no interpolation: seven in ten have as many distinct greys in the noise as before."""
    change = Histology(size=40).changes()[0]
    change.set_random_state(seed=0)
    exact = sum(any(torch.equal(change(COLOUR), one) for one in eight(COLOUR)) for _ in range(40))
    assert exact >= 18
