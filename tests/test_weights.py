"""Pretrained parameters: where they are found, how a file is read, what is refused."""

import json
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from rn50med.errors import RecipeError
from rn50med.model.backbone import ResNet50

State = dict[str, Tensor]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MARKER = "hostile_code_ran"

# Both wishes at once, so that they wait at the same time; HF_ENDPOINT is read when the hub's client is imported.
CHILD = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from rn50med.errors import Rn50MedError
from rn50med.model.backbone import ResNet50

def outcome(wish):
    backbone = ResNet50(weights=wish)
    started = time.monotonic()
    try:
        report = backbone.load_weights()
        found = {"used": report.used, "text": report.statement, "sha256": report.sha256, "exit": 0}
    except Rn50MedError as error:
        found = {"used": None, "text": str(error), "exit": error.exit_code, "kind": type(error).__name__}
    return wish, {**found, "seconds": time.monotonic() - started}

with ThreadPoolExecutor() as pool:
    print(json.dumps(dict(pool.map(outcome, sys.argv[1:]))))
"""


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (MARKER,)


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


def assert_loaded(backbone: ResNet50, state: State) -> None:
    own = backbone.body.state_dict()
    for name in (
        "conv1.weight",
        "layer1.0.downsample.0.weight",
        "layer4.2.conv3.weight",
        "layer4.2.bn3.running_var",
    ):
        assert torch.equal(own[name], state[name].float()), name


def refusal(weights: Path | str) -> str:
    """Return what is said, and check that nothing was changed."""
    backbone = ResNet50(weights=str(weights), in_channels=3)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(RecipeError) as caught:
        backbone.load_weights()
    assert caught.value.exit_code == 2
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_safetensors_file_is_loaded_and_reported(published: Path, state: State) -> None:
    backbone = ResNet50(weights=str(published), in_channels=3)
    report = backbone.load_weights()
    assert_loaded(backbone, state)
    assert report.requested == "model.safetensors"
    assert report.used == "file"
    assert report.statement == "Starts from the weights in 'model.safetensors'."
    assert report.sha256 == sha256(published.read_bytes()).hexdigest()
    assert report.matched == len(backbone.body.state_dict())
    assert (report.missing, report.unexpected, report.adapted) == ((), ("fc.weight", "fc.bias"), ())


def test_one_channel_takes_an_adapted_stem(published: Path) -> None:
    backbone = ResNet50(weights=str(published))
    report = backbone.load_weights()
    assert report.adapted == ("conv1.weight", "bn1.running_mean")
    assert (
        report.statement
        == "Starts from the weights in 'model.safetensors'; its stem was adapted to one channel."
    )
    colour = ResNet50(weights=str(published), in_channels=3)
    colour.load_weights()
    image = torch.rand(1, 1, 96, 96)
    with torch.inference_mode():
        found, wanted = backbone.eval()(image)[0], colour.eval()(image.expand(-1, 3, -1, -1))[0]
    torch.testing.assert_close(found[..., 6:-6, 6:-6], wanted[..., 6:-6, 6:-6], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "form", ["plain", "module.", "state_dict", "model", "legacy", "our checkpoint", "torch.compile"]
)
def test_pickled_files_are_loaded_however_they_are_wrapped(folder: Path, state: State, form: str) -> None:
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
    backbone = ResNet50(weights=str(path), in_channels=3)
    report = backbone.load_weights()
    assert_loaded(backbone, state)
    unexpected = ("head.linear.weight",) if form == "our checkpoint" else ("fc.weight", "fc.bias")
    assert (report.used, report.missing, report.unexpected) == ("file", (), unexpected)


def test_torchvisions_names_are_loaded(folder: Path) -> None:
    other = torchvision.models.resnet50(weights=None).state_dict()
    older = {name: value for name, value in other.items() if "num_batches" not in name}  # as in older files
    torch.save(older, folder / "resnet50-19c8e357.pth")
    backbone = ResNet50(weights="resnet50-19c8e357.pth", in_channels=3)
    report = backbone.load_weights()
    assert_loaded(backbone, other)
    assert report.missing == ()


@pytest.mark.parametrize("nested", [True, False])
def test_a_hostile_file_is_refused_and_never_run(folder: Path, nested: bool) -> None:
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
    folder: Path, suffix: str, content: bytes, sentence: str
) -> None:
    path = folder / f"weights{suffix}"
    path.write_bytes(content)
    assert sentence in refusal(path)


@pytest.mark.parametrize("form", [".safetensors", ".pth", "legacy.pth"])
@pytest.mark.parametrize("share", [0.999, 0.5, 0.00001])
def test_a_file_that_was_cut_off_is_refused(folder: Path, form: str, share: float) -> None:
    path = folder / f"weights{form}"
    small = {f"layer{index}": torch.zeros(300, 300) for index in range(4)}
    if form == ".safetensors":
        save_file(small, path)
    else:
        torch.save(small, path, _use_new_zipfile_serialization=form == ".pth")
    content = path.read_bytes()
    path.write_bytes(content[: max(int(share * len(content)), 12)])
    assert "is cut off or damaged" in refusal(path)


def test_a_flipped_bit_in_a_pickled_file_is_found(folder: Path) -> None:
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
        ("resnet101", ["of no ResNet-50", "layer3.6.conv1.weight"]),
        ("vit_tiny_patch16_224", ["missing", "conv1.weight"]),
    ],
)
def test_another_architecture_is_refused_with_what_does_not_fit(
    folder: Path, name: str, parts: list[str]
) -> None:
    save_file(timm.create_model(name).state_dict(), folder / "other.safetensors")
    said = refusal(folder / "other.safetensors")
    assert "is no ResNet-50" in said
    assert all(part in said for part in parts), said


def test_a_few_missing_tensors_are_reported(folder: Path, state: State) -> None:
    lacking = {name: value for name, value in state.items() if not name.startswith("layer4.2.bn3.running")}
    save_file(lacking, folder / "some.safetensors")
    report = ResNet50(weights="some.safetensors").load_weights()
    assert report.missing == ("layer4.2.bn3.running_mean", "layer4.2.bn3.running_var")
    assert report.statement.endswith("; 2 tensors are not in it and stay random.")


def test_numbers_that_are_not_finite_are_refused(folder: Path, state: State) -> None:
    broken = state["layer2.0.conv1.weight"].clone()
    broken[0, 0] = torch.nan
    save_file({**state, "layer2.0.conv1.weight": broken}, folder / "nan.safetensors")
    assert "not finite in layer2.0.conv1.weight" in refusal("nan.safetensors")


def test_a_file_with_two_networks_is_refused(folder: Path, state: State) -> None:
    both = {f"{owner}.{name}": value for owner in ("student", "teacher") for name, value in state.items()}
    torch.save(both, folder / "two.pt")
    assert "holds several networks (named 'student.', 'teacher.')" in refusal("two.pt")


def test_a_file_without_named_tensors_is_refused(folder: Path) -> None:
    torch.save([torch.zeros(3)], folder / "list.pt")
    assert "holds no tensors by name" in refusal("list.pt")


def test_a_missing_file_is_named_with_the_nearest(folder: Path) -> None:
    (folder / "radimagenet.pth").touch()
    said = refusal("radimagnet.pth")
    assert said.startswith("weights 'radimagnet.pth': there is no such file; did you mean 'radimagenet.pth'?")
    assert "did you mean" not in refusal(folder / "nowhere" / "x.pth")
    assert "did you mean 'imagenet'?" in refusal("imagnet")
    assert "is a folder; name the file in it (radimagenet.pth)" in refusal(folder)


def test_none_is_random_and_says_so() -> None:
    backbone = ResNet50(weights="none")
    before = backbone.body["conv1"].weight.clone()
    report = backbone.load_weights()
    assert torch.equal(before, backbone.body["conv1"].weight)
    assert (report.requested, report.used, report.sha256, report.matched) == ("none", "none", None, 0)
    assert report.statement == "Starts from random parameters, as asked for."


@pytest.mark.parametrize("wish", ["auto", "imagenet"])
@pytest.mark.parametrize(
    "place",
    [
        "model.safetensors",
        "timm/resnet50.a1_in1k/model.safetensors",
        "resnet50_a1_0-14fe96d1.pth",
        "the file",
    ],
)
def test_imagenets_weights_are_found_in_a_local_folder(
    folder: Path, published: Path, state: State, monkeypatch: pytest.MonkeyPatch, wish: str, place: str
) -> None:
    path = folder / ("renamed.safetensors" if place == "the file" else place)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(published, path) if os.name != "nt" else path.write_bytes(published.read_bytes())
    monkeypatch.setenv("RN50MED_WEIGHTS", str(path if place == "the file" else folder))
    backbone = ResNet50(weights=wish, in_channels=3)
    report = backbone.load_weights()
    assert_loaded(backbone, state)
    assert (report.requested, report.used) == (wish, "imagenet")
    assert report.statement == "Starts from ImageNet weights (timm/resnet50.a1_in1k)."


def test_a_damaged_file_in_the_local_folder_is_never_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "model.safetensors").touch()
    monkeypatch.setenv("RN50MED_WEIGHTS", str(folder))
    assert "is empty" in refusal("auto")


def test_offline_without_weights_says_where_to_put_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RN50MED_WEIGHTS", str(folder))
    said = refusal("imagenet")
    assert (
        f"then put it at {folder / 'model.safetensors'}, or give --model.backbone.init_args.weights" in said
    )
    report = ResNet50(weights="auto").load_weights()
    assert report.used == "none"
    assert "random parameters, because ImageNet's weights could not be had" in report.statement
    assert str(folder) not in report.statement


class Hub(BaseHTTPRequestHandler):
    """A hub in miniature: ``/page`` a log-in page, ``/away`` a hub whose store is dead, ``/hub`` one that works."""

    content: Path

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        kind = self.path.split("/")[1]
        digest = sha256(self.content.read_bytes()).hexdigest()
        size = self.content.stat().st_size
        away, is_hub = kind == "away", kind in {"away", "hub"} and self.path.endswith("model.safetensors")
        self.send_response(302 if away and is_hub else 503 if kind == "busy" else 200)
        if is_hub:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Etag", f'"{digest}"')
            self.send_header("X-Linked-Size", str(size))
            self.send_header("ETag", f'"{digest}"')
        if away and is_hub:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        page = b"<html>Please sign in</html>"
        self.send_header("Content-Length", str(size if is_hub and not away else len(page)))
        self.end_headers()
        if body:
            self.wfile.write(self.content.read_bytes() if is_hub else page)

    def log_message(self, format: str, *args: object) -> None:
        pass


def cached(home: Path, published: Path) -> None:
    """Lay out the cache as the hub's client does: a blob by its hash, a snapshot that points to it."""
    root = home / "hub" / "models--timm--resnet50.a1_in1k"
    blob = root / "blobs" / sha256(published.read_bytes()).hexdigest()
    snapshot = root / "snapshots" / COMMIT
    for directory in (blob.parent, snapshot, root / "refs"):
        directory.mkdir(parents=True)
    os.link(published, blob)
    (root / "refs" / "main").write_text(COMMIT)
    (snapshot / "model.safetensors").symlink_to(blob)


