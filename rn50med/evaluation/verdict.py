"""Whether a model learnt its training images by heart, in numbers, and the one knob to turn next."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rn50med.evaluation.figure import Figure

FEW_PATIENTS = 20
"""Patients of a class below which more of them help more than any knob; our choice."""

SATURATED = 0.99
"""How far val is when epochs can no longer be told apart, an AUROC of 0.995; our choice."""

LARGE_GAP = 0.04
"""A gap from which it matters, where train is above val's interval too, an AUROC's 0.02; our choice."""

UNLEARNT = 0.2
"""How far train is, of images that were learnt from, when it is near chance, an AUROC of 0.6; our choice."""

WORTHWHILE = 0.01
"""What the last quarter of the epochs has to add for more to be worthwhile, an AUROC's 0.005; our choice."""

UNSURE = 0.4
"""Width of val's interval from which val hardly tells two epochs apart, an AUROC's 0.2; our choice."""

LARGE_LOSS_GAP = 0.02
"""What val's log-loss is above train's, at its lower limit, from which it matters; our choice."""

OVERCONFIDENT = 1.5
"""Ratio of the log-losses of val and train, at its lower limit, from which val is surprised; our choice."""


@dataclass(frozen=True)
class Account:
    """What a training came to, at the epoch that was kept.

    What counts as much is said of the way from chance to perfect, so that one rule serves figures of which
    more is better and of which less is: an AUROC of 0.75 is half-way, and so is half of the error that always
    saying the median makes.

    Args:
        monitor: Name of the figure that is watched.
        train: That figure on images of train, as they are, without random changes.
        val: The same on val, with its interval by patient.
        train_loss: Mean loss of the same images of train, before any temperature.
        val_loss: Of val, with its interval by patient.
        best_epoch: The epoch that was kept, from 0.
        epochs_run: Epochs that were trained.
        epochs_planned: Epochs that were asked for.
        gain: What the last quarter of the epochs added to the best figure of val.
        patients: Patients of train, of each class or with each finding.
        effective_epochs: Images that were trained on, for each image of train.
        probes: Whether the head alone was trained.
        blends: Whether mixup is left to be turned on: it is off, and the task can blend its targets.
        chance: What the figure is on val without having learnt anything.
        perfect: What it is without a fault.
        probable: Whether the model says probabilities, which can be too sure of themselves; not a number.
        pretrained: Whether the backbone started from weights that were learnt.
    """

    monitor: str
    train: float
    val: Figure
    train_loss: float
    val_loss: Figure
    best_epoch: int
    epochs_run: int
    epochs_planned: int
    gain: float
    patients: Mapping[str, int]
    effective_epochs: float
    probes: bool = False
    blends: bool = True
    chance: float = 0.5
    perfect: float = 1.0
    probable: bool = True
    pretrained: bool = True

    @property
    def _way(self) -> float:
        """From chance to perfect; below 0 where less is better, nan where chance makes no error."""
        return (self.perfect - self.chance) or math.nan

    def far(self, figure: float) -> float:
        """Return how far a figure is on the way from chance, 0, to perfect, 1.

        Args:
            figure: Of train or val.
        """
        return (figure - self.chance) / self._way

    @property
    def gap(self) -> float:
        """How much better the figure of train is than that of val."""
        return math.copysign(1.0, self._way) * (self.train - self.val.value)

    @property
    def fewest(self) -> tuple[str, int]:
        """The class with the fewest patients, and their number; nothing where there are no classes."""
        return min(self.patients.items(), key=lambda item: item[1], default=("", FEW_PATIENTS))

    @property
    def overfits(self) -> bool:
        """Whether train is better than val by more than chance and by enough to matter."""
        end = self.val.high if self._way > 0 else self.val.low
        within = self.far(self.train) <= self.far(end)  # not where there is no interval: the gap alone counts
        return self.far(self.train) - self.far(self.val.value) >= LARGE_GAP and not within

    @property
    def first_quarter(self) -> bool:
        """Whether the epoch that was kept is in the first quarter."""
        return (self.best_epoch + 1) * 4 <= self.epochs_run

    @property
    def unfinished(self) -> bool:
        """Whether the last epoch is the best, and val still got better."""
        last = self.best_epoch + 1 == self.epochs_run == self.epochs_planned
        return last and self.gain >= WORTHWHILE * abs(self._way)

    @property
    def surprised(self) -> bool:
        """Whether val's log-loss is above train's, by more than chance and by enough to matter."""
        low = self.val_loss.value if math.isnan(self.val_loss.low) else self.val_loss.low
        large = low > OVERCONFIDENT * self.train_loss and low - self.train_loss >= LARGE_LOSS_GAP
        return self.probable and large


@dataclass(frozen=True)
class Knob:
    """What to turn next.

    Args:
        code: Short name of the finding.
        turn: What was found and what to do, a sentence.
    """

    code: str
    turn: str


Rule = tuple[Callable[[Account], bool], str, str]

