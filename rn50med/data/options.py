"""What a data module refuses before it reads anything."""

from __future__ import annotations

from collections.abc import Sequence

from rn50med.data.gate import ALLOWABLE
from rn50med.data.manifest import OWN_COLUMNS
from rn50med.errors import RecipeError, unknown
from rn50med.tasks import Task


def check_options(task: Task, batch_size: int, num_workers: int | None, seed: int) -> None:
    """Refuse options out of range, all at once.

    Args:
        task: What is predicted.
        batch_size: Images in a batch.
        num_workers: Processes that prepare batches.
        seed: Of splits, shuffling and random transforms.

    Raises:
        RecipeError: With all that is out of range.
    """
    least = {"data.batch_size": (batch_size, 1), "data.num_workers": (num_workers or 0, 0), "seed": (seed, 0)}
    faults = [f"{key}: is {value}; give {low} or more." for key, (value, low) in least.items() if value < low]
    faults += [
        f"task: column {name!r} cannot hold the label, since the manifest has one of that name; rename it."
        for name in task.columns
        if name in OWN_COLUMNS
    ]
    if faults:
        raise RecipeError("\n  ".join(faults))


def check_gate(most_bad_images: float, allow: Sequence[str]) -> None:
    """Refuse what cannot be asked of the gate.

    Args:
        most_bad_images: Share of images that may be left out.
        allow: Codes of findings that are let through.

    Raises:
        RecipeError: If the share is none, or there is no such finding.
    """
    if not 0 <= most_bad_images <= 1:
        raise RecipeError(f"data.most_bad_images: is {most_bad_images}; give a share from 0 to 1.")
    if wrong := [code for code in allow if code not in ALLOWABLE]:
        remedy = f"What can be allowed: {', '.join(sorted(ALLOWABLE))}."
        raise RecipeError(f"data.allow: {unknown('code', wrong[0], ALLOWABLE, remedy)}")
