"""Which arithmetic the hardware is fast in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
    allowed, products = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    if wanted:
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed
        torch.set_float32_matmul_precision(products)


def cpu_has_bfloat16() -> bool:
    """Return whether this processor multiplies in bfloat16, and does not merely emulate it."""
    # torch 2.10 has no public question for it; the private ones are asked only where they are there
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name)() for name in questions if hasattr(torch.cpu, name))
