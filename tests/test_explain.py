"""Heat maps: high is important, at the right place of the original image."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FilmTable, Outcome
from dicoms import write_dicom
from monai.transforms import Compose, Transform
from PIL import Image
from torch import Tensor, nn

from rn50med.cli.explain import _parser
from rn50med.data.manifest import Columns
from rn50med.data.pixels import unresize
from rn50med.data.readers import full_range
from rn50med.data.transforms import CTSlice, Display, Fundus, Mammogram, MRISlice, Radiograph
from rn50med.deployment.explain import NOTICE, TABLE, Asked, explain
from rn50med.deployment.explaining import METHODS, heat_map, likeness, pointing_game, randomised
from rn50med.deployment.explaining.drawing import overlay
from rn50med.deployment.items import Tables
from rn50med.deployment.predict import predict
from rn50med.errors import RecipeError
from rn50med.model.backbone import ResNet50
from rn50med.model.heads import AttentionHead, Head
from rn50med.tasks import Binary, MultiClass, MultiLabel, Task
from rn50med.training.module import FineTuneModule
from rn50med.training.run import Run

TASK = Binary(negative="normal", positive="pneumonia")
BRIGHT, DARK = 0, 1
OF_SCORES = tuple(method for method in METHODS if method != "attention")


class Averages(nn.Module):
    """A body whose last maps are known: mean brightness and darkness of the 33 x 33 pixels round 32 i, 32 j.

    It pads evenly, as ResNet's layers do.
    """

    class Info:
        """What timm says of a body's maps."""

        @staticmethod
        def reduction() -> list[int]:
            """From one cell to the next, in pixels."""
            return [32]

    def __init__(self) -> None:
        super().__init__()
        self.feature_info = self.Info()
        self.layer4 = nn.Conv2d(1, 2, 33, stride=32, padding=16, padding_mode="reflect")
        with torch.no_grad():
            self.layer4.weight[BRIGHT], self.layer4.weight[DARK] = 1 / 33**2, -1 / 33**2
            self.layer4.bias.copy_(torch.tensor([0.0, 1.0]))

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.layer4(image)]

    def __getitem__(self, name: str) -> nn.Module:
        return getattr(self, name)


class Known(ResNet50):
    """A backbone whose maps are known."""

    def __init__(self) -> None:
        super().__init__(weights="none")
        self.body, self.channels = Averages(), (2,)
        self.mean.zero_()
        self.std.fill_(1)


class Weighted(Head):
    """The mean of the squared brightness for the first logit, of the squared darkness for the second."""

    def __init__(self, channels: Sequence[int], num_outputs: int, scale: float = 1.0) -> None:
        super().__init__(channels, num_outputs)
        self.scale = nn.Parameter(torch.tensor(scale))
        self.outputs = num_outputs

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return self.scale * features[-1].square().mean(dim=(-2, -1))[:, : self.outputs]


class Finer(Head):
    """Uses all but the coarsest maps."""

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return features[-2].mean(dim=(1, 2, 3))[:, None]


class Hasty(Weighted):
    """Changes the maps that it is given."""

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return super().forward([features[-1].relu_()])


@cache
def _known() -> Known:
    return Known()


def known(task: Task = TASK, head: Callable[..., Head] = Weighted) -> FineTuneModule:
    # A copy, since to draw the weights that `Known` throws away takes longer than a test.
    return FineTuneModule(task, backbone=deepcopy(_known()), head=head).eval()


def as_run(folder: Path, module: FineTuneModule, transforms: object = None) -> Run:
    """What `fit` would have returned, of a module that was never trained."""
    module.preprocessing = (transforms or Radiograph(size=128)).specification()
    return Run(folder, {}, module)


