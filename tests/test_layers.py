"""The house stands: every module imports only from floors below its own, and every room is small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "rn50med"
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = (
    ("errors",),
    ("network", "parts", "strict_yaml"),
    ("recipe", "plugins"),
    ("evaluation",),
    ("losses",),
    ("tasks",),
    ("data", "model"),
    ("training", "testing"),
    ("deployment",),
    ("cli",),
    ("__init__", "__main__"),
)
"""Bottom to top; rooms of one floor never import each other, but a wing's own files do."""

MOST_LINES = 300
MOST_BODY_LINES = 40
ROOT_NAMES_FOR_ALL = {"__version__"}  # text, which the root holds before it imports anything


def room(module: str) -> str:
    """Return the file or wing right below ``rn50med`` that a dotted module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def floor(module: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(module) in rooms)


def module_of(path: Path) -> str:
    parts = ["rn50med", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of rn50med that a file imports anywhere, in functions and for types too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "rn50med")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno} imports relatively; name the whole path."
            if node.module == "rn50med":
                yield from (_from_root(alias.name) for alias in node.names)
            elif node.module is not None and node.module.startswith("rn50med."):
                yield node.module


def _from_root(name: str) -> str:
    """Return the module behind ``from rn50med import name``: a room, or the root itself."""
    if name in ROOT_NAMES_FOR_ALL:
        return "rn50med.errors"
    return f"rn50med.{name}" if any(name in rooms for rooms in FLOORS) else "rn50med"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_module_imports_only_from_floors_below_its_own(path: Path) -> None:
    own = module_of(path)
    if own == "rn50med.__init__":
        return  # the roof, which shows everything
    wrong = [
        f"{own} (floor {floor(own)}) imports {name} (floor {floor(name)})"
        for name in imported(path)
        if room(name) != room(own) and floor(name) >= floor(own)
    ]
    assert not wrong


def test_every_room_has_its_floor_and_every_floor_its_rooms() -> None:
    rooms = {room(module_of(path)) for path in FILES}
    placed = [name for names in FLOORS for name in names]
    assert sorted(placed) == sorted(rooms)


def test_the_root_imports_nothing_of_ours_until_it_is_asked() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    outside = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in outside for alias in node.names}
    modules = {node.module for node in outside if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names | modules if name and name.startswith("rn50med")}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_is_small_and_so_are_its_functions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    functions = [
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {node.name: body_lines(node) for node in functions if body_lines(node) > MOST_BODY_LINES}
    assert lines <= MOST_LINES
    assert not long


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f():\n    from rn50med.cli.fit import fit\n", ["rn50med.cli.fit"]),
        ("if TYPE_CHECKING:\n    import rn50med.training.run\n", ["rn50med.training.run"]),
        ("from rn50med import recipe, __version__, Run\n", ["rn50med.recipe", "rn50med.errors", "rn50med"]),
        ("import torch\nfrom rn50medical import x\n", []),
    ],
)
def test_an_import_is_seen_wherever_it_stands(tmp_path: Path, code: str, expected: list[str]) -> None:
    path = tmp_path / "module.py"
    path.write_text(code)
    assert list(imported(path)) == expected
