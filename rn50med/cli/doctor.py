"""``doctor``: what this machine can do, each thing tried and not merely looked up."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rn50med.cli.options import Options
from rn50med.errors import DataError, Rn50MedError


def run(argv: Sequence[str]) -> int:
    """Print a line for each thing that a run needs.

    Args:
        argv: Options after ``doctor``.

    Returns:
        0, or 1 if something does not work.
    """
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    parser = Options("doctor", "Say what this machine can do: each thing is tried.")
    parser.add_argument("--cache", help="the cache to tell of, where it is not the usual one")
    parser.add_argument("--clear-cache", action="store_true", help="remove the cache, and do nothing else")
    options = parser.parse_args(list(argv))
    if options.clear_cache:
        return _clear_cache(options.cache)
    checks: dict[str, Callable[[], str]] = {
        "versions": _versions,
        "accelerator": _accelerator,
        "precision": _precision,
        "decoders": _decoders,
        "weights": _weights,
        "disk": _disk,
        "cache": lambda: _cache(options.cache),
        "tracker": _tracker,
        "network": _network,
    }
    failed = 0
    for name, check in checks.items():
        try:
            found = check()
        except Exception as error:  # what is broken is what doctor is asked to tell
            failed += 1
            found = f"DOES NOT WORK: {error if isinstance(error, Rn50MedError) else repr(error)}"
        sys.stdout.write(f"{name:<12} {found}\n")
        sys.stdout.flush()
    return 1 if failed else 0


def _versions() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - light commands do without

    names = ("rn50med", "torch", "lightning", "timm", "monai", "pydicom", "wandb")
    return ", ".join(f"{name} {version(name)}" for name in names)


def _accelerator() -> str:
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        return f"{len(devices)} CUDA: {', '.join(devices)}"
    if torch.backends.mps.is_available():
        return "Apple MPS"
    return f"none; the CPU with {torch.get_num_threads()} threads of {os.cpu_count()} cores"


def _precision() -> str:
    """Take one real training step in the precision that a run would use."""
    from time import perf_counter  # noqa: PLC0415

    import torch  # noqa: PLC0415
    from lightning.fabric import Fabric  # noqa: PLC0415

    from rn50med.model.backbone import ResNet50  # noqa: PLC0415
    from rn50med.training.precision import fast_precision  # noqa: PLC0415

    precision = fast_precision("auto")
    fabric = Fabric(accelerator="auto", devices=1, precision=precision)  # type: ignore[arg-type]
    backbone = ResNet50(weights="none")
    model, optimizer = fabric.setup(backbone, torch.optim.SGD(backbone.parameters(), lr=0.1))
    image = fabric.to_device(torch.rand(4, 1, 64, 64))
    start = perf_counter()
    loss = sum(feature.float().square().mean() for feature in model(image))
    fabric.backward(loss)
    optimizer.step()
    return f"{precision}; one training step of 4 images at 64 px took {perf_counter() - start:.2f} s"


def _decoders() -> str:
    """Read one real file of each kind that is read."""
    from rn50med.data.readers.trial import trials  # noqa: PLC0415 - light commands do without

    tried = list(trials())
    wrong = [trial for trial in tried if trial.fault and trial.code != "missing-decoder"]
    if wrong:
        raise DataError("; ".join(f"{trial.kind}: {trial.fault}" for trial in wrong))
    works = ", ".join(trial.kind for trial in tried if not trial.fault)
    missing = "".join(f"; {trial.kind} {trial.fault}" for trial in tried if trial.fault)
    return f"{works}: each read from a real file{missing}"


def _weights() -> str:
    from rn50med.model.weights import find_weights  # noqa: PLC0415

    return find_weights("auto").statement


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return f"{free:.0f} GiB free in the working folder; a run takes about 0.6 GiB"


def _cache(option: str | None) -> str:
    from rn50med.data.cache.place import cache_place, occupied  # noqa: PLC0415

    place = cache_place(option)
    if place is None:
        return "none (RN50MED_CACHE)"
    size = occupied(place) / 2**20
    return f"{place}: {size:.0f} MiB; --clear-cache removes it, --data.cache DIR puts it elsewhere"


def _clear_cache(option: str | None) -> int:
    from rn50med.data.cache.place import cache_place, clear  # noqa: PLC0415

    place = cache_place(option)
    freed = 0 if place is None else clear(place)
    sys.stdout.write(f"{place}: {freed / 2**20:.0f} MiB removed\n")
    return 0


def _tracker() -> str:
    from importlib.metadata import version  # noqa: PLC0415

    key = (
        "a key is set"
        if os.environ.get("WANDB_API_KEY") or _has_login()
        else "no key is set; offline runs need none"
    )
    return f"wandb {version('wandb')}, {key}"


def _has_login() -> bool:
    from netrc import NetrcParseError, netrc  # noqa: PLC0415

    try:
        return netrc().authenticators("api.wandb.ai") is not None
    except (OSError, NetrcParseError):
        return False


def _network() -> str:
    from rn50med.network import is_offline  # noqa: PLC0415

    return "refused (--offline or RN50MED_OFFLINE)" if is_offline() else "allowed; --offline refuses it"