RULES: tuple[Rule, ...] = (
    (
        lambda found: math.isnan(found.val.value) or math.isnan(found.train),
        "undefined",
        "{monitor} is not defined on train and val; put more patients into val, with other --data.splits.",
    ),
    (
        lambda found: found.fewest[1] < FEW_PATIENTS and (found.probes or not found.pretrained),
        "few-patients",
        "{name} has only {number} patients in train; more of them, or other weights to start from, "
        "--model.backbone.weights, help more than any setting.",
    ),
    (
        lambda found: found.fewest[1] < FEW_PATIENTS,
        "few-patients",
        "{name} has only {number} patients in train; more of them help more than any setting, and until "
        "there are, train the head alone, --model.finetuning LinearProbe.",
    ),
    (
        lambda found: found.unfinished,
        "unfinished",
        "val still got better in the last epoch; give more epochs, --trainer.max_epochs.",
    ),
    (
        lambda found: found.far(found.train) < UNLEARNT,
        "unlearnt",
        "not even the images of train were learnt; check the labels with `rn50med inspect`, then try another "
        "learning rate, --model.optimizer.lr.",
    ),
    (
        lambda found: found.overfits and found.first_quarter,
        "overfits-early",
        "the best epoch came in the first quarter, and what followed was learnt by heart; lower the learning "
        "rate, --model.optimizer.lr.",
    ),
    (
        lambda found: found.overfits,
        "overfits",
        "train is better than val by more than chance; raise the random changes, --data.transforms.strength.",
    ),
    (
        lambda found: found.probable and found.far(found.val.value) >= SATURATED,
        "saturated",
        "val is called almost without fault, so that it cannot tell two settings apart; compare by its "
        "log-loss, or by images of another site.",
    ),
    (
        lambda found: found.surprised and not found.blends,
        "overconfident",
        "the order is right but the probabilities are too sure of themselves; raise the dropout, "
        "--model.head.dropout.",
    ),
    (
        lambda found: found.surprised,
        "overconfident",
        "the order is right but the probabilities are too sure of themselves; blend images, "
        "--model.regularisation.mixup 0.2.",
    ),
    (
        lambda found: abs(found.far(found.val.high) - found.far(found.val.low)) > UNSURE,
        "unsure",
        "val is too small to tell two settings apart; compare them with `rn50med crossval`.",
    ),
)
"""Findings in the order in which they are looked for, and what to do; the first that holds is told."""

_NOTHING = Knob(
    "nothing", "nothing stands out; train another seed, --seed_everything, to see how much is chance."
)


def knob(found: Account) -> Knob:
    """Return the one knob to turn next.

    Args:
        found: What the training came to.

    Example:
        >>> val = Figure(0.8, 0.75, 0.85, 200)
        >>> loss = Figure(0.5, 0.4, 0.6, 200)
        >>> knob(Account("auroc", 0.99, val, 0.1, loss, 5, 10, 10, 0.0, {"ill": 90}, 10.0)).code
        'overfits'
    """
    name, number = found.fewest
    for holds, code, turn in RULES:
        if holds(found):
            return Knob(code, turn.format(monitor=found.monitor, name=name, number=number))
    return _NOTHING


def as_plain(found: Account) -> dict[str, Any]:
    """Return an account and its knob in plain types, for ``environment.json``.

    Args:
        found: What the training came to.
    """
    turned = knob(found)
    return {
        "monitor": found.monitor,
        "train": _finite(found.train),
        "val": found.val.as_json(),
        "gap": _finite(found.gap),
        "train_loss": _finite(found.train_loss),
        "val_loss": found.val_loss.as_json(),
        "loss_gap": _finite(found.val_loss.value - found.train_loss),
        "best_epoch": found.best_epoch,
        "epochs_run": found.epochs_run,
        "patients": dict(found.patients),
        "effective_epochs": _finite(found.effective_epochs),
        "finding": turned.code,
        "next": turned.turn,
    }


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def in_words(plain: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return an account as `as_plain` gives it, a name and a sentence each.

    Args:
        plain: The account.

    Example:
        >>> val, loss = Figure(0.8, 0.75, 0.85, 200), Figure(0.5, 0.4, 0.6, 200)
        >>> account = Account("auroc", 0.99, val, 0.1, loss, 5, 10, 10, 0.0, {"ill": 90}, 9.9)
        >>> in_words(as_plain(account))[0]
        ('Train against val', 'auroc 0.990 on train, 0.800 (0.750 to 0.850) on val: a gap of 0.190')
    """
    monitor = str(plain["monitor"]).replace("_", " ")
    patients = ", ".join(f"{name} {number}" for name, number in plain["patients"].items())
    kept = f"epoch {plain['best_epoch'] + 1} of {plain['epochs_run']} was kept"
    rows = [
        ("Train against val", _side_by_side(monitor, plain["train"], plain["val"], plain["gap"])),
        ("Loss of both", _side_by_side("mean", plain["train_loss"], plain["val_loss"], plain["loss_gap"])),
        ("Best epoch", kept),
        ("Patients of train", patients),
        ("Each image of train was seen", f"{_number(plain['effective_epochs'], 1)} times"),
        ("What to turn next", plain["next"]),
    ]
    return tuple((name, text) for name, text in rows if text)


def _side_by_side(name: str, train: float | None, val: Mapping[str, Any], gap: float | None) -> str:
    interval = "" if val["low"] is None else f" ({_number(val['low'])} to {_number(val['high'])})"
    return (
        f"{name} {_number(train)} on train, {_number(val['value'])}{interval} on val: a gap of {_number(gap)}"
    )


def _number(value: float | None, places: int = 3) -> str:
    return "undefined" if value is None else f"{value:.{places}f}"
