"""Weights by other names: of self-supervised learning, RadImageNet, torchxrayvision, and our own runs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from rn50med import Binary, FineTuneModule, MultiClass
from rn50med.errors import RecipeError
from rn50med.model.backbone import ResNet50
from rn50med.model.names import named
from rn50med.model.stem import Normalisation
from rn50med.model.weights import LoadReport, find_weights

State = dict[str, Tensor]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads on few, busy cores mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is gone after the test: pytest would keep 100 MB of each."""
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """torchvision's ResNet-50, its statistics moved, so that no norm is an identity."""
    torch.manual_seed(3)
    made = torchvision.models.resnet50(weights=None, num_classes=18).train()
    with torch.no_grad():
        made(torch.rand(4, 3, 32, 32))
    return made.eval()


@pytest.fixture(scope="module")
def state(network: nn.Module) -> State:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def grey() -> ResNet50:
    return ResNet50(weights="none")


@pytest.fixture(scope="module")
def colour() -> ResNet50:
    return ResNet50(weights="none", in_channels=3)


def without_head(state: Mapping[str, Tensor]) -> State:
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def numbered(state: Mapping[str, Tensor]) -> State:
    """Name tensors as ``nn.Sequential(*resnet.children())`` does."""
    order = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"]
    return {
        f"{order.index(name.partition('.')[0])}.{name.partition('.')[2]}": value
        for name, value in without_head(state).items()
    }


def load(backbone: ResNet50, content: object, folder: Path) -> LoadReport:
    torch.save(content, folder / "weights.pth")
    backbone.weights = str(folder / "weights.pth")
    return backbone.load_weights()


def features(network: nn.Module, pixels: Tensor) -> Tensor:
    """Return the last feature map of torchvision's network."""
    with torch.inference_mode():
        for name, layer in network.named_children():
            if name == "avgpool":
                break
            pixels = layer(pixels)
    return pixels


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize(
    "prefix", ["module.encoder_q.", "encoder_q.", "backbone.", "model.", "encoder.", "net.", "module.online."]
)
def test_prefixes_are_taken_off_and_the_head_is_left_out(state: State, prefix: str) -> None:
    content = {**prefixed(prefix, state), "queue": torch.zeros(2)}
    found = named(content, Path("x.pth"))
    assert all(found.state[name] is value for name, value in state.items())
    assert found.notes == (f"the prefix {prefix!r} was taken off its names",)
    assert found.normalisation is None


@pytest.mark.parametrize(
    ("trained", "follower"),
    [
        ("module.encoder_q.", "module.encoder_k."),  # MoCo
        ("module.base_encoder.", "module.momentum_encoder."),  # MoCo v3
        ("online_network.", "target_network."),  # BYOL
        ("backbone.", "momentum_backbone."),  # solo-learn
        ("model.", "ema_model."),
    ],
)
def test_of_two_networks_the_trained_one_is_taken(state: State, trained: str, follower: str) -> None:
    other = {name: value + 1 for name, value in without_head(state).items()}
    found = named(prefixed(follower, other) | prefixed(trained, state), Path("x.pth"))
    assert all(found.state[name] is value for name, value in state.items())
    assert found.notes == (f"of 2 networks in it, {trained!r} was taken",)


def test_a_moco_checkpoint_is_loaded_and_its_report_says_what_was_done(
    folder: Path, state: State, network: nn.Module, colour: ResNet50
) -> None:
    content = prefixed("module.encoder_q.", without_head(state)) | {
        "module.encoder_q.fc.0.weight": torch.zeros(8, 8),
        "module.queue": torch.zeros(8, 8),
    }
    report = load(colour, {"epoch": 800, "arch": "resnet50", "state_dict": content}, folder)
    assert report.statement == (
        "Starts from the weights in 'weights.pth'; the prefix 'module.encoder_q.' was taken off its names."
    )
    assert report.unexpected == ("fc.0.weight", "module.queue")
    assert report.missing == ()
    image = torch.rand(2, 3, 64, 64)
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.inference_mode():
        close(colour.eval()(image)[-1], features(network, (image - mean) / std))


def test_radimagenets_file_sees_pixels_from_minus_1_to_1(
    folder: Path, state: State, network: nn.Module, colour: ResNet50, grey: ResNet50
) -> None:
    content = prefixed("backbone.", numbered(state))
    report = load(colour, content, folder)
    assert "taken for RadImageNet's, which see black as -1 and white as 1" in report.statement
    assert "its numbers were given the names of a ResNet" in report.statement
    image = torch.rand(2, 1, 64, 64)
    wanted = features(network, 2 * image.expand(-1, 3, -1, -1) - 1)
    with torch.inference_mode():
        close(colour.eval()(image.expand(-1, 3, -1, -1))[-1], wanted)
    assert load(grey, content, folder).adapted == (
        "conv1.weight",
    )  # all means are equal: nothing to take off
    with torch.inference_mode():
        close(grey.eval()(image)[-1], wanted)


