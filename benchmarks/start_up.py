"""What light commands cost before they answer: CPU time, and the heavy modules they pull in."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from statistics import median

HEAVY = ("torch", "pandas", "lightning", "monai", "timm", "numpy", "jsonargparse")
COMMANDS = (
    (("--help",), 0.5),
    (("--version",), 0.5),
    (("recipes",), 0.5),
    (("recipes", "show", "chest_xray"), 0.5),
    (("recipies",), 0.5),  # no such command
    (("fit", "--help"), 10.0),
)
"""Each command, and the CPU time in seconds that it may take."""

# In a process of its own, started as `python -m rn50med` is; process_time counts from its first instruction.
MEASURE = (
    "import sys, time\n"
    "from rn50med.__main__ import main\n"
    "code = main({arguments!r})\n"
    "heavy = ' '.join(name for name in {heavy!r} if name in sys.modules)\n"
    "sys.stderr.write(f'\\n{{time.process_time()}} {{code}} {{heavy}}')\n"
)


def measure(arguments: tuple[str, ...]) -> tuple[float, int, list[str]]:
    """Run a command once and return its CPU time in seconds, its exit code and its heavy modules.

    Args:
        arguments: Words after ``rn50med``.
    """
    code = MEASURE.format(arguments=list(arguments), heavy=HEAVY)
    with tempfile.TemporaryDirectory() as folder:  # a working folder may hold recipes
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
        )
    seconds, exit_code, *heavy = done.stderr.splitlines()[-1].split()
    return float(seconds), int(exit_code), heavy


def main() -> int:
    """Print a row per command and return 1 if one is over its limit or a light one is heavy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="how often each light command runs")
    options = parser.parse_args()
    over = 0
    print(f"{'command':<32}  {'CPU s':>6}  {'limit':>5}  {'exit':>4}  heavy modules")
    for arguments, limit in COMMANDS:
        light = limit < 1
        runs = [measure(arguments) for _ in range(options.repeats if light else 1)]
        seconds, (_, code, heavy) = median(run[0] for run in runs), runs[-1]
        failed = seconds >= limit or (light and bool(heavy))
        over += failed
        mark = "  OVER" if failed else ""
        name = f"rn50med {' '.join(arguments)}"
        print(
            f"{name:<32}  {seconds:>6.2f}  {limit:>5}  {code:>4}  {' '.join(heavy) or '-'}{mark}", flush=True
        )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
