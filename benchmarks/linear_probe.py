"""Cost of a linear probe: so many epochs against one forward pass over the same images, in one run.

Times are those of the clock and, beside them, of the processor: other work on the machine moves the first.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import warnings
from pathlib import Path
from time import perf_counter, process_time

import torch
from lightning.pytorch import Trainer, seed_everything
from speed import TASK, prepare, write_films

from rn50med import FineTuneModule, LinearHead, LinearProbe, ManifestDataModule, ResNet50
from rn50med.data.transforms import Radiograph
from rn50med.training.precision import fast_precision


def forward_pass(
    module: FineTuneModule, data: ManifestDataModule, device: torch.device
) -> tuple[float, float]:
    """Return the seconds that one pass over train and val takes, without gradients.

    Args:
        module: The network.
        data: The images, prepared.
        device: Where to compute.
    """
    module = module.to(device=device, memory_format=torch.channels_last).eval()
    half = torch.autocast(device.type, torch.bfloat16, enabled=fast_precision("auto") == "bf16-mixed")
    started, worked = perf_counter(), process_time()
    with torch.inference_mode(), half:
        for loader in (data.train_dataloader(), data.val_dataloader()):
            for batch in loader:
                module(batch["image"].to(device))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - started, process_time() - worked


def probe(data: ManifestDataModule, epochs: int, folder: str, checkpoints: bool) -> tuple[float, float]:
    """Return the seconds that a linear probe takes, from the first epoch to the end.

    Args:
        data: The images, prepared.
        epochs: Epochs of training, each with a validation.
        folder: Where checkpoints go.
        checkpoints: Whether to write the best and the last epoch, as `fit` does.
    """
    module = FineTuneModule(TASK, ResNet50(weights="none"), LinearHead, finetuning=LinearProbe())
    trainer = Trainer(
        max_epochs=epochs,
        devices=1,
        precision=fast_precision("auto"),
        callbacks=module.default_callbacks(folder) if checkpoints else None,
        enable_checkpointing=checkpoints,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    started, worked = perf_counter(), process_time()
    trainer.fit(module, data)
    return perf_counter() - started, process_time() - worked


def main() -> None:
    """Measure both in turn, and print a row per pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=1000, help="films in train")
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a batch")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of the linear probe")
    parser.add_argument("--pairs", type=int, default=3, help="how often each side runs")
    parser.add_argument("--no-checkpoints", action="store_true", help="leave the checkpoints out")
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    seed_everything(0, verbose=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(write_films(Path(folder), options.films), options)
        data.transforms = Radiograph(size=options.size, strength=0.0)
        images = len(data.rows_of("train")) + len(data.rows_of("val"))
        print(f"{images} images of {options.size} px, {fast_precision('auto')}, {device.type}")
        for pair in range(1, options.pairs + 1):
            module = FineTuneModule(TASK, ResNet50(weights="none"), LinearHead)
            once = forward_pass(module, data, device)
            whole = probe(data, options.epochs, folder, not options.no_checkpoints)
            ratios.append((whole[0] / once[0], whole[1] / once[1]))
            print(
                f"pair {pair}: one pass {once[0]:.1f} s, {options.epochs} epochs {whole[0]:.1f} s, ratio "
                f"{ratios[-1][0]:.2f}; processor {once[1]:.1f} s, {whole[1]:.1f} s, {ratios[-1][1]:.2f}",
                flush=True,
            )
    clock, processor = (statistics.median(values) for values in zip(*ratios, strict=True))
    print(f"median ratio {clock:.2f} (at most 1.3 is wanted), of the processor {processor:.2f}")


if __name__ == "__main__":
    main()
