"""Files of pretrained parameters: how they are read, what is refused."""

import os
import pickle
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from rn50med.errors import RecipeError
from rn50med.model.backbone import ResNet50
from rn50med.model.weights import LoadReport

Load = Callable[[Path | str], LoadReport]
Refusal = Callable[[Path | str], str]
State = dict[str, Tensor]
MARKER = "hostile_code_ran"


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (MARKER,)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads on few, busy cores mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No weights of this machine, and no network."""
    monkeypatch.delenv("RN50MED_WEIGHTS", raising=False)
    monkeypatch.setenv("RN50MED_OFFLINE", "1")
    monkeypatch.chdir(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is gone after the test: pytest would keep 50 MB of each."""
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def state() -> State:
    """Weights as timm publishes them, at half the size."""
    torch.manual_seed(1)
    return {name: value.half() if value.is_floating_point() else value for name, value in
            timm.create_model("resnet50").state_dict().items()}  # fmt: skip


@pytest.fixture(scope="module")
def published(state: State) -> Iterator[Path]:
    with TemporaryDirectory() as name:
        path = Path(name) / "model.safetensors"
        save_file(state, path)
        yield path


@pytest.fixture(scope="module")
def backbone() -> ResNet50:
    return ResNet50(weights="none", in_channels=3)


@pytest.fixture
def load(backbone: ResNet50) -> Load:
    """Load a file into the one backbone of this module, emptied: building one takes half a second."""

    def loaded(weights: Path | str) -> LoadReport:
        for value in backbone.state_dict().values():
            value.zero_()
        backbone.weights = str(weights)
        return backbone.load_weights()

    return loaded


@pytest.fixture
def refusal(backbone: ResNet50) -> Refusal:
    """Return what is said to a file or a wish, and check that nothing was changed."""

    def refused(weights: Path | str) -> str:
        backbone.weights = str(weights)
        before = [value._version for value in backbone.state_dict().values()]
        with pytest.raises(RecipeError) as caught:
            backbone.load_weights()
        assert caught.value.exit_code == 2
        assert before == [value._version for value in backbone.state_dict().values()]
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refused


def assert_loaded(backbone: ResNet50, state: State) -> None:
    for name, value in backbone.body.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, state[name].float()), name


def test_a_safetensors_file_is_loaded_and_reported(
    published: Path, state: State, backbone: ResNet50, load: Load
) -> None:
    report = load(published)
    assert_loaded(backbone, state)
    assert report.requested == "model.safetensors"
    assert report.used == "file"
    assert report.statement == "Starts from the weights in 'model.safetensors'."
    assert report.sha256 == sha256(published.read_bytes()).hexdigest()
    assert report.matched == len(backbone.body.state_dict())
    assert (report.missing, report.unexpected, report.adapted) == ((), ("fc.bias", "fc.weight"), ())


def test_one_channel_takes_an_adapted_stem(published: Path, backbone: ResNet50, load: Load) -> None:
    grey = ResNet50(weights=str(published))
    report = grey.load_weights()
    assert report.adapted == ("conv1.weight", "bn1.running_mean")
    assert (
        report.statement
        == "Starts from the weights in 'model.safetensors'; its stem was adapted to one channel."
    )
    load(published)
    image = torch.rand(1, 1, 96, 96)
    with torch.inference_mode():
        found, wanted = grey.eval()(image)[0], backbone.eval()(image.expand(-1, 3, -1, -1))[0]
    torch.testing.assert_close(found[..., 6:-6, 6:-6], wanted[..., 6:-6, 6:-6], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "form", ["plain", "module.", "state_dict", "model", "legacy", "our checkpoint", "torch.compile"]
)
def test_pickled_files_are_loaded_however_they_are_wrapped(
    folder: Path, state: State, backbone: ResNet50, load: Load, form: str
) -> None:
    path = folder / "weights.pth"
    prefixed = {f"module.{name}": value for name, value in state.items()}
    contents: dict[str, object] = {
        "module.": prefixed,
        "state_dict": {"state_dict": prefixed, "epoch": 3},
        "model": {"model": {"state_dict": state}, "optimizer": {"lr": 0.1}},
        "our checkpoint": {
            "state_dict": {
                f"backbone.body.{name}": value for name, value in state.items() if "fc" not in name
            }
            | {"head.linear.weight": torch.zeros(2, 2048)}
        },
        "torch.compile": {f"_orig_mod.{name}": value for name, value in state.items()},
    }
    torch.save(contents.get(form, state), path, _use_new_zipfile_serialization=form != "legacy")
    report = load(path)
    assert_loaded(backbone, state)
    unexpected = ("head.linear.weight",) if form == "our checkpoint" else ("fc.bias", "fc.weight")
    assert (report.used, report.missing, report.unexpected) == ("file", (), unexpected)


def test_torchvisions_names_are_loaded(folder: Path, backbone: ResNet50, load: Load) -> None:
    other = torchvision.models.resnet50(weights=None).state_dict()
    older = {name: value for name, value in other.items() if "num_batches" not in name}  # as in older files
    torch.save(older, folder / "resnet50-19c8e357.pth")
    report = load("resnet50-19c8e357.pth")
    assert_loaded(backbone, other)
    assert report.missing == ()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("nested", [True, False])