Outcomes = dict[str, dict[str, dict[str, object]]]


@pytest.fixture(scope="module")
def outcomes(published: Path) -> Iterator[Outcomes]:
    """Wish for weights in every kind of network, all at once, each in a process of its own."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(TemporaryDirectory()))
        silent = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        hub = ThreadingHTTPServer(("127.0.0.1", 0), type("Serving", (Hub,), {"content": published}))
        stack.callback(hub.server_close)
        stack.callback(hub.shutdown)
        Thread(target=hub.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{hub.server_port}"
        endpoints = {
            "closed": "http://127.0.0.1:1",
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}",
            **{kind: f"{address}/{kind}" for kind in ("page", "away", "busy", "hub")},
            "cache": "http://127.0.0.1:1",
        }
        cached(root / "cache", published)
        children = {kind: ask(root / kind, endpoint) for kind, endpoint in endpoints.items()}
        found = {}
        for kind, child in children.items():
            output, errors = child.communicate(timeout=120)
            assert child.returncode == 0, errors
            found[kind] = json.loads(output)
        yield found


def ask(home: Path, endpoint: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "RN50MED_"))}
    # One thread each: many children on few cores would measure the waiting for cores.
    variables = {
        **kept,
        "HF_HOME": str(home),
        "HF_ENDPOINT": endpoint,
        "OMP_NUM_THREADS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, "auto", "imagenet"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("closed", "the Hugging Face hub does not answer"),
        ("silent", "the Hugging Face hub does not answer"),
        ("page", "something else answers in place of the Hugging Face hub"),
        ("away", "the server where the Hugging Face hub keeps the file does not answer"),
        ("busy", "the Hugging Face hub does not give the file"),
    ],
)
def test_without_the_hub_nobody_waits_long(outcomes: Outcomes, kind: str, reason: str) -> None:
    auto, imagenet = outcomes[kind]["auto"], outcomes[kind]["imagenet"]
    assert auto["used"] == "none"
    assert float(str(auto["seconds"])) < 5
    assert f"could not be had ({reason}" in str(auto["text"])
    assert "127.0.0.1" not in str(auto["text"])  # a mirror's name is the hospital's business
    assert (imagenet["kind"], imagenet["exit"]) == ("RecipeError", 2)
    assert float(str(imagenet["seconds"])) < 10
    said = str(imagenet["text"])
    assert reason in said
    assert "model.safetensors of timm/resnet50.a1_in1k" in said
    assert "/timm/resnet50.a1_in1k/resolve/main/model.safetensors on a connected machine" in said
    assert "--model.backbone.init_args.weights /path/to/model.safetensors" in said
    assert "RN50MED_WEIGHTS=" in said


@pytest.mark.parametrize("kind", ["cache", "hub"])
def test_imagenets_weights_come_from_the_cache_or_the_hub(
    outcomes: Outcomes, published: Path, kind: str
) -> None:
    for found in outcomes[kind].values():
        assert (found["used"], found["sha256"]) == ("imagenet", sha256(published.read_bytes()).hexdigest())
        assert str(found["text"]).startswith("Starts from ImageNet weights (timm/resnet50.a1_in1k)")
