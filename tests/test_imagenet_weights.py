"""ImageNet's weights: found in a folder, in the cache, at the hub, or given up on in time."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from conftest import ONE_STEP
from films import write_films
from huggingface_hub import constants
from safetensors.torch import save_file

from rn50med import fit, load_recipe
from rn50med.errors import RecipeError
from rn50med.model.backbone import ResNet50
from rn50med.model.weights import LoadReport, find_weights
from rn50med.training.tracking import without_places

NAME = "timm/resnet50.a1_in1k"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
DEAD = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which no weights are, connected to a hub where nobody is."""
    monkeypatch.delenv("RN50MED_WEIGHTS", raising=False)
    monkeypatch.delenv("RN50MED_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    use(monkeypatch, DEAD)


def use(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Set what the hub's client makes of HF_ENDPOINT when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to be found; what it holds is not looked at here."""
    path = tmp_path_factory.mktemp("published") / "model.safetensors"
    save_file({"tensor": torch.zeros(1000)}, path)
    return path


class Hub(BaseHTTPRequestHandler):
    """A hub in miniature; the first part of the address says what ails it."""

    content = b""

    def do_HEAD(self) -> None:
        _, kind, *rest = self.path.split("/")
        is_file = rest[-1:] == ["model.safetensors"] and kind in {"hub", "away", "broken"}
        away = is_file and kind == "away"
        self.send_response(503 if kind == "busy" else 302 if away else 200)
        body = self.content if is_file else b"<html>Please sign in</html>"
        if is_file:
            digest = sha256(self.content).hexdigest()
            for name, value in (
                ("X-Repo-Commit", COMMIT),
                ("ETag", f'"{digest}"'),
                ("X-Linked-Etag", f'"{digest}"'),
            ):
                self.send_header(name, value)
        if away:
            self.send_header("Location", f"{DEAD}/elsewhere")
        self.send_header("Content-Length", "0" if away else str(len(body)))
        self.end_headers()
        if self.command == "GET" and not away:
            self.wfile.write(body[: len(body) // 2] if kind == "broken" else body)

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub(published: Path) -> Iterator[str]:
    handler = type("Serving", (Hub,), {"content": published.read_bytes()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("wish", ["auto", "imagenet"])
@pytest.mark.parametrize(
    "place",
    ["model.safetensors", f"{NAME}/model.safetensors", "resnet50_a1_0-14fe96d1.pth", "the file itself"],
)
def test_a_local_folder_comes_first(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch, wish: str, place: str
) -> None:
    path = tmp_path / ("renamed.safetensors" if place == "the file itself" else place)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(published.read_bytes())
    monkeypatch.setenv("RN50MED_WEIGHTS", str(path if place == "the file itself" else tmp_path))
    found = find_weights(wish)
    assert (found.path, found.used) == (path, "imagenet")
    told = f"Starts from {path.name!r} of RN50MED_WEIGHTS, taken for ImageNet weights ({NAME})"
    assert found.statement == told  # what the file holds is known from its hash alone


@pytest.mark.parametrize(
    "place",
    ["timm/resnet50.tv2_in1k/model.safetensors", "resnet50.tv2_in1k.safetensors", "resnet50-11ad3fa6.pth"],
)
def test_other_weights_of_timm_are_had_by_their_name(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    usual, path = tmp_path / "model.safetensors", tmp_path / place
    monkeypatch.setenv("RN50MED_WEIGHTS", str(tmp_path))
    usual.touch()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(published.read_bytes())
    found = find_weights("resnet50.tv2_in1k")
    assert (found.path, found.used) == (path, "imagenet")
    assert "(timm/resnet50.tv2_in1k)" in found.statement
    path.unlink()
    with pytest.raises(
        RecipeError, match=r"weights 'resnet50\.tv2_in1k': model\.safetensors of timm/"
    ) as caught:
        find_weights("resnet50.tv2_in1k")  # a file without a name is the usual model's
    assert f"put it at {tmp_path / 'resnet50.tv2_in1k.safetensors'}" in str(caught.value)


def test_a_misspelt_name_of_timm_is_answered_by_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"did you mean 'resnet50\.tv2_in1k'\?"):
        find_weights("resnet50.tv2_in1")


@pytest.mark.parametrize("wish", ["auto", "imagenet"])
def test_the_cache_of_the_hub_comes_next(tmp_path: Path, published: Path, wish: str) -> None:
    root = tmp_path / "cache" / "models--timm--resnet50.a1_in1k"
    path = root / "snapshots" / COMMIT / "model.safetensors"
    for directory in (path.parent, root / "refs"):
        directory.mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    path.write_bytes(published.read_bytes())
    found = find_weights(wish)
    assert (found.path, found.used) == (path, "imagenet")


@pytest.mark.parametrize("wish", ["auto", "imagenet"])
def test_the_hub_comes_last(hub: str, published: Path, monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    use(monkeypatch, f"{hub}/hub")
    path = find_weights(wish).path
    assert path is not None
    assert path.read_bytes() == published.read_bytes()
    use(monkeypatch, DEAD)
    assert find_weights(wish).path == path  # from the cache, the second time


def given_up(find: Callable[[str], Any]) -> tuple[str, str]:
    """Return what `auto` and `imagenet` say when there is nothing to be had."""
    found = find("auto")
    assert (found.path, found.used) == (None, "none")
    with pytest.raises(RecipeError) as caught:
        find("imagenet")
    return found.statement, str(caught.value)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("page", "something else answers in place of the Hugging Face hub, perhaps a log-in page"),
        ("away", "the server where the Hugging Face hub keeps the file does not answer"),
        ("busy", "the Hugging Face hub does not give the file"),
    ],
)
def test_a_hub_that_is_none_or_half_there_is_given_up_on(
    hub: str, monkeypatch: pytest.MonkeyPatch, kind: str, reason: str
) -> None:
    use(monkeypatch, f"{hub}/{kind}")
    started = time.monotonic()
    for said in given_up(find_weights):
        assert reason in said
    assert time.monotonic() - started < 5


def test_a_download_that_breaks_off_is_no_weights(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, f"{hub}/broken")
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)  # before each retry
    found = find_weights("auto")
    assert found.path is None
    assert "the download broke off" in found.statement


def test_offline_nobody_is_asked(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, f"{hub}/hub")
    monkeypatch.setenv("RN50MED_OFFLINE", "1")
    for said in given_up(find_weights):
        assert "the network is switched off" in said


def test_imagenet_that_cannot_be_had_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "and set RN50MED_WEIGHTS=" in given_up(find_weights)[1]
    monkeypatch.setenv("RN50MED_WEIGHTS", str(tmp_path))
    statement, said = given_up(find_weights)
    assert (
        f"then put it at {tmp_path / 'model.safetensors'}, or give --model.backbone.init_args.weights" in said
    )
    assert str(tmp_path) not in statement


def test_a_damaged_file_in_the_local_folder_is_never_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").touch()
    monkeypatch.setenv("RN50MED_WEIGHTS", str(tmp_path))
    with pytest.raises(RecipeError, match="is empty"):
        ResNet50(weights="auto").load_weights()


@pytest.fixture(params=["closed", "silent"])
def nobody(request: pytest.FixtureRequest) -> Iterator[str]:
    """An address where nobody answers: one that refuses, and one that takes a call and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        yield DEAD if request.param == "closed" else f"http://127.0.0.1:{silent.getsockname()[1]}"


def outcome(backbone: ResNet50) -> tuple[LoadReport | RecipeError, float]:
    """Return what becomes of a wish for weights, and after how many seconds."""
    started = time.monotonic()
    try:
        found: LoadReport | RecipeError = backbone.load_weights()
    except RecipeError as error:
        found = error
    return found, time.monotonic() - started


def test_without_a_network_nobody_waits_long(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, nobody)
    backbones = [ResNet50(weights=wish) for wish in ("auto", "imagenet")]
    with ThreadPoolExecutor() as pool:  # they wait at the same time
        (auto, short), (imagenet, longer) = pool.map(outcome, backbones)
    assert isinstance(auto, LoadReport)
    assert auto.used == "none"
    assert short < 5
    assert "could not be had (the Hugging Face hub does not answer)" in auto.statement
    assert "127.0.0.1" not in auto.statement  # the name of a mirror is the hospital's business
    assert isinstance(imagenet, RecipeError)
    assert imagenet.exit_code == 2
    assert longer < 10
    said = str(imagenet)
    assert "model.safetensors of timm/resnet50.a1_in1k could not be had" in said
    address = f"{nobody}/timm/resnet50.a1_in1k/resolve/main/model.safetensors"
    assert f"fetch {address} on a connected machine" in said
    assert "--model.backbone.init_args.weights /path/to/model.safetensors" in said


@pytest.mark.slow
def test_a_name_of_timms_stays_in_the_recipe_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It became `imagenet`: a repeat began with other weights, and two recipes were taken for one."""
    weights = {name: each.contiguous() for name, each in ResNet50(weights="none").body.state_dict().items()}
    save_file(weights, tmp_path / "resnet50.tv2_in1k.safetensors")
    monkeypatch.setenv("RN50MED_WEIGHTS", str(tmp_path))
    source = write_films(tmp_path / "films")
    options = ONE_STEP | {"data.source": str(source), "model.backbone.weights": "resnet50.tv2_in1k"}
    made = fit("chest_xray", options, output=tmp_path / "run")
    recipe = load_recipe(str(made.folder / "recipe.yaml"))
    assert recipe["model"]["backbone"]["init_args"]["weights"] == "resnet50.tv2_in1k"
    assert without_places(recipe)["model"]["backbone"]["init_args"]["weights"] == "resnet50.tv2_in1k"
