"""Transforms: MONAI's, seeded by image and epoch, plain tensors in [0, 1], for every domain."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import ClassVar

import monai.transforms as mt
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.data.meta_obj import get_track_meta, set_track_meta
from PIL import Image as PillowImage
from torch.utils.data import DataLoader, Dataset

from rn50med.data.readers.image import full_range
from rn50med.data.transforms import (
    Clip,
    CTSlice,
    Dermoscopy,
    Display,
    DomainTransforms,
    Fundus,
    Histology,
    Mammogram,
    MRISlice,
    Radiograph,
    ReadImage,
    Square,
    Transforms,
    Ultrasound,
    Unit,
    light,
    seeded,
)
from rn50med.errors import DataError, RecipeError
from rn50med.parts import build

DOMAINS = (Radiograph, Mammogram, Ultrasound, MRISlice, CTSlice, Fundus, Dermoscopy, Histology)
every_domain = pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.__name__)
FILM = np.round(255 * np.random.default_rng(0).random((1, 48, 48))).astype(np.uint8)


def film(domain: type[DomainTransforms]) -> np.ndarray:
    return np.repeat(FILM, domain.channels, axis=0)


def drawn(
    seed: tuple[int, ...], domain: type[DomainTransforms] = Radiograph, strength: float = 1.0
) -> torch.Tensor:
    with light():
        return seeded(domain(size=48, strength=strength).train, film(domain), seed)


@every_domain
@pytest.mark.parametrize("pipeline", ["prepare", "train", "eval"])
def test_every_step_is_a_transform_of_monai(domain: type[DomainTransforms], pipeline: str) -> None:
    composed = getattr(domain(size=48), pipeline)
    assert isinstance(composed, mt.Compose)
    assert all(isinstance(step, mt.Transform) for step in composed.transforms)


def test_the_steps_work_in_a_compose_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    PillowImage.fromarray(np.full((40, 20), 51, np.uint8)).save(path)
    image = mt.Compose([ReadImage(), Square(32, channels=3), Unit(), mt.Flip(spatial_axis=0), Clip()])(path)
    assert image.shape == (3, 32, 32)
    assert image.max() == pytest.approx(0.2)


@every_domain
def test_the_random_steps_work_in_a_compose_of_ones_own(domain: type[DomainTransforms]) -> None:
    """Between MONAI's own transforms, with tracked metadata, and seeded by MONAI's Compose."""
    steps = [
        mt.ScaleIntensity(),
        mt.RandFlip(prob=0.5),
        *domain(size=48).changes(),
        mt.RandRotate90(prob=0.5),
    ]
    composed = mt.Compose(steps)

    def epoch() -> list[torch.Tensor]:
        composed.set_random_state(seed=7)
        return [composed(MetaTensor(torch.from_numpy(film(domain)).float())) for _ in range(4)]

    first, again = epoch(), epoch()
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert first[0].shape == (domain.channels, 48, 48)


@every_domain
def test_draws_depend_on_seed_epoch_and_image_alone(domain: type[DomainTransforms]) -> None:
    first = drawn((0, 1, 2), domain)
    drawn((9, 9, 9), domain)
    torch.manual_seed(5)
    np.random.seed(5)
    assert torch.equal(drawn((0, 1, 2), domain), first)
    others = [drawn(seed, domain) for seed in ((1, 1, 2), (0, 2, 2), (0, 1, 3))]
    assert not any(torch.equal(other, first) for other in others)


def test_one_pipeline_for_many_images_draws_as_one_for_each() -> None:
    pipeline = Radiograph(size=48).train
    with light():
        together = [seeded(pipeline, FILM, (0, 0, image)) for image in (3, 1, 2)]
    assert all(torch.equal(one, drawn((0, 0, image))) for one, image in zip(together, (3, 1, 2), strict=True))


class SameFilm(Dataset[torch.Tensor]):
    """The same film under eight numbers, so that only the draws can differ."""

    def __init__(self, epoch: int) -> None:
        self.pipeline, self.epoch = Radiograph(size=48).train, epoch

    def __len__(self) -> int:
        return 8

    def __getitem__(self, image: int) -> torch.Tensor:
        with light():
            return seeded(self.pipeline, FILM, (0, self.epoch, image))


def test_workers_draw_apart_from_each_other_and_as_one_process_would() -> None:
    """numpy's global state, which forked workers share, gave every worker the same augmentations."""
    alone = torch.cat(list(DataLoader(SameFilm(0), batch_size=3)))
    shared = torch.cat(list(DataLoader(SameFilm(0), batch_size=2, num_workers=2)))
    next_epoch = torch.cat(list(DataLoader(SameFilm(1), batch_size=8)))
    assert torch.equal(alone, shared)
    images = [*alone, *next_epoch]
    assert len({image.numpy().tobytes() for image in images}) == len(images)


