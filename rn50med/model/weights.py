"""Where pretrained parameters are found, and how a file of them is read.

A file is opened by safetensors, or by `torch.load` with ``weights_only=True``: neither runs what
somebody may have put into it.
"""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import timm
import torch
from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rn50med.errors import OfflineError, RecipeError, listed, nearest
from rn50med.network import answers, is_offline, within

MODEL = "resnet50.a1_in1k"
"""timm's name for ResNet-50 with the A1 weights for ImageNet: Wightman et al., arXiv:2110.00476."""

KEYWORDS = ("auto", "imagenet", "none")
"""What ``weights`` can be besides a file."""

FOLDER_VARIABLE = "RN50MED_WEIGHTS"
"""The environment variable that names the folder with ImageNet's weights, or the file itself."""

OPTION = "--model.backbone.init_args.weights"
_FILE = "model.safetensors"
_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
_FIRST_BLOCK = "layer1.0.conv1.weight"  # in every ResNet, so that what stands before it is a prefix


@dataclass(frozen=True)
class LoadReport:
    """What became of the wish for pretrained parameters.

    Args:
        requested: What was asked for: a keyword, or the file's name without its folder.
        used: ``none`` (random parameters), ``imagenet`` or ``file``.
        statement: One sentence for people, without a path.
        sha256: Of the file's bytes, in hexadecimal; None for random parameters.
        matched: Number of tensors taken over.
        missing: Tensors that the file lacks; they stay random.
        unexpected: Tensors of the file that are not used, such as its classifier.
        adapted: Tensors that were computed anew for the number of input channels.
    """

    requested: str
    used: str
    statement: str
    sha256: str | None
    matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    adapted: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """Where the parameters to start from are, or that they are random.

    Args:
        path: The file; None for random parameters.
        used: As in `LoadReport`.
        statement: As in `LoadReport`, without its full stop.
    """

    path: Path | None
    used: str
    statement: str


def find_weights(requested: str) -> Found:
    """Find the parameters to start from.

    Args:
        requested: ``auto``, ``imagenet``, ``none``, or a file.

    Raises:
        RecipeError: If a file is not there, or ``imagenet`` cannot be had.
    """
    if requested == "none":
        return Found(None, "none", "Starts from random parameters, as asked for")
    if requested not in KEYWORDS:
        path = _existing(requested)
        return Found(path, "file", f"Starts from the weights in {path.name!r}")
    hub_id = str(timm.get_pretrained_cfg(MODEL).hf_hub_id)
    seconds = 4.0 if requested == "auto" else 8.0  # the most that a user without a network waits
    try:
        path = _in_folder(hub_id) or _in_cache(hub_id) or _download(hub_id, seconds)
    except OfflineError as reason:
        if requested == "imagenet":
            raise RecipeError(_how_to_get(hub_id, str(reason))) from reason
        statement = (
            f"Starts from random parameters, because ImageNet's weights could not be had ({reason}); "
            f"give {OPTION} FILE or set {FOLDER_VARIABLE} to a folder with {_FILE} of {hub_id}"
        )
        return Found(None, "none", statement)
    return Found(path, "imagenet", f"Starts from ImageNet weights ({hub_id})")


def _existing(requested: str) -> Path:
    """Return the file that was named, or say what is near it."""
    path = Path(requested).expanduser()
    if path.is_dir():
        held = [item.name for item in sorted(path.iterdir()) if item.suffix in _SUFFIXES]
        raise RecipeError(
            f"weights {requested!r}: is a folder; name the file in it ({listed(held) or 'none is there'})."
        )
    if path.exists():
        return path
    guess = None if path.suffix else nearest(requested, KEYWORDS)
    if guess is None and path.parent.is_dir():
        near = nearest(path.name, (item.name for item in path.parent.iterdir() if item.suffix in _SUFFIXES))
        guess = str(path.parent / near) if near else None
    hint = f"; did you mean {guess!r}? " if guess else ". "
    raise RecipeError(
        f"weights {requested!r}: there is no such file{hint}Give a file ({listed(_SUFFIXES)}) or one of "
        f"{listed(KEYWORDS)} for {OPTION}."
    )


