"""A guess as a recipe: YAML in which every guess says why."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rn50med.strict_yaml import dump_yaml

if TYPE_CHECKING:
    from rn50med.data.guess import Guess

_COLUMN = 35  # of the comments, as in the shipped recipes
_WIDTH = 108

_MODEL = """\
model:
  backbone:
    class_path: ResNet50
    init_args:
      weights: auto                # ImageNet where it can be had, else random, said aloud
  head:
    class_path: LinearHead
    init_args:
      dropout: 0.2
  optimizer:
    class_path: torch.optim.AdamW
    init_args:
      lr: 1.0e-3                   # from random weights; ImageNet's get model.pretrained_lr_factor of it
      weight_decay: 0.05

trainer:
  max_epochs: 20
"""


def recipe_text(guess: Guess, name: str) -> str:
    """Return a recipe that `fit --recipe` takes.

    Args:
        guess: What to write.
        name: The file that it will be in, for its first lines.
    """
    lines = [
        f"# {_title(guess)}",
        "#",
        f"#   python -m rn50med inspect {_shell(guess.data['source'])} --recipe {_shell(name)}",
        f"#   python -m rn50med fit --recipe {_shell(name)}",
        "#",
        "# Written by `rn50med inspect --write` from the data alone. Beside a value is why it was chosen;",
        "# look at each line that says CHECK before you trust a number.",
        "seed_everything: 0",
        "",
        "task:                              # the one place that names the classes",
        *_line(2, "class_path", guess.task, guess.reasons.get("task", "")),
        "  init_args:",
    ]
    for key, value in guess.options.items():
        lines += _line(4, key, value, guess.reasons.get(f"task.{key}", ""))
    lines += ["", "data:", *_data(guess), "", _MODEL]
    return "\n".join(lines)


def _title(guess: Guess) -> str:
    options = guess.options
    if guess.task == "Binary":
        return _one_line(f"{options['positive']} against {options['negative']}.")
    names = options.get("names") or options.get("labels") or ()
    return f"{len(names)} {'findings, each present or absent' if guess.task == 'MultiLabel' else 'classes'}."


def _data(guess: Guess) -> list[str]:
    lines: list[str] = []
    for key, value in guess.data.items():
        if isinstance(value, Mapping):
            lines.append(f"  {key}:")
            for inner, cell in value.items():
                lines += _line(4, inner, cell, guess.reasons.get(f"data.{key}.{inner}", ""))
        else:
            lines += _line(2, key, value, guess.reasons.get(f"data.{key}", ""))
    return [
        *lines,
        "  transforms:",
        *_line(4, "class_path", guess.transforms, guess.reasons.get("data.transforms", "")),
        "    init_args:",
        *_line(6, "size", 224, "pixels; 128 is faster, and misses faint findings"),
        *_line(2, "batch_size", 32, "on one device"),
    ]


def _line(indent: int, key: str, value: Any, reason: str) -> list[str]:
    """Return a key with its value, and its reason beside it, or above it where there is no room."""
    text = f"{' ' * indent}{_word(key)}: {_value(value, indent)}"
    if not reason:
        return [text]
    reason = _one_line(reason)
    beside = f"{text:<{_COLUMN - 1}} # {reason}"
    if "\n" not in text and len(beside) <= _WIDTH:
        return [beside]
    return [*(f"{' ' * indent}# {part}" for part in _wrapped(reason, _WIDTH - indent - 2)), text]


def _value(value: Any, indent: int) -> str:
    if isinstance(value, list | tuple):
        flow = f"[{', '.join(map(_word, value))}]"
        if len(flow) + indent <= 90:
            return flow
        return "".join(f"\n{' ' * (indent + 2)}- {_word(each)}" for each in value)
    return _word(value)


def _word(value: Any) -> str:
    """Return a value as YAML writes it; text in quotes unless it is a plain word."""
    if isinstance(value, str):
        return (
            value
            if re.fullmatch(r"[A-Za-z_][\w.-]*|\.{0,2}/[\w./-]+", value) and _is_text(value)
            else _quoted(value)
        )
    return dump_yaml(value).removesuffix("...\n").strip()


def _is_text(value: str) -> bool:
    return value.casefold() not in {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"}


def _quoted(text: str) -> str:
    """Return text in double quotes, on one line whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'


def _shell(text: str) -> str:
    return shlex.quote(_one_line(text))


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