def test_global_random_states_are_left_alone() -> None:
    torch.manual_seed(0)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    for domain in DOMAINS:
        drawn((0, 0, 0), domain)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


@every_domain
def test_no_strength_is_eval(domain: type[DomainTransforms]) -> None:
    transforms = domain(size=48, strength=0)
    assert torch.equal(drawn((0, 0, 0), domain, strength=0), transforms.eval(film(domain)))
    assert torch.equal(transforms.eval(film(domain)), torch.from_numpy(film(domain).astype(np.float32) / 255))


@every_domain
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_values_stay_between_0_and_1(domain: type[DomainTransforms], dtype: type[np.unsignedinteger]) -> None:
    image = film(domain) if dtype == np.uint8 else film(domain).astype(np.uint16) * 257
    pipeline = domain(size=48, strength=5.0).train
    for draw in range(20):
        with light():
            changed = seeded(pipeline, image, (0, 0, draw))
        assert changed.dtype == torch.float32
        assert changed.shape == image.shape
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1  # and not NaN


@every_domain
def test_the_random_part_leaves_the_prepared_pixels_alone(domain: type[DomainTransforms]) -> None:
    """They are a cache that other epochs read."""
    cached = film(domain)
    cached.setflags(write=False)
    kept = cached.copy()
    pipeline = domain(size=48).train
    for draw in range(4):
        seeded(pipeline, cached, (0, 0, draw))
    assert np.array_equal(cached, kept)


def test_the_random_part_of_an_8_bit_film_equals_that_of_its_16_bit_twin() -> None:
    with light():
        wide = seeded(Radiograph(size=48).train, FILM.astype(np.uint16) * 257, (0, 0, 0))
    assert torch.allclose(drawn((0, 0, 0)), wide, atol=1e-6)


@pytest.mark.parametrize("track", [True, False])
def test_a_plain_tensor_comes_out_even_where_monai_tracks(track: bool) -> None:
    before = get_track_meta()
    set_track_meta(track)
    try:
        for image in (seeded(Radiograph(size=48).train, FILM, (0, 0, 0)), drawn((0, 0, 0))):
            assert type(image) is torch.Tensor
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


@every_domain
@pytest.mark.parametrize(
    "options", [{"size": 31}, {"strength": -0.1}, {"strength": 6}, {"strength": float("nan")}]
)
def test_options_out_of_range_are_refused(domain: type[DomainTransforms], options: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=r"give a size of at least 32 .* and a strength from 0 to 5"):
        domain(**options)


@every_domain
def test_a_checkpoint_and_a_worker_build_the_same_transforms(domain: type[DomainTransforms]) -> None:
    transforms = domain(size=64, strength=0.5)
    specification = transforms.specification()
    assert specification["class_path"] == f"rn50med.data.transforms.{domain.__name__}"
    rebuilt = build(json.loads(json.dumps(specification)), Transforms)
    copied = pickle.loads(pickle.dumps(transforms))
    for other in (rebuilt, copied):
        assert type(other) is domain
        assert other.specification() == specification
        assert other.preparation == transforms.preparation
        assert (other.size, other.strength) == (64, 0.5)


def test_a_checkpoint_of_the_first_version_opens() -> None:
    old = {"class_path": "rn50med.data.transforms.Radiograph", "init_args": {"size": 64, "strength": 0.5}}
    assert build(old, Transforms).specification() == old


# The deterministic part