def _in_folder(hub_id: str) -> Path | None:
    """Look for ImageNet's weights where RN50MED_WEIGHTS points."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return None
    root = Path(folder).expanduser()
    if root.is_file():
        return root
    published = str(timm.get_pretrained_cfg(MODEL).url).rpartition("/")[2]
    names = (_FILE, f"{hub_id}/{_FILE}", f"{MODEL}/{_FILE}", f"{MODEL}.safetensors", published)
    return next((root / name for name in names if (root / name).is_file()), None)


def _in_cache(hub_id: str) -> Path | None:
    found = try_to_load_from_cache(hub_id, _FILE)
    return Path(found) if isinstance(found, str) else None


def _download(hub_id: str, seconds: float) -> Path:
    """Download ImageNet's weights, asking first whether anybody is there to give them.

    Three things are asked within the time: whether the hub answers, whether it is the hub and not
    a log-in page, and whether the server answers where it keeps the file.
    """
    if is_offline() or constants.HF_HUB_OFFLINE:
        raise OfflineError("not in the local places, and the network is switched off")
    deadline = monotonic() + seconds
    url = hf_hub_url(hub_id, _FILE)
    parts = urlsplit(url)
    if not answers(f"{parts.scheme}://{parts.netloc}/", seconds):
        raise OfflineError("the Hugging Face hub does not answer")
    try:
        metadata = within(deadline - monotonic(), partial(get_hf_file_metadata, url, timeout=seconds))
    except Exception as error:  # of three HTTP libraries, by the version of the hub's client
        raise OfflineError(f"the Hugging Face hub does not give the file ({type(error).__name__})") from error
    if not metadata.commit_hash or not metadata.etag:
        raise OfflineError("something else answers in place of the Hugging Face hub, perhaps a log-in page")
    if not answers(metadata.location, deadline - monotonic()):
        raise OfflineError("the server where the Hugging Face hub keeps the file does not answer")
    try:
        return Path(hf_hub_download(hub_id, _FILE))
    except Exception as error:  # as above, and a full disk
        raise OfflineError(f"the download broke off ({type(error).__name__})") from error


def _how_to_get(hub_id: str, reason: str) -> str:
    folder = os.environ.get(FOLDER_VARIABLE)
    root = Path(folder).expanduser() if folder else Path.home() / "rn50med-weights"
    setting = "" if folder else f" and set {FOLDER_VARIABLE}={root}"
    return (
        f"weights 'imagenet': {_FILE} of {hub_id} could not be had ({reason}); fetch "
        f"{hf_hub_url(hub_id, _FILE)} on a connected machine, then put it at {root / _FILE}{setting}, "
        f"or give {OPTION} /path/to/{_FILE}."
    )


def read_state(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read a file of weights: its tensors, by the names that a ResNet has, and its SHA-256.

    Wrappings (``state_dict``, ``model``) and prefixes (``module.``, ``backbone.body.``) are taken off.

    Args:
        path: The file.

    Raises:
        RecipeError: If it is damaged, hostile, or holds no weights.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
            file.seek(0)
            digest = file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RecipeError(
            f"weights {str(path)!r}: cannot be read ({error.strerror}); check its access rights."
        ) from error
    # The Hugging Face cache names a large file by its SHA-256.
    named = path.resolve().name
    if re.fullmatch("[0-9a-f]{64}", named) and named != digest:
        raise _damaged(path, "its bytes are not those that its name in the cache promises")
    return _without_prefix(_unwrapped(_opened(path, head), path), path), digest


def _damaged(path: Path, what: str) -> RecipeError:
    return RecipeError(f"weights {str(path)!r}: {what}; delete it and fetch it again.")


def _opened(path: Path, head: bytes) -> object:
    """Open a file by what it holds, whatever its name ends in."""
    if not head:
        raise _damaged(path, "is empty (0 bytes)")
    if head.lstrip().startswith(b"<"):
        raise _damaged(path, "is a web page instead of weights, perhaps a log-in or error page")
    if head.startswith(b"version https://git-lfs"):
        raise RecipeError(
            f"weights {str(path)!r}: is a Git LFS pointer, not the file itself; run `git lfs pull`."
        )
    if head[8:9] == b"{":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise _damaged(path, f"is cut off or damaged ({error})") from error
    if head.startswith((b"PK", b"\x80")):
        return _unpickled(path)
    raise _damaged(path, f"is no file of weights ({listed(_SUFFIXES)}), or is damaged")


def _unpickled(path: Path) -> object:
    try:
        bad = zipfile.ZipFile(path).testzip() if zipfile.is_zipfile(path) else None
        if bad is None:
            with path.open("rb") as file:  # by its name, torch would take it for safetensors
                return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RecipeError(
            f"weights {str(path)!r}: holds more than tensors and plain values (or is damaged), which could "
            "run code when opened, and was refused; ask for the state_dict alone, best as .safetensors."
        ) from error
    except Exception as error:  # a damaged pickle fails in any way there is
        raise _damaged(path, f"is cut off or damaged ({type(error).__name__})") from error
    raise _damaged(path, f"is damaged (checksum of {bad!r})")


def _unwrapped(content: object, path: Path) -> dict[str, Tensor]:
    """Return the tensors by name, from under ``state_dict`` or ``model`` where they are there."""
    while isinstance(content, Mapping):
        inner: Any = next(
            (content[key] for key in ("state_dict", "model") if isinstance(content.get(key), Mapping)), None
        )
        if inner is None:
            break
        content = inner
    pairs = content.items() if isinstance(content, Mapping) else ()
    tensors = {str(name): value for name, value in pairs if isinstance(value, Tensor)}
    if not tensors:
        raise RecipeError(
            f"weights {str(path)!r}: holds no tensors by name; save `model.state_dict()` to it."
        )
    return tensors


def _without_prefix(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    prefixes = sorted({name.removesuffix(_FIRST_BLOCK) for name in state if name.endswith(_FIRST_BLOCK)})
    if len(prefixes) > 1:
        raise RecipeError(
            f"weights {str(path)!r}: holds several networks (named {listed(map(repr, prefixes))}); "
            "save the one that you mean to a file of its own."
        )
    prefix = prefixes[0] if prefixes else ""
    return {name.removeprefix(prefix): value for name, value in state.items()}
