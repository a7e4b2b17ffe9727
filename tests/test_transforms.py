"""Transforms: MONAI's, seeded by image and epoch, kind to anatomy, plain tensors in [0, 1]."""

from __future__ import annotations

import pickle
from pathlib import Path

import monai.transforms as mt
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.data.meta_obj import get_track_meta, set_track_meta
from PIL import Image

from rn50med.data.transforms import Clip, Radiograph, ReadImage, Square, Transforms, Unit, light, seeded
from rn50med.errors import RecipeError
from rn50med.parts import build

FILM = np.round(255 * np.random.default_rng(0).random((1, 48, 48))).astype(np.uint8)


def drawn(seed: tuple[int, ...], strength: float = 1.0, film: np.ndarray = FILM) -> torch.Tensor:
    with light():
        return seeded(Radiograph(size=48, strength=strength).train, film, seed)


@pytest.mark.parametrize("pipeline", ["prepare", "train", "eval"])
def test_every_step_is_a_transform_of_monai(pipeline: str) -> None:
    composed = getattr(Radiograph(size=48), pipeline)
    assert isinstance(composed, mt.Compose)
    assert all(isinstance(step, mt.Transform) for step in composed.transforms)


def test_the_steps_work_in_a_compose_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    Image.fromarray(np.full((40, 20), 51, np.uint8)).save(path)
    image = mt.Compose([ReadImage(), Square(32, channels=3), Unit(), mt.Flip(spatial_axis=0), Clip()])(path)
    assert image.shape == (3, 32, 32)
    assert image.max() == pytest.approx(0.2)


def test_draws_depend_on_seed_epoch_and_image_alone() -> None:
    first = drawn((0, 1, 2))
    drawn((9, 9, 9))
    torch.manual_seed(5)
    np.random.seed(5)
    assert torch.equal(drawn((0, 1, 2)), first)
    for other in ((1, 1, 2), (0, 2, 2), (0, 1, 3)):
        assert not torch.equal(drawn(other), first)


def test_one_pipeline_for_many_images_draws_as_one_for_each() -> None:
    pipeline = Radiograph(size=48).train
    with light():
        together = [seeded(pipeline, FILM, (0, 0, image)) for image in (3, 1, 2)]
    assert all(torch.equal(one, drawn((0, 0, image))) for one, image in zip(together, (3, 1, 2), strict=True))


def test_global_random_states_are_left_alone() -> None:
    torch.manual_seed(0)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    drawn((0, 0, 0))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def test_no_strength_is_eval() -> None:
    transforms = Radiograph(size=48, strength=0)
    assert torch.equal(drawn((0, 0, 0), strength=0), transforms.eval(FILM))
    assert torch.equal(transforms.eval(FILM), torch.from_numpy(FILM.astype(np.float32) / 255))


@pytest.mark.parametrize("strength", [1.0, 5.0])
def test_left_and_right_are_never_exchanged(strength: float) -> None:
    """A bright left edge stays left of a film's middle, and the upper one above it."""
    film = np.zeros((1, 48, 48), np.uint8)
    film[0, 10:20, 14:20], film[0, 10:20, 28:34] = 255, 120
    for draw in range(150):
        image = drawn((0, 0, draw), strength, film)[0].double()
        bright, dim = image > 0.75 * image.max(), (image > 0.25 * image.max()) & (image < 0.7 * image.max())
        if strength == 1.0 and bright.any() and dim.any():
            assert bright.nonzero()[:, 1].double().mean() < dim.nonzero()[:, 1].double().mean()
    affine = Radiograph(size=48, strength=strength).train.transforms[1].rand_affine_grid
    assert max(affine.rotate_range) < np.pi / 2
    assert max(affine.scale_range) < 1  # a factor of 1 plus or minus this stays positive
    assert not any(affine.shear_range or ())
    names = {type(step).__name__ for step in Radiograph(strength=strength).train.transforms}
    assert not any("Flip" in name or "Rotate90" in name or "Zoom" in name for name in names)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_values_stay_between_0_and_1(dtype: type[np.unsignedinteger]) -> None:
    film = FILM if dtype == np.uint8 else FILM.astype(np.uint16) * 257
    for draw in range(30):
        image = drawn((0, 0, draw), 5.0, film)
        assert image.dtype == torch.float32
        assert 0 <= float(image.min()) <= float(image.max()) <= 1


def test_the_random_part_of_an_8_bit_film_equals_that_of_its_16_bit_twin() -> None:
    wide = FILM.astype(np.uint16) * 257
    assert torch.allclose(drawn((0, 0, 0)), drawn((0, 0, 0), film=wide), atol=1e-6)


@pytest.mark.parametrize("track", [True, False])
def test_a_plain_tensor_comes_out_even_where_monai_tracks(track: bool) -> None:
    before = get_track_meta()
    set_track_meta(track)
    try:
        for image in (seeded(Radiograph(size=48).train, FILM, (0, 0, 0)), drawn((0, 0, 0))):
            assert type(image) is torch.Tensor
            assert not isinstance(image, MetaTensor)
            assert image.shape == (1, 48, 48)
    finally:
        set_track_meta(before)


def test_threads_and_tracking_are_put_back_even_after_an_error() -> None:
    torch.set_num_threads(2)
    tracked = get_track_meta()
    with pytest.raises(ZeroDivisionError), light():
        _ = 1 / 0
    with light():
        assert (torch.get_num_threads(), get_track_meta()) == (1, False)
    assert torch.get_num_threads() == 2
    assert get_track_meta() == tracked


@pytest.mark.parametrize(
    "options", [{"size": 31}, {"strength": -0.1}, {"strength": 6}, {"strength": float("nan")}]
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=r"give a size of at least 32 .* and a strength from 0 to 5"):
        Radiograph(**options)


def test_a_checkpoint_and_a_worker_build_the_same_transforms() -> None:
    transforms = Radiograph(size=64, strength=0.5)
    rebuilt = build(transforms.specification(), Transforms)
    copied = pickle.loads(pickle.dumps(transforms))
    for other in (rebuilt, copied):
        assert other.specification() == transforms.specification()
        assert (other.size, other.strength) == (64, 0.5)


def test_the_deterministic_part_is_integers_of_the_asked_size() -> None:
    prepared = Radiograph(size=32).prepare(np.zeros((50, 40, 3), np.uint8))
    assert prepared.shape == (1, 32, 32)
    assert prepared.dtype == np.uint8