def head_formula(pixels: np.ndarray, size: int) -> np.ndarray:
    """What version 0.1 made of a radiograph; trained networks depend on its every bit."""
    if pixels.ndim == 3:
        luma = np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(pixels.dtype)
        grey = pixels[..., 0] if (pixels == pixels[..., :1]).all() else luma
    else:
        grey = pixels
    height, width = grey.shape
    scale = size / max(height, width)
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    if shape != (height, width):
        wide = PillowImage.fromarray(grey if grey.dtype == np.uint8 else grey.astype(np.float32))
        resized = np.array(wide.resize(shape[::-1], PillowImage.Resampling.BILINEAR))
        grey = np.rint(resized).astype(grey.dtype)
    top, left = (size - shape[0]) // 2, (size - shape[1]) // 2
    margins = ((top, size - shape[0] - top), (left, size - shape[1] - left))
    return np.pad(grey, margins)[None]


@pytest.mark.parametrize("shape", [(60, 90), (301, 200), (64, 64), (50, 70, 3), (6, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_radiograph_is_prepared_bit_for_bit_as_it_always_was(
    shape: tuple[int, ...], dtype: type[np.unsignedinteger]
) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    prepare = Radiograph(size=64).prepare
    for given in (pixels, full_range(pixels)):
        prepared = prepare(given)
        assert prepared.dtype == dtype
        assert np.array_equal(prepared, head_formula(pixels, 64))


@every_domain
@pytest.mark.parametrize("shape", [(50, 40), (50, 40, 3)])
def test_the_deterministic_part_is_integers_of_the_asked_size(
    domain: type[DomainTransforms], shape: tuple[int, ...]
) -> None:
    for dtype in (np.uint8, np.uint16):
        prepared = domain(size=32).prepare(np.zeros(shape, dtype))
        assert prepared.shape == (domain.channels, 32, 32)
        assert prepared.dtype in (np.uint8, np.uint16)


@every_domain
def test_height_and_width_are_never_exchanged(domain: type[DomainTransforms]) -> None:
    """Six rows, four columns, a mark in the second row of the first column: swapped, it moves."""
    pixels = np.full((6, 4), 60, np.uint8)
    pixels[1, 0] = 255
    transforms = domain(size=96)
    for given in (pixels, full_range(pixels)):
        image = transforms.eval(transforms.prepare(given))[0]
        row, column = divmod(int(image.argmax()), 96)
        assert 16 <= row < 32
        assert 16 <= column < 32  # the picture is 64 wide, in the middle of 96
        edge = image[:, 8] < image[:, 48]
        assert bool(edge.all()) or domain is MRISlice  # whose own darkest value is black too


def test_an_array_whose_black_and_white_nobody_said_is_refused() -> None:
    for values in (np.zeros((4, 4)), np.zeros((4, 4), np.int16)):
        with pytest.raises(DataError, match=r"give uint8 or uint16, or an Image"):
            Display()(values)


# What a cache is keyed by


@every_domain
def test_the_cache_does_not_depend_on_the_random_part(domain: type[DomainTransforms]) -> None:
    one = domain(size=64).preparation
    assert one == domain(size=64, strength=3).preparation
    assert one != domain(size=65).preparation
    assert "strength" not in one
    assert json.loads(json.dumps(one)) == one
    assert one["transforms"] == f"rn50med.data.transforms.{domain.__name__}"


def test_the_cache_depends_on_every_other_option() -> None:
    assert Fundus(crop=False).preparation != Fundus().preparation
    assert Fundus(mirror=False).preparation == Fundus().preparation
    assert CTSlice(window=(-600, 1500)).preparation != CTSlice().preparation


class Doubled(Radiograph):
    """A plug-in's, which knows nothing of caches."""

    version: ClassVar[int] = 2

    def __init__(self, size: int = 64, zoom: float = 2.0) -> None:
        super().__init__(size)
        self.zoom = zoom


def test_an_option_that_nobody_declared_random_is_in_the_key() -> None:
    assert Doubled(zoom=3.0).preparation != Doubled().preparation
    assert Doubled().preparation["version"] == 2


def test_a_pipeline_goes_to_a_spawned_worker_with_its_state() -> None:
    pipeline = Radiograph(size=48).train
    pipeline.set_random_state(seed=3)
    copied = pickle.loads(pickle.dumps(pipeline))
    assert torch.equal(pipeline(FILM), copied(FILM))