def test_numbers_of_another_projects_file_are_not_taken_for_radimagenets(state: State) -> None:
    content = prefixed("backbone.", numbered(state)) | {"projection_head.layers.0.weight": torch.zeros(2, 2)}
    found = named(content, Path("simclr.ckpt"))
    assert found.normalisation is None
    assert all(name in found.state for name in without_head(state))
    assert not named(numbered(state), Path("x.pt")).normalisation


@pytest.mark.parametrize("prefix", ["", "model."])
def test_torchxrayvisions_file_sees_pixels_from_minus_1024_to_1024(
    folder: Path, state: State, network: nn.Module, grey: ResNet50, colour: ResNet50, prefix: str
) -> None:
    single = {**state, "conv1.weight": state["conv1.weight"].sum(dim=1, keepdim=True) / 1000}
    report = load(grey, prefixed(prefix, single), folder)
    assert "taken for torchxrayvision's, which see black as -1024 and white as 1024" in report.statement
    assert report.adapted == ()
    assert (float(grey.mean), float(grey.std)) == (0.5, 1 / 2048)
    image = torch.rand(2, 1, 64, 64)
    wanted = features(network, (2048 * image - 1024).expand(-1, 3, -1, -1) / 1000)
    with torch.inference_mode():
        close(grey.eval()(image)[-1], wanted)
    assert load(colour, prefixed(prefix, single), folder).statement.endswith("adapted to three channels.")
    with torch.inference_mode():
        close(colour.eval()(image.expand(-1, 3, -1, -1))[-1], wanted)


def test_the_range_of_a_file_can_be_given(folder: Path, state: State, network: nn.Module) -> None:
    backbone = ResNet50(weights="none", in_channels=3, input_range=(0.0, 255.0))
    load(backbone, state, folder)
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        close(backbone.eval()(image)[-1], features(network, 255 * image))
    assert backbone.specification()["init_args"]["input_range"] == [0.0, 255.0]


def test_the_range_goes_with_a_checkpoint_and_into_the_next_run(folder: Path, state: State) -> None:
    single = {**state, "conv1.weight": state["conv1.weight"].sum(dim=1, keepdim=True)}
    torch.save(single, folder / "xrv.pt")
    first = FineTuneModule(Binary(negative="no", positive="yes"), ResNet50(str(folder / "xrv.pt"))).eval()
    first.backbone.load_weights()
    place = folder / "run" / "checkpoints"
    place.mkdir(parents=True)
    torch.save({"state_dict": first.state_dict(), "rn50med": {"classes": ["no", "yes"]}}, place / "best.ckpt")
    second = FineTuneModule(MultiClass(("a", "b", "c")), ResNet50(str(folder / "run"))).eval()
    report = second.backbone.load_weights()
    assert report.requested == "best.ckpt"  # the folder's name may be a patient's
    assert "they are the backbone of a run of rn50med, its head is left out" in report.statement
    assert str(folder) not in repr((report, second.specification))
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(second.backbone(image)[-1], first.backbone(image)[-1])
    assert (float(second.backbone.mean), float(second.backbone.std)) == (0.5, 1 / 2048)
    assert second.head.num_outputs == 3


def test_a_checkpoint_of_before_the_normalisation_went_with_it_opens(grey: ResNet50) -> None:
    older = {name: value for name, value in grey.state_dict().items() if name not in {"mean", "std"}}
    fresh = ResNet50(weights="none")
    fresh.load_state_dict(older)
    assert float(fresh.mean) == pytest.approx(sum(Normalisation.published().mean) / 3)


def test_a_run_without_its_best_epoch_is_no_weights(folder: Path) -> None:
    with pytest.raises(RecipeError, match="is a folder, and no run's"):
        find_weights(str(folder))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("densenet121", ["missing: conv1.weight, bn1.weight", "of other names: classifier.bias"]),
        ("resnet18", ["of another shape: layer1.0.conv1.weight is (64, 64, 3, 3)"]),
        ("resnext50_32x4d", ["of another shape"]),
    ],
)
def test_another_architecture_is_refused_by_counts_and_first_names(
    folder: Path, grey: ResNet50, name: str, parts: list[str]
) -> None:
    with torch.device("meta"):
        shapes = torchvision.models.get_model(name, weights=None).state_dict()
    save_file({key: torch.zeros(value.shape) for key, value in shapes.items()}, folder / "other.safetensors")
    grey.weights = str(folder / "other.safetensors")
    with pytest.raises(RecipeError, match="is no ResNet-50") as caught:
        grey.load_weights()
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert " and " in str(caught.value)  # five are named, the others counted


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": "none", "input_range": (1.0, 0.0)}, "give what black and white were"),
        ({"weights": "imagenet", "input_range": (0.0, 1.0)}, "whose range is known"),
        ({"weights": "none", "drop_path": 1.0}, "from 0 to below 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        ResNet50(**options)  # type: ignore[arg-type]


def test_drop_path_skips_blocks_in_training_alone(grey: ResNet50) -> None:
    dropping = ResNet50(weights="none", drop_path=0.5)
    dropping.load_state_dict(grey.state_dict())  # not one name more
    image = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(dropping.eval()(image)[-1], grey.eval()(image)[-1])
        dropping.train()
        for norm in dropping.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.eval()
        one, other = dropping(image)[-1], dropping(image)[-1]
    assert not torch.equal(one, other)
