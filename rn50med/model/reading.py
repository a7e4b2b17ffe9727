"""How a file of weights is opened.

It is opened by safetensors, or by `torch.load` with ``weights_only=True``: neither runs what somebody may
have put into it.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rn50med.errors import RecipeError, listed
from rn50med.model.weights import SUFFIXES


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read a file of weights: its tensors, by the names that it gives them, and its SHA-256.

    Wrappings (``state_dict``, ``model``) are taken off.

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
    return _unwrapped(_opened(path, head), path), digest


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
    raise _damaged(path, f"is no file of weights ({listed(SUFFIXES)}), or is damaged")


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
