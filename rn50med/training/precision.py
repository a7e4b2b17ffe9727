"""Which arithmetic the hardware is fast in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


def fast_precision(accelerator: str) -> str:
    """Return the precision that ``auto`` means for training.

    bfloat16 where the hardware multiplies in it (CPUs with AVX512-BF16 or AMX, Ampere GPUs and later),
    float16 on older GPUs, else 32 bits.

    Args:
        accelerator: As the Trainer takes it, such as "auto" or "cpu".
    """
    if accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    on_cpu = accelerator == "cpu" or not torch.backends.mps.is_available()
    return "bf16-mixed" if on_cpu and cpu_has_bfloat16() else "32-true"


@contextmanager
def exact(wanted: bool = True) -> Iterator[None]:
    """Let 32 bits be 32 bits: keep convolutions and matrix products from rounding to fewer.

    Args:
        wanted: Whether to; else nothing changes.
    """
    with ExitStack() as before:
        if wanted:
            _full_precision(before)
        yield


def _full_precision(before: ExitStack) -> None:
    """Ask for all bits; what was asked for before comes back as the stack is left."""
    try:
        products = torch.get_float32_matmul_precision()
    except RuntimeError:  # torch's newer settings were used, which do not go with the older ones
        for place in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):  # type: ignore[attr-defined]
            before.callback(setattr, place, "fp32_precision", place.fp32_precision)
            place.fp32_precision = "ieee"
        return
    before.callback(torch.set_float32_matmul_precision, products)
    torch.set_float32_matmul_precision("highest")
    before.callback(setattr, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    torch.backends.cudnn.allow_tf32 = False


def cpu_has_bfloat16() -> bool:
    """Return whether this processor multiplies in bfloat16, and does not merely emulate it."""
    # torch 2.10 has no public question for it; the private ones are asked only where they are there
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name)() for name in questions if hasattr(torch.cpu, name))
