"""What README and docs say is so: their Python runs, their commands parse, their links lead somewhere."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
import types
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from itertools import dropwhile, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rn50med.cli import COMMANDS, _common
from rn50med.errors import RecipeError

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "benchmarks" / "README.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
NOT_RUN = re.compile(r"<!-- not run[^>]*-->\s*$")
REGISTRIES = (
    *(f"{name}.org" for name in ("pypi", "anaconda", "download.pytorch")),
    "conda-forge",
    "npmjs",
)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the code blocks of a page, but for those after a comment `<!-- not run: why -->`."""
    text = page.read_text(encoding="utf-8")
    return [
        re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        for found in FENCE.finditer(text)
        if found["language"] in languages and not NOT_RUN.search(text[: found.start()])
    ]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- Python


def runnable(page: Path) -> list[str]:
    """Return a page's Python, without what stands word for word in the README, where it runs already."""
    readme = ROOT / "README.md"
    elsewhere = [] if page == readme else blocks(readme, "python")
    return [block for block in blocks(page, "python") if block not in elsewhere]


def small_films(folder: Path) -> None:
    """Write what the blocks name: `labels.csv`, its films, and `new_films`."""
    rng = np.random.default_rng(0)
    lines = ["image,patient_id,label,split"]
    for number in range(28):
        split = "train" if number < 16 else "val" if number < 22 else "test"
        pixels = rng.integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{number},{('normal', 'pneumonia')[number % 2]},{split}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "new_films").mkdir()
    shutil.copy(folder / "0.png", folder / "new_films")


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every Trainer train one step of one epoch; let every image be small."""
    import lightning.pytorch

    import rn50med.cli.assembly
    from rn50med.data.transforms import Radiograph

    class Short(lightning.pytorch.Trainer):
        def __init__(self, **options: Any) -> None:
            few = {"max_epochs": 1, "limit_train_batches": 1, "enable_progress_bar": False}
            super().__init__(**options | few | {"enable_model_summary": False})

    drawn = Radiograph.__init__
    monkeypatch.setattr(lightning.pytorch, "Trainer", Short)
    monkeypatch.setattr(rn50med.cli.assembly, "Trainer", Short)
    monkeypatch.setattr(
        Radiograph, "__init__", lambda self, size=224, strength=1.0: drawn(self, 32, strength)
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name_of)
def test_every_python_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_films(tmp_path)
    make_small(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("RN50MED_OFFLINE", "1")
    main = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", main)
    for number, block in enumerate(runnable(page), start=1):
        file = re.match(
            r"# (\S+/\S+\.py)\n", block
        )  # a first line such as `# my_package/heads.py` names the file
        path = tmp_path / (file[1] if file else f"block_{number}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block, encoding="utf-8")
        if file:
            monkeypatch.delitem(sys.modules, file[1][:-3].replace("/", "."), raising=False)
        else:
            vars(main).update(runpy.run_path(str(path), init_globals=vars(main), run_name="page"))
    for module in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        monkeypatch.delitem(sys.modules, module)


# ---------------------------------------------------------------- commands


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """Return the rn50med command lines of a page: those in blocks, and those in the prose."""
    found: list[tuple[str, list[str]]] = []
    lines = [line for block in blocks(page, "bash", "sh", "console") for line in joined(block)]
    found += [("block", words) for line in lines for words in calls(line)]
    for code in re.findall(r"`((?:python -m )?rn50med [^`]+)`", prose(page)):
        found += [("prose", words) for words in calls(code.replace("\n", " "))]
    return found


def joined(block: str) -> list[str]:
    return [line.removeprefix("$ ") for line in block.replace("\\\n", " ").splitlines()]


def calls(line: str) -> list[list[str]]:
    """Return the words after `rn50med` of each call in a line of the shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;>"):
            parts.append([])
        else:
            parts[-1].append(word)
    kept = []
    for part in parts:
        words = list(dropwhile(lambda word: re.fullmatch(r"[A-Z_0-9]+=.*", word), part))
        if words[:3] == ["python", "-m", "rn50med"]:
            kept.append(words[3:])
        elif words[:1] == ["rn50med"]:
            kept.append(words[1:])
    return kept


COMMAND_LINES = [
    pytest.param(where, tuple(words), id=f"{name_of(page)}: {' '.join(words)}")
    for page in PAGES
    for where, words in dict.fromkeys((where, tuple(words)) for where, words in commands(page))
]


class Parsed(Exception):  # noqa: N818 - no fault
    """Stops a command once its options are read."""


