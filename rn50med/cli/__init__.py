"""The command line: a table of commands, each loaded when it is asked for."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from io import TextIOWrapper
from types import MappingProxyType
from typing import cast

from rn50med.errors import RecipeError, Rn50MedError, unknown

COMMANDS = MappingProxyType(
    {
        "inspect": ("rn50med.cli.inspect", "say what is wrong with images and labels, before any training"),
        "fit": ("rn50med.cli.fit", "train, test once, and write a run folder with its report"),
        "test": ("rn50med.cli.test", "evaluate a run again, on its own or another site's images"),
        "predict": ("rn50med.cli.predict", "give probabilities and calls for images without labels"),
        "explain": ("rn50med.cli.explain", "draw heat maps of what a model's scores rest on"),
        "crossval": (
            "rn50med.cli.crossval",
            "train and predict by patient-wise folds, with their spread and an ensemble",
        ),
        "compare": (
            "rn50med.cli.compare",
            "paired difference of two recipes, or the spread over seeds of one",
        ),
        "report": ("rn50med.cli.report", "draw the report of a run again"),
        "recipes": ("rn50med.cli.recipes", "list, show and copy recipes"),
        "doctor": ("rn50med.cli.doctor", "say what this machine can do"),
    }
)
"""Each command's module, which has ``run(argv) -> int``, and one line of help."""

_STORAGE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS})
_BROKEN_PIPE = 128 + 13  # SIGPIPE, as a shell reports it
_INTERRUPTED = 128 + 2  # SIGINT
_TERMINATED = 128 + 15  # SIGTERM
_RESOURCES = 6  # a worker, another process or the memory
_GAVE_OUT = re.compile(r"DataLoader worker|can't allocate memory|Connection closed by peer", re.IGNORECASE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The arguments after the program's name; those of the process where None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug, offline, arguments = _common(arguments)
    if isinstance(
        sys.stdout, TextIOWrapper
    ):  # a class name that the terminal cannot write is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if offline:
            from rn50med.network import forbid_network  # noqa: PLC0415 - only where it is asked for

            forbid_network()
        code = _dispatch(arguments)
        sys.stdout.flush()  # here, where a closed pipe can still be met quietly
    except SystemExit as stop:  # argparse and jsonargparse leave this way
        return _code(stop)
    except (Exception, KeyboardInterrupt) as error:  # the last place to meet them
        return _report(error, debug)
    return code


def _common(arguments: Sequence[str]) -> tuple[bool, bool, list[str]]:
    """Take the options that every command has out of the arguments, wherever they stand."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    ours, rest = arguments[:end], list(arguments[end:])
    debug = "--debug" in ours
    offline = "--offline" in ours or _offline_by_environment()
    return debug, offline, [word for word in ours if word not in {"--debug", "--offline"}] + rest


def _offline_by_environment() -> bool:
    if not os.environ.get("RN50MED_OFFLINE"):
        return False
    from rn50med.network import is_offline  # noqa: PLC0415 - 40 ms, only where it may be asked for

    return is_offline()


def _dispatch(arguments: Sequence[str]) -> int:
    name = arguments[0] if arguments else "--help"
    if name in {"-h", "--help", "help"}:
        (sys.stdout if arguments else sys.stderr).write(_help())
        return 0 if arguments else RecipeError.exit_code
    if name == "--version":
        from rn50med import __version__  # noqa: PLC0415 - a module below may not wait for the root

        sys.stdout.write(f"rn50med {__version__}\n")
        return 0
    if name not in COMMANDS:
        raise RecipeError(unknown("command", name, COMMANDS, "See `rn50med --help`."))
    run = cast(Callable[[Sequence[str]], int], import_module(COMMANDS[name][0]).run)
    return run(list(arguments[1:]))


def _help() -> str:
    width = max(map(len, COMMANDS))
    table = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return (
        "usage: rn50med COMMAND [OPTIONS]\n\n"
        "Fine-tune a ResNet-50 on medical images.\n\n"
        f"commands:\n{table}\n\n"
        "options of every command:\n"
        "  --help          what it does and what it takes\n"
        "  --offline       refuse every connection (or RN50MED_OFFLINE=1)\n"
        "  --debug         show where an error comes from\n"
        "  --version       print the version\n\n"
        "start with: rn50med fit --recipe chest_xray\n"
    )


def _report(error: BaseException, debug: bool) -> int:
    """Say what went wrong on standard error and return the exit code of its kind."""
    if isinstance(error, KeyboardInterrupt):
        sys.stderr.write("rn50med: interrupted\n")
        return _INTERRUPTED
    if isinstance(error, BrokenPipeError):  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    if debug or _exit_code(error) == 1:
        sys.stderr.write("".join(traceback.format_exception(error)))
    sys.stderr.write(f"rn50med: {_sentence(error)}\n")
    return _exit_code(error)


def _exit_code(error: BaseException) -> int:
    if isinstance(error, Rn50MedError):
        return error.exit_code
    if isinstance(error, OSError) and error.errno in _STORAGE:
        return 5  # storage, as `StorageError`
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _RESOURCES
    if isinstance(error, RuntimeError) and _GAVE_OUT.search(str(error)):
        return _RESOURCES
    return 1


def _sentence(error: BaseException) -> str:
    if isinstance(error, Rn50MedError):
        # torch puts the traceback of a worker process before the words
        return str(error).strip().rpartition(f"\n{type(error).__module__}.{type(error).__qualname__}: ")[2]
    if _exit_code(error) == 5:
        place = getattr(error, "filename", None) or "disk"
        reason = getattr(error, "strerror", error)
        return f"{place}: cannot be written ({reason}); make room, or name another place."
    if _exit_code(error) == _RESOURCES:
        return (
            "the memory or another process gave out; lower --data.batch_size, or give --data.num_workers 0."
        )
    return "this is a bug of ours, not a fault of yours; please report it with the lines above."


def _code(stop: SystemExit) -> int:
    if type(stop).__name__ == "SIGTERMException":  # Lightning's, while it evaluates
        return _TERMINATED
    if isinstance(stop.__context__, KeyboardInterrupt):  # of which Lightning makes an exit with 1
        return _INTERRUPTED
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code
    sys.stderr.write(f"{stop.code}\n")
    return 1