def test_a_hostile_file_is_refused_and_never_run(folder: Path, nested: bool, refusal: Refusal) -> None:
    path = folder / "hostile.pth"
    if nested:
        torch.save({"state_dict": {"conv1.weight": torch.zeros(2)}, "more": Hostile()}, path)
    else:
        path.write_bytes(pickle.dumps(Hostile()))
    assert "could run code when opened, and was refused" in refusal(path)
    assert not (folder / MARKER).exists()
    os.rename(path, folder / "hostile.safetensors")  # what it is called makes no difference
    assert "could run code" in refusal(folder / "hostile.safetensors")
    assert not (folder / MARKER).exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\n <!DOCTYPE html><html>Sign in</html>", "is a web page instead of weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer"),
        (b"\x00\x01\x02", "is no file of weights"),
        (b"PK\x03\x04 and then nothing", "is cut off or damaged"),
        (b"\x80\x02}", "is cut off or damaged"),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00{not JSON", "is cut off or damaged"),
    ],
)
def test_what_is_no_weights_is_said_in_one_sentence(
    folder: Path, suffix: str, content: bytes, sentence: str, refusal: Refusal
) -> None:
    path = folder / f"weights{suffix}"
    path.write_bytes(content)
    assert sentence in refusal(path)


@pytest.mark.parametrize("form", [".safetensors", ".pth", "legacy.pth"])
@pytest.mark.parametrize("share", [0.999, 0.5, 0.00001])
def test_a_file_that_was_cut_off_is_refused(folder: Path, form: str, share: float, refusal: Refusal) -> None:
    path = folder / f"weights{form}"
    small = {f"layer{index}": torch.zeros(300, 300) for index in range(4)}
    if form == ".safetensors":
        save_file(small, path)
    else:
        torch.save(small, path, _use_new_zipfile_serialization=form == ".pth")
    content = path.read_bytes()
    path.write_bytes(content[: max(int(share * len(content)), 12)])
    assert "is cut off or damaged" in refusal(path)


def test_a_flipped_bit_in_a_pickled_file_is_found(folder: Path, refusal: Refusal) -> None:
    path = folder / "weights.pth"
    torch.save({"layer": torch.zeros(300, 300)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "is damaged (checksum of" in refusal(path)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "resnet18",
            [
                "missing",
                "of another shape",
                "layer1.0.conv1.weight is (64, 64, 3, 3) and should be (64, 64, 1, 1)",
            ],
        ),
        ("resnet101", ["of no ResNet-50", "layer3.10.bn1.weight"]),
        ("vit_tiny_patch16_224", ["missing", "conv1.weight"]),
    ],
)
def test_another_architecture_is_refused_with_what_does_not_fit(
    folder: Path, name: str, parts: list[str], refusal: Refusal
) -> None:
    save_file(timm.create_model(name).state_dict(), folder / "other.safetensors")
    said = refusal(folder / "other.safetensors")
    assert "is no ResNet-50" in said
    assert all(part in said for part in parts), said


def test_a_few_missing_tensors_are_reported(folder: Path, state: State, load: Load) -> None:
    lacking = {name: value for name, value in state.items() if not name.startswith("layer4.2.bn3.running")}
    save_file(lacking, folder / "some.safetensors")
    report = load("some.safetensors")
    assert report.missing == ("layer4.2.bn3.running_mean", "layer4.2.bn3.running_var")
    assert report.statement.endswith("; 2 tensors are not in it and stay random.")


def test_numbers_that_are_not_finite_are_refused(folder: Path, state: State, refusal: Refusal) -> None:
    broken = state["layer2.0.conv1.weight"].clone()
    broken[0, 0] = torch.nan
    save_file({**state, "layer2.0.conv1.weight": broken}, folder / "nan.safetensors")
    assert "not finite in layer2.0.conv1.weight" in refusal("nan.safetensors")


def test_a_file_with_two_networks_is_refused(folder: Path, state: State, refusal: Refusal) -> None:
    both = {f"{owner}.{name}": value for owner in ("student", "teacher") for name, value in state.items()}
    torch.save(both, folder / "two.pt")
    assert "holds several networks (named 'student.', 'teacher.')" in refusal("two.pt")


def test_a_file_without_named_tensors_is_refused(folder: Path, refusal: Refusal) -> None:
    torch.save([torch.zeros(3)], folder / "list.pt")
    assert "holds no tensors by name" in refusal("list.pt")


def test_a_missing_file_is_named_with_the_nearest(folder: Path, refusal: Refusal) -> None:
    (folder / "radimagenet.pth").touch()
    said = refusal("radimagnet.pth")
    assert said.startswith("weights 'radimagnet.pth': there is no such file; did you mean 'radimagenet.pth'?")
    assert "did you mean" not in refusal(folder / "nowhere" / "x.pth")
    assert "did you mean 'imagenet'?" in refusal("imagnet")
    assert "is a folder, and no run's; name the file in it (radimagenet.pth)" in refusal(folder)


def test_none_is_random_and_says_so() -> None:
    backbone = ResNet50(weights="none")
    report = backbone.load_weights()
    assert float(backbone.body["conv1"].weight.detach().std()) > 0
    assert (report.requested, report.used, report.sha256, report.matched) == ("none", "none", None, 0)
    assert report.statement == "Starts from random parameters, as asked for."
