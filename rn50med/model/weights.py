"""Where pretrained parameters are found, and what became of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import timm
from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)

from rn50med.errors import OfflineError, RecipeError, listed, nearest
from rn50med.network import answers, is_offline, within

MODEL = "resnet50.a1_in1k"
"""What ``imagenet`` stands for: timm's name of the A1 weights, Wightman et al., arXiv:2110.00476."""

KEYWORDS = ("auto", "imagenet", "none")
"""What ``weights`` can be besides a file and a name of timm's."""

FOLDER_VARIABLE = "RN50MED_WEIGHTS"
"""The environment variable that names the folder with ImageNet's weights, or the file itself."""

OPTION = "--model.backbone.init_args.weights"
OF_A_RUN = Path("checkpoints", "best.ckpt")
"""Where the folder of a run keeps its best epoch."""

_FILE = "model.safetensors"
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
"""What files of weights end in."""


@dataclass(frozen=True)
class LoadReport:
    """What became of the wish for pretrained parameters.

    Args:
        requested: What was asked for: a keyword, a name of timm's, or the file's without its folder.
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


def published() -> tuple[str, ...]:
    """Return timm's names of weights for this network, such as ``resnet50.tv2_in1k``."""
    return tuple(timm.list_pretrained("resnet50.*"))


def nameless(requested: str) -> str:
    """Return what was asked for without its place, which can name a patient.

    Args:
        requested: A keyword, a file, or the folder of a run, whose own name is left out too.

    Example:
        >>> nameless("/home/me/weights/start.pth"), nameless("imagenet")
        ('start.pth', 'imagenet')
    """
    if requested in KEYWORDS:
        return requested
    path = Path(requested).expanduser()
    return OF_A_RUN.name if (path / OF_A_RUN).is_file() else path.name


def find_weights(requested: str) -> Found:
    """Find the parameters to start from.

    Args:
        requested: ``auto``, ``imagenet``, ``none``, a name of timm's, a file, or the folder of a run.

    Raises:
        RecipeError: If a file is not there, or ``imagenet`` or what timm names cannot be had.
    """
    if requested == "none":
        return Found(None, "none", "Starts from random parameters, as asked for")
    if requested not in KEYWORDS and (Path(requested).exists() or requested not in published()):
        path = _existing(requested)
        return Found(path, "file", f"Starts from the weights in {path.name!r}")
    model = MODEL if requested in KEYWORDS else requested
    hub_id = str(timm.get_pretrained_cfg(model).hf_hub_id)
    if local := _in_folder(model):
        told = f"Starts from {local.name!r} of {FOLDER_VARIABLE}, taken for ImageNet weights ({hub_id})"
        return Found(local, "imagenet", told)
    seconds = 4.0 if requested == "auto" else 8.0  # the most that a user without a network waits
    try:
        path = _in_cache(hub_id) or _download(hub_id, seconds)
    except OfflineError as reason:
        if requested != "auto":
            raise RecipeError(_how_to_get(requested, model, str(reason))) from reason
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
        if (path / OF_A_RUN).is_file():
            return path / OF_A_RUN
        held = [item.name for item in sorted(path.iterdir()) if item.suffix in SUFFIXES]
        raise RecipeError(
            f"weights {requested!r}: is a folder, and no run's; name the file in it "
            f"({listed(held) or 'none is there'})."
        )
    if path.exists():
        return path
    names = published() if requested.startswith("resnet50.") else KEYWORDS
    guess = None if path.suffix in SUFFIXES else nearest(requested, names)
    if guess is None and path.parent.is_dir():
        near = nearest(path.name, (item.name for item in path.parent.iterdir() if item.suffix in SUFFIXES))
        guess = str(path.parent / near) if near else None
    hint = f"; did you mean {guess!r}? " if guess else ". "
    raise RecipeError(
        f"weights {requested!r}: there is no such file{hint}Give a file ({listed(SUFFIXES)}), one of "
        f"{listed(KEYWORDS)}, or a name of timm's such as {MODEL} for {OPTION}."
    )


def _in_folder(model: str) -> Path | None:
    """Look for a model's weights where RN50MED_WEIGHTS points; those without a name are the usual ones."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return None
    root, usual = Path(folder).expanduser(), model == MODEL
    if root.is_file():
        return root if usual else None
    facts = timm.get_pretrained_cfg(model)
    names = [_FILE] if usual else []
    names += [f"{facts.hf_hub_id}/{_FILE}", f"{model}/{_FILE}", f"{model}.safetensors"]
    names += [str(facts.url).rpartition("/")[2]] if facts.url else []
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


def _how_to_get(requested: str, model: str, reason: str) -> str:
    folder = os.environ.get(FOLDER_VARIABLE)
    root = Path(folder).expanduser() if folder else Path.home() / "rn50med-weights"
    setting = "" if folder else f" and set {FOLDER_VARIABLE}={root}"
    place = root / (_FILE if model == MODEL else f"{model}.safetensors")
    hub_id = str(timm.get_pretrained_cfg(model).hf_hub_id)
    return (
        f"weights {requested!r}: {_FILE} of {hub_id} could not be had ({reason}); fetch "
        f"{hf_hub_url(hub_id, _FILE)} on a connected machine, then put it at {place}{setting}, "
        f"or give {OPTION} /path/to/{_FILE}."
    )
