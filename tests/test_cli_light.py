"""Commands that need no torch start at once; errors are one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rn50med
from rn50med.cli import COMMANDS, main
from rn50med.errors import DataError, Interrupted, RecipeError

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "pandas", "jsonargparse", "lightning", "numpy", "monai", "timm")
LIMIT_S = 0.5  # of CPU time

MEASURE = (
    "import sys, time\n"
    "from rn50med.__main__ import main\n"
    "code = main({arguments!r})\n"
    "heavy = [name for name in {heavy!r} if name in sys.modules]\n"
    "sys.stderr.write(f'\\nRESULT {{code}} {{heavy}} {{time.process_time()}}')\n"
)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "commands:"),
        (["--version"], 0, f"rn50med {rn50med.__version__}"),
        (["recipes"], 0, "chest_xray"),
        (["recipes", "show", "chest_xray"], 0, "trainer:"),
        (["recipes", "--help"], 0, "copy"),
        (["recipies"], 2, "did you mean 'recipes'?"),
        ([], 2, "commands:"),
        (["recipes", "show", "chest_xry"], 2, "did you mean 'chest_xray'?"),
    ],
)
def test_light_commands_take_under_half_a_second_and_no_torch(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(arguments=arguments, heavy=HEAVY)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    result = done.stderr.splitlines()[-1].split(maxsplit=2)
    assert result[1] == str(code)
    assert result[2].startswith("[] ")
    assert float(result[2].split()[-1]) < LIMIT_S
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_importing_the_package_is_instant() -> None:
    code = f"import sys, rn50med; dir(rn50med); print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_loaded_when_they_are_used() -> None:
    assert rn50med.Rn50MedError is RecipeError.__mro__[1]
    assert callable(rn50med.load_recipe)
    assert set(rn50med.__all__) <= set(dir(rn50med))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        rn50med.Nothing  # noqa: B018


def test_every_public_name_has_a_home() -> None:
    assert all(name == "__version__" or rn50med._home(name) for name in rn50med.__all__)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> list[list[str]]:
    """Put a command in the place of `doctor` that raises, and return what it is called with."""
    import types

    calls: list[list[str]] = []

    def run(argv: list[str]) -> int:
        calls.append(argv)
        if error is not None:
            raise error
        return 0

    module = types.ModuleType(COMMANDS["doctor"][0])
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, COMMANDS["doctor"][0], module)
    return calls


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RecipeError("x.yaml: wrong; mend it."), 2, "rn50med: x.yaml: wrong; mend it.\n"),
        (DataError("a"), 3, "rn50med: a\n"),
        (Interrupted("saved", 15), 143, "rn50med: saved\n"),
        (KeyboardInterrupt(), 130, "rn50med: interrupted\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/x"),
            5,
            "/data/x: cannot be written (No space left on device)",
        ),
        (MemoryError(), 6, "the memory or another process gave out"),
    ],
)
def test_a_known_error_is_one_sentence_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    failing(monkeypatch, error)
    assert main(["doctor"]) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1


def test_a_bug_of_ours_shows_where_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, ZeroDivisionError("oops"))
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in shown
    assert "a bug of ours" in shown.splitlines()[-1]


def test_debug_shows_the_traceback_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = failing(monkeypatch, RecipeError("wrong"))
    assert main(["doctor", "--a", "1", "--debug"]) == main(["--debug", "doctor", "--a", "1"]) == 2
    assert calls == [["--a", "1"]] * 2
    assert capsys.readouterr().err.count("Traceback") == 2


@pytest.mark.parametrize(("arguments", "value"), [(["doctor", "--offline"], None), (["doctor"], "1")])
def test_offline_forbids_the_network_before_the_command_runs(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], value: str | None
) -> None:
    import rn50med.network

    forbidden: list[bool] = []
    monkeypatch.setattr(rn50med.network, "forbid_network", lambda: forbidden.append(True))
    if value is None:
        monkeypatch.delenv("RN50MED_OFFLINE", raising=False)
    else:
        monkeypatch.setenv("RN50MED_OFFLINE", value)
    calls = failing(monkeypatch, None)
    assert main(arguments) == 0
    assert (forbidden, calls) == ([True], [[]])


def test_a_reader_that_has_gone_is_met_quietly(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "rn50med", "recipes", "show", "chest_xray"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_copy_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["recipes", "copy", "chest_xray", "mine.yaml"]) == 0
    before = (tmp_path / "mine.yaml").read_bytes()
    assert main(["recipes", "copy", "chest_xray", "mine.yaml"]) == 5
    assert (tmp_path / "mine.yaml").read_bytes() == before
    assert main(["recipes", "copy", "chest_xray", "no/such/folder.yaml"]) == 5
    assert main(["recipes", "copy", "chest_xray", "labels.csv"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_working_folder_is_not_on_the_import_path(tmp_path: Path) -> None:
    for name in ("ruamel", "evilmod", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('MARK', 'w').write('imported')\n")
    (tmp_path / "r.yaml").write_text("trainer: {}\n")
    (tmp_path / "torch").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "rn50med", "recipes", "show", "r.yaml"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "MARK").exists()