def spot(height: int, width: int, top: int, left: int, side: int, dtype: type = np.uint8) -> np.ndarray:
    """A dark image with a bright square."""
    pixels = np.full((height, width), np.iinfo(dtype).max // 10, dtype)
    pixels[top : top + side, left : left + side] = np.iinfo(dtype).max
    return pixels


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("method", OF_SCORES)
@pytest.mark.parametrize(("row", "column"), [(2, 1), (0, 3)])
def test_high_is_important(method: str, row: int, column: int) -> None:
    image = torch.full((1, 128, 128), 0.1)
    top, left = max(32 * row - 16, 0), max(32 * column - 16, 0)
    image[:, top : 32 * row + 16, left : 32 * column + 16] = 1
    heat = heat_map(known(), image, "pneumonia", method)
    assert heat.shape == (128, 128)
    assert heat.dtype == np.float32
    assert (heat.min() >= 0, heat.max()) == (True, 1)
    assert pointing_game(heat, (left, top, 32 * column + 16, 32 * row + 16))
    outside = np.ones_like(heat, dtype=bool)
    outside[max(top - 16, 0) : 32 * row + 32, max(left - 16, 0) : 32 * column + 32] = False
    assert heat[outside].max() < 0.2


@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_each_class_has_its_own_map(method: str) -> None:
    task = MultiClass(("bright", "dark"))
    image = torch.full((1, 128, 128), 0.5)
    image[:, :16, 16:48], image[:, 80:112, 48:80] = 1, 0
    assert pointing_game(heat_map(known(task), image, "bright", method), (16, 0, 48, 16))
    assert pointing_game(heat_map(known(task), image, "dark", method), (48, 80, 80, 112))


def test_what_speaks_against_a_class_is_not_shown_as_speaking_for_it() -> None:
    image = torch.full((1, 128, 128), 0.1)
    image[:, :32, :32] = 1
    heat = heat_map(known(), image, "normal")
    assert not heat.any()
    assert not pointing_game(heat, (0, 0, 128, 128))


def test_integrated_gradients_start_from_black_or_from_the_images_own_grey() -> None:
    level = torch.full((1, 64, 64), 0.5)
    assert heat_map(known(), level, "pneumonia", "ig", "black").any()
    assert not heat_map(known(), level, "pneumonia", "ig", "grey").any()


@pytest.mark.parametrize("method", OF_SCORES)
@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_a_map_does_not_depend_on_how_large_scores_are(method: str, scale: float) -> None:
    image = torch.full((1, 64, 64), 0.1)
    image[:, 32:, :32] = 1
    heat = heat_map(known(head=partial(Weighted, scale=scale)), image, "pneumonia", method)
    assert np.isfinite(heat).all()
    assert pointing_game(heat, (0, 32, 32, 64))


@pytest.mark.parametrize("method", OF_SCORES)
def test_a_network_is_as_it_was(method: str) -> None:
    module = known()
    next(module.head.parameters()).requires_grad_(False)
    before = [parameter.requires_grad for parameter in module.parameters()]
    heat_map(module, torch.rand(1, 64, 64), "pneumonia", method)
    assert [parameter.requires_grad for parameter in module.parameters()] == before
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not any(part._forward_hooks or part._backward_hooks for part in module.modules())


def test_attention_is_shown_where_the_head_has_it_whatever_the_class() -> None:
    torch.manual_seed(0)
    module = FineTuneModule(TASK, backbone=ResNet50(weights="none"), head=AttentionHead).eval()
    image = torch.rand(1, 64, 64)
    heat = heat_map(module, image, "pneumonia", "attention")
    assert heat.shape == (64, 64)
    assert heat.max() == 1
    with torch.no_grad():
        cells = module.head.attention(module.backbone(image[None]))[0].numpy()
    assert heat[::32, ::32] == pytest.approx(cells / cells.max(), abs=1e-6)
    assert np.array_equal(heat, heat_map(module, image, "normal", "attention"))
    with pytest.raises(RecipeError, match="has no attention; give another --method"):
        heat_map(known(), image, "pneumonia", "attention")


def test_the_real_network_is_explained_at_every_size_and_by_its_own_last_stage() -> None:
    torch.manual_seed(0)
    module = FineTuneModule(TASK, backbone=ResNet50(weights="none")).eval()
    image = torch.rand(1, 72, 72)
    with torch.no_grad():
        maps = module.backbone(image[None])[-1][0]
    weights = module.head.linear.weight[0]  # of a mean: the gradient of each cell, up to a factor
    cells = torch.einsum("c,chw->hw", weights, maps).relu().detach().numpy()
    heat = heat_map(module, image, "pneumonia")
    assert cells.shape == (3, 3)
    assert np.allclose(heat[::32, ::32], cells / cells.max(), atol=1e-4)


def test_a_head_that_ignores_the_last_maps_is_told_what_to_do() -> None:
    module = FineTuneModule(TASK, backbone=ResNet50(weights="none"), head=Finer).eval()
    image = torch.rand(1, 32, 32)
    with pytest.raises(RecipeError, match=r"does not use the last feature maps.*give --method ig"):
        heat_map(module, image, "pneumonia")
    assert heat_map(module, image, "pneumonia", "ig").max() == 1


def test_it_is_told_before_anything_is_written(tmp_path: Path) -> None:
    module = FineTuneModule(TASK, backbone=ResNet50(weights="none"), head=Finer)
    path = save(tmp_path / "film.png", spot(64, 64, 0, 0, 30))
    with pytest.raises(RecipeError, match="does not use the last feature maps"):
        explain(as_run(tmp_path, module, Radiograph(size=32)), path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(RecipeError, match="no method named 'grad-cam'; did you mean 'gradcam'"):
        Asked("grad-cam")


def test_a_table_is_read_as_for_predictions(tmp_path: Path) -> None:
    """The folder and the columns that `predict` took were none that `explain` could be told."""
    (tmp_path / "films").mkdir()
    save(tmp_path / "films" / "film.png", spot(64, 64, 0, 0, 30))
    table = tmp_path / "list.csv"
    table.write_text("film_file,who\nfilm.png,7\n", encoding="utf-8")
    tables = Tables(tmp_path / "films", Columns(image="film_file", patient="who"))
    frame = explain(as_run(tmp_path, known()), table, tmp_path / "out", tables=tables)
    assert frame[["image", "patient", "status"]].to_numpy().tolist() == [["film.png", "7", "ok"]]
    options = ["--run", "r", "--images", "t.csv", "--output", "o", "--data.root", "films"]
    assert _parser().parse_args([*options, "--data.columns.image", "film_file"]).image_column == "film_file"


def test_a_head_may_change_its_maps_in_place() -> None:
    image = torch.full((1, 64, 64), 0.1)
    image[:, :32, 32:] = 1
    assert pointing_game(heat_map(known(head=Hasty), image, "pneumonia"), (32, 0, 64, 32))


@pytest.mark.parametrize(("height", "width"), [(256, 128), (120, 360), (96, 64), (128, 128), (1000, 900)])
def test_a_map_lies_on_the_original_image(tmp_path: Path, height: int, width: int) -> None:
    side = min(max(height, width) * 3 // 8, min(height, width) * 3 // 4)  # of a cell or more
    top, left = (height - side) * 3 // 4, (width - side) // 3
    path = save(tmp_path / "film.png", spot(height, width, top, left, side))
    frame = explain(as_run(tmp_path, known()), path, tmp_path / "out")
    heat = np.load(tmp_path / "out" / frame["map"][0])
    assert frame["shown_on"].tolist() == ["image"]
    assert heat.shape == (height, width)
    assert heat.dtype == np.float32
    assert Image.open(tmp_path / "out" / frame["overlay"][0]).size == (width, height)
    assert pointing_game(heat, (left, top, left + side, top + side))
    inside = np.zeros_like(heat, dtype=bool)
    inside[top : top + side, left : left + side] = True
    assert heat[inside].mean() > 1.5 * heat[~inside].mean()


@pytest.mark.parametrize(
    "transforms", [Mammogram(size=128), Fundus(size=128), CTSlice(size=128), MRISlice(size=128)]
)
def test_what_was_cut_off_or_shown_otherwise_is_undone(transforms: object) -> None:
    pixels = np.zeros((300, 420), np.uint16)
    pixels[60:260, 40:240] = 30000
    pixels[200:250, 50:100] = 65535
    view = transforms.view(full_range(pixels))
    assert np.array_equal(view.pixels, pixels)
    rows, columns = view.region
    cropped = isinstance(transforms, Mammogram | Fundus)
    assert (rows.start > 50, columns.stop < 250) == (cropped, cropped)
    square = transforms.prepare(full_range(pixels))[0].astype(np.float32)
    back = unresize(square, view.region, pixels.shape)
    assert np.abs(back - pixels)[64:190, 44:236].max() < 700
    assert not back[:, 250:].any()
    assert back[210:240, 60:90].min() > 60000


class Turned(Radiograph):
    """Transforms of a user's own, upside down."""

    def shown(self) -> Sequence[Transform]:
        return [Display(), Upside()]


class Upside(Transform):
    """Turn a film upside down."""

    def __call__(self, data: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(data[::-1])


class Prepared(Radiograph):
    """Transforms that prepare in a way of their own."""

    @property
    def prepare(self) -> Compose:
        return Compose([*super().prepare.transforms, lambda square: square[:, ::-1]])


@pytest.mark.parametrize("transforms", [Turned(size=64), Prepared(size=64)])
def test_where_the_way_back_is_not_known_the_map_is_of_the_square_and_says_so(
    tmp_path: Path, transforms: object
) -> None:
    path = save(tmp_path / "film.png", spot(120, 120, 0, 0, 60))
    frame = explain(as_run(tmp_path, known(), transforms), path, tmp_path / "out")
    assert frame["shown_on"].tolist() == ["square"]
    heat = np.load(tmp_path / "out" / frame["map"][0])
    assert heat.shape == (64, 64)
    assert pointing_game(heat, (0, 32, 32, 64))


def test_sixteen_bits_and_dicom_keep_their_meaning(tmp_path: Path) -> None:
    pixels = spot(120, 80, 75, 10, 40, np.uint16)
    deep = save(tmp_path / "deep.png", pixels)
    inverted = write_dicom(
        tmp_path / "film.dcm", Rows=120, Columns=80, PhotometricInterpretation="MONOCHROME1",
        PixelData=(4095 - pixels // 16).astype(np.uint16).tobytes(),
    )  # fmt: skip
    frame = explain(as_run(tmp_path, known()), [deep, inverted], tmp_path / "out")
    assert frame["status"].tolist() == ["ok", "ok"]
    first, second = (np.load(tmp_path / "out" / name) for name in frame["map"])
    assert first.shape == second.shape == (120, 80)
    assert pointing_game(first, (10, 75, 50, 115))
    assert np.abs(first - second).max() < 0.01
    drawn = [np.asarray(Image.open(tmp_path / "out" / name)).astype(int) for name in frame["overlay"]]
    assert np.abs(drawn[0] - drawn[1]).mean() < 2


def test_the_called_class_is_explained_unless_another_is_named(tmp_path: Path) -> None:
    bright = save(tmp_path / "bright.png", spot(64, 64, 0, 0, 60))
    dim = save(tmp_path / "dim.png", spot(64, 64, 0, 0, 20))
    run = as_run(tmp_path, known(MultiClass(("bright", "dark"))))
    frame = explain(run, [bright, dim], tmp_path / "called")
    assert frame["class"].tolist() == frame["call"].tolist() == ["bright", "dark"]
    named = explain(run, [bright, dim], tmp_path / "named", Asked(target="dark"))
    assert named["class"].tolist() == ["dark", "dark"]
    assert named["call"].tolist() == ["bright", "dark"]
    assert np.allclose(frame["probability"][0] + named["probability"][0], 1)
    with pytest.raises(RecipeError, match="no class named 'drak'; did you mean 'dark'"):
        explain(run, bright, tmp_path / "misspelt", Asked(target="drak"))
    assert not (tmp_path / "misspelt").exists()


def test_every_called_label_is_explained_or_else_the_most_probable_one(tmp_path: Path) -> None:
    path = save(tmp_path / "film.png", spot(64, 64, 0, 0, 20))
    task = MultiLabel(("bright", "dark"))
    both = explain(as_run(tmp_path, known(task)), path, tmp_path / "both")
    assert both[["class", "call"]].to_numpy().tolist() == [["bright", "1"], ["dark", "1"]]
    assert both["map"].tolist() == ["00001-film.npy", "00002-film.npy"]
    reluctant = known(task, partial(Weighted, scale=-1.0))
    none = explain(as_run(tmp_path, reluctant), path, tmp_path / "none")
    assert none[["class", "call"]].to_numpy().tolist() == [["bright", "0"]]


def test_probabilities_are_those_of_predict(checkpoint: Path, film_table: FilmTable, tmp_path: Path) -> None:
    film_table.cells = film_table.cells.iloc[:3]
    film_table.write()
    said = predict(checkpoint, film_table.path)
    frame = explain(checkpoint, film_table.path, tmp_path / "out", Asked(sanity=True))
    assert np.allclose(frame["probability"], said["prob_pneumonia"], atol=1e-6)
    for column in ("image", "patient", "call"):
        assert frame[column].tolist() == said[column].tolist()
    negative = explain(checkpoint, film_table.path, tmp_path / "negative", Asked(target="normal"))
    assert np.allclose(frame["probability"] + negative["probability"], 1, atol=1e-6)
    assert frame[["ssim", "ssim_whole"]].abs().le(1).to_numpy().all()
    kept = pd.read_csv(tmp_path / "out" / TABLE, dtype={"patient": str}, keep_default_na=False)
    assert kept.columns.tolist() == frame.columns.tolist()
    assert kept["patient"].tolist() == frame["patient"].tolist()


def test_files_of_one_name_do_not_collide_and_are_private(tmp_path: Path) -> None:
    paths = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        paths.append(save(tmp_path / place / "film 1.png", spot(64, 64, 0, 0, 30)))
    frame = explain(as_run(tmp_path, known()), paths, tmp_path / "new" / "out")
    written = sorted(path.name for path in (tmp_path / "new" / "out").iterdir())
    stems = ["00001-film_1", "00002-film_1"]
    maps = [f"{stem}.{suffix}" for stem in stems for suffix in ("npy", "png")]
    assert written == sorted([*maps, "README.txt", TABLE])
    assert frame["image"].tolist() == [path.as_posix() for path in paths]
    if sys.platform != "win32":
        for path in (tmp_path / "new" / "out").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(tmp_path) not in (tmp_path / "new" / "out" / "README.txt").read_text()


def test_every_file_says_that_a_map_is_not_evidence_of_location(tmp_path: Path) -> None:
    path = save(tmp_path / "film.png", spot(64, 64, 0, 0, 30))
    frame = explain(as_run(tmp_path, known()), path, tmp_path / "out", Asked("ig", baseline="grey"))
    text = " ".join((tmp_path / "out" / "README.txt").read_text().split())
    assert NOTICE in text
    assert "uniformly grey image" in text
    assert Image.open(tmp_path / "out" / frame["overlay"][0]).info["Comment"] == NOTICE


def test_an_overlay_is_grey_where_nothing_is_and_outlines_the_most_important_tenth() -> None:
    heat = np.zeros((100, 200), np.float32)
    heat[20:60, 50:100] = 1
    drawn = overlay(np.full((100, 200, 3), 100, np.uint8), heat)
    assert (drawn[80:] == 100).all()
    assert np.ptp(drawn[40, 75].astype(int)) > 10
    outlined = (drawn == (0, 255, 255)).all(axis=2)
    assert outlined[20, 50:100].all()
    assert outlined[20:60, 99].all()
    assert not outlined[22:58, 52:98].any()
    assert outlined.sum() == 2 * 40 + 2 * 50 - 4


def test_random_weights_are_of_the_seed_and_of_the_last_layers_alone() -> None:
    module = FineTuneModule(TASK, backbone=ResNet50(weights="none"))
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one, same, other = randomised(module, 0), randomised(module, 0), randomised(module, 1)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, kept[name]) for name, value in module.state_dict().items())
    weight = "backbone.body.layer4.0.conv1.weight"
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
        forgotten = name.startswith(("backbone.body.layer4", "head")) and name.endswith("conv1.weight")
        assert torch.equal(value, kept[name]) != forgotten or not name.endswith("conv1.weight")
    assert not torch.equal(one.state_dict()[weight], other.state_dict()[weight])
    assert not torch.equal(one.head.linear.weight, module.head.linear.weight)


def test_a_head_without_layers_is_made_random_too() -> None:
    head = Weighted([2], 1)
    head.scale = nn.Parameter(torch.arange(64.0))
    module = known()
    module.head = head
    values = randomised(module).head.scale
    assert not torch.equal(values, head.scale)
    assert torch.equal(values.sort().values, head.scale)


def test_maps_are_alike_with_themselves_and_not_with_noise() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.random((64, 64), dtype=np.float32) for _ in range(2))
    assert likeness(one, one) == pytest.approx((1, 1))
    assert max(map(abs, likeness(one, other))) < 0.1
    assert np.isnan(likeness(one, np.zeros_like(one))[0])


def test_a_broken_image_is_a_row_and_the_others_are_explained(
    command_line: Callable[..., Outcome], checkpoint: Path, film_table: FilmTable
) -> None:
    films = [film_table.image(line) for line in (2, 3, 4)]
    films[1].write_bytes(b"")
    outcome = command_line(
        "explain",
        "--run",
        checkpoint,
        "--images",
        *films,
        "--output",
        "maps",
        "--sanity",
        "--method",
        "gradcam++",
    )
    assert outcome.code == 3
    assert "Traceback" not in outcome.err
    assert (
        f"1 of 3 rows are in error, the first being of {films[1]} (is empty (0 bytes)" in outcome.messages[0]
    )
    assert NOTICE in outcome.err
    assert outcome.out.startswith(
        "sanity: 2 maps compared with those of random weights\n  last stage and head random: rank"
    )
    assert outcome.out.splitlines()[-1] == "maps"
    frame = pd.read_csv(Path("maps", TABLE), keep_default_na=False)
    assert frame["status"].tolist() == ["ok", "error", "ok"]
    assert frame["map"].tolist() == ["00001-000-0.npy", "", "00002-001-0.npy"]
    assert frame["class"].tolist() == ["pneumonia", "", "pneumonia"]
    assert np.load(Path("maps", frame["map"][2])).shape == (64, 64)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--output", "full"], 5, "full: is not empty; give --output a new folder"),
        (["--output", "full/note.txt/maps"], 5, "cannot be written"),
        (["--output", "maps", "--target", "pneumonai"], 2, "did you mean 'pneumonia'"),
        (["--output", "maps", "--method", "cam"], 2, "invalid choice: 'cam'"),
        (["--output", "maps", "--images", "nowhere"], 3, "nowhere: there is no such file"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    command_line: Callable[..., Outcome], checkpoint: Path, film_table: FilmTable,
    words: list[str], code: int, said: str,
) -> None:  # fmt: skip
    Path("full").mkdir()
    Path("full", "note.txt").write_text("precious")
    outcome = command_line("explain", "--run", checkpoint, "--images", film_table.image(2), *words)
    assert outcome.code == code
    assert said in outcome.messages[0]
    assert not Path("maps").exists()
    assert Path("full", "note.txt").read_text() == "precious"