def parse_by(command: str, words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the options of a command with its own parser, and do nothing else."""
    from rn50med.cli import options

    def stop(self: ArgumentParser, *arguments: Any, **more: Any) -> tuple[Namespace, list[str]]:
        _, rest = ArgumentParser.parse_known_args(self, *arguments, **more)
        if command in {"test", "inspect", "crossval"}:
            parse_fit(["--recipe", "chest_xray", *rest[command == "inspect" :]])  # without the source
        elif rest:
            raise RecipeError(f"{command}: unknown options {rest}")
        raise Parsed

    monkeypatch.setattr(options.Options, "parse_known_args", stop)
    import importlib

    with pytest.raises(Parsed):
        importlib.import_module(COMMANDS[command][0]).run(list(words))


def parse_fit(words: Sequence[str]) -> None:
    from rn50med.cli.arguments import prepare
    from rn50med.cli.assembly import Assembly

    class OnlyParsed(Assembly):
        def instantiate_classes(self) -> None:
            """Build nothing."""

    OnlyParsed(prepare(words))


def stand_ins(words: Sequence[str], folder: Path) -> None:
    """Make the recipes that a command names and that a user would have."""
    for option, value in pairwise(words):
        if option == "--recipe" and value.endswith(".yaml"):
            (folder / value).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "recipes" / "chest_xray.yaml", folder / value)
        if option == "--trust":
            heads = folder / value / "heads.py"
            heads.parent.mkdir()
            heads.write_text("from rn50med import LinearHead\n\n\nclass MeanMaxHead(LinearHead):\n    pass\n")
            (folder / value / "__init__.py").write_text("")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("where", "words"), COMMAND_LINES)
def test_every_command_line_parses(
    where: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    stand_ins(words, tmp_path)
    _, _, kept = _common(words)
    if not kept or kept[0].startswith("-"):
        assert not kept or kept[0] in {"--help", "--version"}
        return
    command, options = kept[0], kept[1:]
    assert command in COMMANDS
    if "--help" in options or (where == "prose" and not options):
        return
    if command == "recipes":
        import rn50med.cli

        assert rn50med.cli.main(kept) == 0
    elif command == "fit":
        parse_fit(options if "--recipe" in options else ["--recipe", "chest_xray", *options])
    else:
        parse_by(command, options, monkeypatch)


def test_a_wrong_option_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="bath_size"):
        parse_fit(["--recipe", "chest_xray", "--data.bath_size", "4"])
    with pytest.raises(RecipeError, match="unknown options"):
        parse_by("predict", ["--run", "r", "--images", "i", "--outptu", "x"], monkeypatch)
    assert calls("A=1 pip install . && python -m rn50med fit --x > o | rn50med doctor # why") == [
        ["fit", "--x"],
        ["doctor"],
    ]


# ---------------------------------------------------------------- words and links


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in link and not link.startswith("#"):
            assert (page.parent / link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_no_package_registry_is_named(page: Path) -> None:
    text = page.read_text(encoding="utf-8").casefold()
    assert [host for host in REGISTRIES if host in text] == []


# one thing, one word; the second stands where no option, key or name of another project is meant
OTHER_WORDS = {
    "recall": "sensitivity", "true positive rate": "sensitivity", "auc": "AUROC", "roc auc": "AUROC",
    "validation set": "val", "configuration file": "recipe", "config file": "recipe", "experiment": "run",
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_one_thing_has_one_word(page: Path) -> None:
    text = re.sub(r"`[^`]*`", "", prose(page)).casefold()
    used = {word: better for word, better in OTHER_WORDS.items() if re.search(rf"\b{word}s?\b", text)}
    assert used == {}


def test_the_glossary_has_the_words_of_the_design() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = {
        term.strip()
        for line in re.findall(r"^([^\n:#]+)\n: ", text, re.MULTILINE)
        for term in line.split(",")
    }
    assert terms >= {
        "image", "patient", "study", "series", "manifest", "label", "finding", "class", "target", "split",
        "fold", "task", "backbone", "feature maps", "head", "logit", "probability", "call", "operating point",
        "sensitivity", "specificity", "AUROC", "prevalence", "transforms", "recipe", "run", "weights",
        "checkpoint", "fit", "validate", "test", "predict", "report", "plug-in",
    }  # fmt: skip


def test_the_exit_codes_in_the_tutorial_are_those_of_the_errors() -> None:
    from rn50med import errors

    table = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8").partition("### Exit codes")[2]
    told = {
        int(code)
        for codes in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
        for code in codes.split(",")
    }
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.Rn50MedError)
    ]
    assert told >= {0, 130, 143} | {kind.exit_code for kind in kinds}
