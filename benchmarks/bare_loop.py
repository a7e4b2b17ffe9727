"""The yardstick: a training loop with nothing around it."""

from __future__ import annotations

from contextlib import nullcontext
from time import perf_counter

import timm
import torch
from torch import Tensor
from torch.nn import functional as F


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was given; a CPU always has.

    Args:
        device: Where it runs.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bare_loop(
    images: Tensor, targets: Tensor, batch_size: int, steps: int, warm_up: int, precision: str
) -> float:
    """Train timm's ResNet-50 on tensors that are in memory already, and return images per second.

    No augmentation, no log, no checkpoint, no validation: what is left is the network and its optimizer.

    Args:
        images: ``(N, 1, H, W)`` in [0, 1], 32-bit float.
        targets: 0 or 1, ``(N,)``.
        batch_size: Images in a batch.
        steps: Steps that are timed.
        warm_up: Steps before them.
        precision: As Lightning names it; ``bf16-mixed`` and ``16-mixed`` are cast, all else is 32 bits.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = timm.create_model("resnet50", in_chans=1, num_classes=1)
    model = model.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    scaler = torch.amp.GradScaler(device.type, enabled=half is torch.float16)
    start = 0.0
    for step in range(warm_up + steps):
        if step == warm_up:
            synchronize(device)
            start = perf_counter()
        first = step * batch_size % (len(images) - batch_size + 1)
        image = images[first : first + batch_size].to(device, memory_format=torch.channels_last)
        target = targets[first : first + batch_size].to(device)
        with nullcontext() if half is None else torch.autocast(device.type, half):
            logits = model(image)[:, 0].float()
        loss = F.binary_cross_entropy_with_logits(logits, target.float())
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    synchronize(device)
    return steps * batch_size / (perf_counter() - start)
