"""Recipes and options: their order, their names, their keys, and what is said of a wrong one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, OptimizerCallable
from torch import nn

from rn50med.cli.arguments import Ready, load_recipes, parse, prepare, split_arguments
from rn50med.errors import RecipeError
from rn50med.parts import Part


class Base:
    """Stands for the transforms."""


class Film(Base):
    def __init__(self, size: int = 224, steps: Sequence[Base] = ()) -> None:
        self.size, self.steps = size, steps


class Slide(Base):
    def __init__(self, tile: int = 512) -> None:
        self.tile = tile


class Head(nn.Module):
    def __init__(self, channels: Sequence[int], num_outputs: int) -> None:
        super().__init__()


class LinearHead(Head):
    def __init__(self, channels: Sequence[int], num_outputs: int, dropout: float = 0.0) -> None:
        super().__init__(channels, num_outputs)


class WideHead(Head):
    def __init__(
        self,
        channels: Sequence[int],
        num_outputs: int,
        width: int = 64,
        act: Callable[[torch.Tensor], torch.Tensor] = torch.relu,
    ) -> None:
        super().__init__(channels, num_outputs)


@dataclass(frozen=True)
class Columns:
    image: str = "image"
    patient: str | None = None


class Remembers(Part):
    """Makes a dataclass below no pure one, as tasks are."""


@dataclass(frozen=True)
class Finding(Remembers):
    positive: str
    threshold: float = 0.5


class Model(LightningModule):
    def __init__(
        self,
        task: str,
        head: Callable[[Sequence[int], int], Head] = LinearHead,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        anything: Any = None,
    ) -> None:
        super().__init__()


class Data(LightningDataModule):
    def __init__(
        self,
        source: str,
        task: str,
        transforms: Base | None = None,
        batch_size: int = 16,
        columns: Columns = Columns(),
        shuffle: bool = True,
        classes: list[str] | None = None,
        mode: Literal["disabled", "online"] = "disabled",
        options: dict[str, str] | None = None,
        tags: tuple[str, ...] = (),
        finding: Finding | None = None,
    ) -> None:
        super().__init__()


class CLI(LightningCLI):
    def __init__(self, ready: Ready) -> None:
        self.ready = ready
        super().__init__(
            Model,
            Data,
            save_config_callback=None,
            parser_kwargs={"parser_mode": "rn50med"},
            run=False,
            args=[],
            auto_configure_optimizers=False,
            seed_everything_default=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--task", type=str, default="binary")
        parser.link_arguments("task", "model.task")
        parser.link_arguments("task", "data.task")

    def parse_arguments(self, parser: LightningArgumentParser, args: object) -> None:
        self.config = parse(parser, self.ready)

    def instantiate_classes(self) -> None:
        """Only the arguments are of interest."""


RECIPE = """# A recipe.
data:
  source: phantom
  transforms:
    class_path: Film
    init_args:
      size: 128
model:
  head:
    class_path: LinearHead
    init_args: {dropout: 0.2}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rn50med"])
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    (tmp_path / "base.yaml").write_text(RECIPE)
    return tmp_path


def config(*words: str) -> dict[str, Any]:
    """Parse a command line as `fit` does; the classes of this file are trusted."""
    found = CLI(prepare(["--trust", __name__, *words])).config.as_dict()
    return {key: value for key, value in found.items() if key in {"data", "model", "trainer"}}


def refusal(*words: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        config(*words)
    return str(caught.value).splitlines()


def test_words_are_sorted_wherever_they_stand() -> None:
    words = split_arguments(
        ["--a", "1", "--recipe=x", "--config", "y.yaml", "--b+=2", "--trust", "m", "--wandb", "online"]
    )
    assert words.recipes == ("x", "y.yaml")
    assert words.trust == ("m",)
    assert words.options == ("--a", "1", "--b+=2", "--tracking.wandb", "online")


@pytest.mark.parametrize("words", [["--recipe"], ["--recipe", "--a"], ["--trust="]])
def test_an_option_without_its_name_is_refused(words: list[str]) -> None:
    with pytest.raises(RecipeError, match="names nothing"):
        split_arguments(words)


def test_an_option_wins_over_a_recipe_in_either_order(here: Path) -> None:
    options = ["--data.transforms.size", "64", "--data.source", "labels.csv"]
    first = config("--recipe", "base", *options)
    assert first == config(*options, "--recipe", "base")
    assert first["data"]["source"] == "labels.csv"
    assert first["data"]["transforms"]["init_args"]["size"] == 64


def test_the_later_recipe_wins_key_by_key(here: Path) -> None:
    (here / "more.yaml").write_text("data:\n  batch_size: 4\n  transforms: {init_args: {size: 32}}\n")
    recipes = load_recipes(["base", "more"])
    assert recipes.merged["data"] == {
        "source": "phantom",
        "transforms": {"class_path": "Film", "init_args": {"size": 32}},
        "batch_size": 4,
    }
    assert recipes.origins["data.transforms.init_args.size"] == ("more.yaml", 3)
    assert recipes.origins["data.source"] == ("base.yaml", 3)
    assert config("--recipe", "base", "--recipe", "more")["data"]["transforms"]["init_args"]["size"] == 32


@pytest.mark.parametrize(
    ("later", "merged"),
    [
        ("{class_path: WideHead}", {"class_path": "WideHead"}),
        ("{class_path: LinearHead}", {"class_path": "LinearHead", "init_args": {"dropout": 0.2}}),
        (
            "{class_path: our.heads.LinearHead}",
            {"class_path": "our.heads.LinearHead", "init_args": {"dropout": 0.2}},
        ),
        ("{dropout: 0.5}", {"class_path": "LinearHead", "init_args": {"dropout": 0.5}}),
        ("WideHead", "WideHead"),
        ("null", None),
    ],
)
def test_another_class_drops_the_options_of_the_first(here: Path, later: str, merged: object) -> None:
    (here / "more.yaml").write_text(f"model: {{head: {later}}}\n")
    assert load_recipes(["base", "more"]).merged["model"]["head"] == merged


@pytest.mark.parametrize("words", [["--model.optimizer", "SGD"], ["--recipe", "sgd"]])
def test_a_chosen_class_brings_its_own_defaults(here: Path, words: list[str]) -> None:
    (here / "sgd.yaml").write_text("model: {optimizer: {class_path: torch.optim.SGD}}\n")
    found = config("--recipe", "base", *words, "--model.optimizer.lr", "0.1")["model"]["optimizer"]
    assert found["class_path"] == "torch.optim.SGD"
    assert found["init_args"]["lr"] == 0.1
    assert found["init_args"]["weight_decay"] == 0.0  # AdamW's, which it replaces, is 0.01


def test_a_class_chosen_by_an_option_drops_the_recipes_options(here: Path) -> None:
    (here / "adam.yaml").write_text(
        "model: {optimizer: {class_path: torch.optim.AdamW, init_args: {weight_decay: 0.3}}}\n"
    )
    words = ("--recipe", "base", "--recipe", "adam", "--model.optimizer", "torch.optim.SGD")
    assert config(*words)["model"]["optimizer"]["init_args"]["weight_decay"] == 0.0


def test_all_misspelt_keys_are_said_at_once_with_their_place_and_neighbour(here: Path) -> None:
    (here / "wrong.yaml").write_text(
        "data:\n"
        "  batchsize: 4\n"
        "  columns: {imge: x}\n"
        "  transforms:\n"
        "    class_path: Film\n"
        "    init_args:\n"
        "      sise: 128\n"
        "      steps:\n"
        "      - class_path: Slide\n"
        "        init_args: {tyle: 3}\n"
        "trainr: {max_epochs: 1}\n"
        "trainer:\n"
        "  callbacks:\n"
        "  - class_path: EarlyStopping\n"
        "    init_args: {monitr: val/loss}\n"
        "model:\n"
        "  head: {class_path: WideHead, width: 3}\n"
        "  optimizer: {class_path: torch.optim.AdamW, init_args: {lrr: 1}}\n"
    )
    said = refusal(
        "--recipe",
        "wrong",
        "--trainer.max_epoch",
        "3",
        "--model.head.widht=3",
        "--data.transforms.init_args.siz",
        "1",
        "--data.bat",
        "3",
        "--recpe",
        "x",
        "--data.columns={pateint: x}",
        "--trainer.callbacks.patiense",
        "2",
    )
    expected = [
        "wrong.yaml:2: there is no key 'data.batchsize'; did you mean 'data.batch_size'?",
        "wrong.yaml:3: there is no key 'data.columns.imge'; did you mean 'data.columns.image'?",
        "wrong.yaml:7: there is no key 'data.transforms.init_args.sise'; "
        "did you mean 'data.transforms.init_args.size'?",
        "wrong.yaml:10: there is no key 'data.transforms.init_args.steps.0.init_args.tyle'; "
        "did you mean 'data.transforms.init_args.steps.0.init_args.tile'?",
        "wrong.yaml:11: there is no key 'trainr'; did you mean 'trainer'?",
        "wrong.yaml:15: there is no key 'trainer.callbacks.0.init_args.monitr'; "
        "did you mean 'trainer.callbacks.0.init_args.monitor'?",
        "wrong.yaml:17: there is no key 'model.head.width'; did you mean 'model.head.init_args.width'?",
        "wrong.yaml:18: there is no key 'model.optimizer.init_args.lrr'; "
        "did you mean 'model.optimizer.init_args.lr'?",
        "command line: there is no key '--trainer.max_epoch'; did you mean '--trainer.max_epochs'?",
        "command line: there is no key '--model.head.widht'; did you mean '--model.head.width'?",
        "command line: there is no key '--data.transforms.init_args.siz'; "
        "did you mean '--data.transforms.init_args.size'?",
        "command line: there is no key '--recpe'; did you mean '--recipe'?",
        "command line: there is no key '--data.columns.pateint'; did you mean '--data.columns.patient'?",
        "command line: there is no key '--trainer.callbacks.patiense'; "
        "did you mean '--trainer.callbacks.patience'?",
    ]
    assert said[0].startswith("15 things to mend:")
    assert set(expected) <= {line.strip() for line in said}
    assert any("'--data.bat'" in line for line in said)  # an abbreviation, which argparse would take


@pytest.mark.parametrize(
    "words",
    [
        ["--data.transforms.size", "64"],
        ["--data.transforms.init_args.size=64"],
        ["--data.transforms", "Film", "--data.transforms.size", "64"],
        ["--data.transforms={class_path: Film, init_args: {size: 64}}"],
        ["--data.transforms.class_path=Film", "--data.transforms.size=64"],
    ],
)
def test_every_way_to_write_an_option_is_taken(words: list[str]) -> None:
    assert config("--recipe", "base", *words)["data"]["transforms"]["init_args"]["size"] == 64


def test_options_of_other_shapes_are_taken(here: Path) -> None:
    found = config(
        "--recipe",
        "base",
        "--model.head.dropout",
        "0.3",
        "--data.columns.image",
        "file",
        "--data.classes+=NO",
        "--data.classes+=0012",
        "--data.shuffle",
        "false",
        "--data.options",
        "{a: '0012', b: NO}",
        "--trainer.logger=false",
        "--trainer.callbacks+=EarlyStopping",
        "--trainer.callbacks.monitor=val/loss",
    )
    assert found["model"]["head"]["init_args"]["dropout"] == 0.3
    assert found["data"]["columns"]["image"] == "file"
    assert found["data"]["classes"] == ["NO", "0012"]
    assert found["data"]["options"] == {"a": "0012", "b": "NO"}
    assert found["data"]["shuffle"] is False
    assert found["trainer"]["callbacks"][0]["init_args"]["monitor"] == "val/loss"


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        (
            "model: {optimizer: {class_path: SGD, init_args: {lr: 1e-3}}}",
            ("model", "optimizer", "init_args", "lr"),
            0.001,
        ),
        ("data: {classes: [NO, YES, on, off]}", ("data", "classes"), ["NO", "YES", "on", "off"]),
        ("data: {source: 0012}", ("data", "source"), "0012"),
        ("data: {source: 12:30}", ("data", "source"), "12:30"),
        ("data: {source: 2024-01-31}", ("data", "source"), "2024-01-31"),
        ("data: {source: https://example.org/a.csv}", ("data", "source"), "https://example.org/a.csv"),
    ],
)
def test_values_arrive_as_they_were_written(
    here: Path, line: str, key: tuple[str, ...], expected: object
) -> None:
    (here / "value.yaml").write_text(line + "\n")
    found: Any = config("--recipe", "base", "--recipe", "value")
    for part in key:
        found = found[part]
    assert found == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("data: {batch_size: 12:30}", "value.yaml:1: data.batch_size: '12:30' is not a whole number."),
        ("data: {batch_size: 0012}", "value.yaml:1: data.batch_size: '0012' is not a whole number."),
        ("data: {batch_size: 2.5}", "value.yaml:1: data.batch_size: 2.5 is not a whole number."),
        ("data: {shuffle: NO}", "value.yaml:1: data.shuffle: 'NO' is not true or false."),
        ("data: {source: 12}", "value.yaml:1: data.source: 12 is not text; quote it: '12'."),
        ("data: {classes: [NO, true]}", "value.yaml:1: data.classes.1: True is not text; quote it: 'true'."),
        (
            "data: {mode: onlin}",
            "value.yaml:1: data.mode: 'onlin' is not 'disabled' or 'online'; did you mean 'online'?",
        ),
        (
            "trainer: {max_epochs: many}",
            "value.yaml:1: trainer.max_epochs: 'many' is not a whole number or null.",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_line(here: Path, line: str, said: str) -> None:
    (here / "value.yaml").write_text(line + "\n")
    assert refusal("--recipe", "base", "--recipe", "value") == [said]


def test_options_of_the_default_class_need_no_name(here: Path) -> None:
    (here / "short.yaml").write_text("model: {head: {dropout: 0.5}, optimizer: {lr: 0.5}}\n")
    found = config("--recipe", "short", "--data.source", "x")["model"]
    assert found["head"] == {"class_path": f"{__name__}.LinearHead", "init_args": {"dropout": 0.5}}
    assert found["optimizer"]["init_args"]["lr"] == 0.5
    (here / "short.yaml").write_text("model: {head: {dropot: 0.5}}\n")
    (line,) = refusal("--recipe", "short", "--data.source", "x")
    assert line == "short.yaml:1: there is no key 'model.head.dropot'; did you mean 'model.head.dropout'?"


@pytest.mark.parametrize("name", ["0", "0012", "NO", "1e-3"])
def test_text_of_a_dataclass_stays_text(here: Path, name: str) -> None:
    (here / "task.yaml").write_text(
        f"data: {{finding: {{class_path: Finding, init_args: {{positive: '{name}'}}}}}}\n"
    )
    found = config("--recipe", "base", "--recipe", "task")["data"]["finding"]["init_args"]
    assert found == {"positive": name, "threshold": 0.5}
    words = ("--data.finding", "Finding", f"--data.finding.positive={name}")
    assert config("--recipe", "base", *words)["data"]["finding"]["init_args"]["positive"] == name


def test_a_number_where_a_dataclass_takes_text_is_refused(here: Path) -> None:
    (here / "task.yaml").write_text("data: {finding: {class_path: Finding, init_args: {positive: 1}}}\n")
    (line,) = refusal("--recipe", "base", "--recipe", "task")
    assert line == "task.yaml:1: data.finding.init_args.positive: 1 is not text; quote it: '1'."


def test_a_group_that_is_no_mapping_is_refused(here: Path) -> None:
    (here / "flat.yaml").write_text("data: 3\n")
    assert refusal("--recipe", "flat") == ["flat.yaml:1: data: 3 holds no keys; write them below it."]


def test_duplicate_keys_are_refused(here: Path) -> None:
    (here / "twice.yaml").write_text("data:\n  source: a\n  source: b\n")
    assert refusal("--recipe", "twice")[0].startswith(
        "twice.yaml:3: key 'data.source' stands already on line 2"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data.batch_size", "x"], "command line: --data.batch_size: 'x' is not a whole number."),
        (["--data.batch_size"], "command line: "),
        (["stray"], "command line: unrecognized arguments: stray."),
        (
            ["--model.head", "null"],
            "command line: --model.head: null is no Head; there are Head, LinearHead, WideHead.",
        ),
        (["--model.task", "x"], "command line: --model.task is taken from 'task'; set that."),
        (
            ["--trainer.callbacks", "[{class_path: EarlyStopping}]"],
            "command line: trainer.callbacks needs monitor; ",
        ),
        (["--data.tags+=a"], "command line: --data.tags cannot be added to; give it as a whole."),
        (
            ["--data.transforms", "film.yaml"],
            "command line: --data.transforms: 'film.yaml' is a file; give it after",
        ),
    ],
)
def test_a_wrong_option_is_refused_in_a_sentence(words: list[str], said: str) -> None:
    (line,) = refusal("--recipe", "base", *words)
    assert line.startswith(said)


def test_what_is_needed_and_missing_is_named() -> None:
    (line,) = refusal("--trainer.max_epochs", "1")
    assert line == "recipe: data.source is not given; add it to the recipe, or give --data.source."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model.head", "LinerHead"], "'--model.head': there is no class"),
        (["--model.head", "Film"], "there is no class 'Film'; there are Head, LinearHead, WideHead"),
        (["--model.optimizer", "torch.optim.AdmaW"], "did you mean 'torch.optim.AdamW'?"),
        (["--model.optimizer", "torch.optin.AdamW"], "cannot be imported"),
        (["--model.optimizer", "torch.nn.Linear"], "'torch.nn.Linear' is no Optimizer"),
        (["--trainer.callbacks", "[{class_path: EarlyStoping}]"], "did you mean 'EarlyStopping'?"),
    ],
)
def test_a_wrong_class_gets_the_nearest(words: list[str], said: str) -> None:
    (line,) = refusal("--recipe", "base", *words)
    assert line.startswith("command line: --")
    assert said.replace("'--model.head': ", "") in line


EVIL = "open('MARK', 'w').write('imported')\nclass Evil: ...\ndef f(x): return x\n"


@pytest.mark.parametrize(
    ("recipe", "place"),
    [
        ("model:\n  head:\n    class_path: WideHead\n    init_args: {act: evilmod.f}\n", "hostile.yaml:4: "),
        ("model:\n  head: {class_path: evilmod.Evil}\n", "hostile.yaml:2: "),
        ("model:\n  anything:\n    class_path: evilmod.Evil\n", "hostile.yaml:3: "),
        ("data:\n  transforms: evilmod.Evil\n", "hostile.yaml:2: "),
        ("trainer:\n  callbacks:\n  - evilmod.Evil\n", "hostile.yaml:3: "),
        ("trainer:\n  plugins:\n  - class_path: evilmod.Evil\n", "hostile.yaml:3: "),
        ("data:\n  transforms: {class_path: Film, init_args: {steps: [evilmod.Evil]}}\n", "hostile.yaml:2: "),
        ("model:\n  head: {class_path: WideHead, init_args: {act: torch.hub.load}}\n", "hostile.yaml:2: "),
        ("model:\n  head: {class_path: torch.hub.load}\n", "hostile.yaml:2: "),
    ],
)
def test_a_hostile_recipe_is_refused_and_its_module_never_imported(
    here: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, place: str
) -> None:
    (here / "evilmod.py").write_text(EVIL)
    monkeypatch.syspath_prepend(str(here))  # as it is under `python -m`
    (here / "hostile.yaml").write_text(recipe)
    (said,) = refusal("--recipe", "base", "--recipe", "hostile")
    assert said.startswith(place)
    assert "--trust" in said
    assert not (here / "MARK").exists()
    assert "evilmod" not in sys.modules


@pytest.mark.parametrize(
    "word",
    [
        "--model.head=evilmod.Evil",
        "--model.head.class_path=evilmod.Evil",
        "--model.head={class_path: evilmod.Evil}",
        '--model.anything={"a": [{"class_path": "evilmod.Evil"}]}',
        "--data.transforms=evilmod.Evil",
        "--data.transforms.help=evilmod.Evil",
        "--trainer.callbacks+=evilmod.Evil",
        "--trainer.strategy=evilmod.Evil",
        "--trainer.profiler={class_path: evilmod.Evil}",
        "--model.head={class_path: WideHead, init_args: {act: evilmod.f}}",
    ],
)
def test_a_hostile_option_is_refused_and_its_module_never_imported(
    here: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    (here / "evilmod.py").write_text(EVIL)
    monkeypatch.syspath_prepend(str(here))
    if word.startswith("--trainer.strategy"):  # text for Lightning, which knows no such strategy
        config("--recipe", "base", word)
    else:
        assert refusal("--recipe", "base", word)[0].startswith("command line: ")
    assert not (here / "MARK").exists()
    assert "evilmod" not in sys.modules


@pytest.mark.parametrize(
    "path", ["torch.os.system", "torch.utils.data.dataloader.os.system", "lightning.pytorch.cli.yaml.load"]
)
def test_a_trusted_package_is_no_way_to_another(here: Path, path: str) -> None:
    assert "act" in refusal("--recipe", "base", "--model.head", "WideHead", "--model.head.act", path)[0]


def test_every_name_that_is_not_trusted_is_said_at_once(here: Path) -> None:
    (here / "hostile.yaml").write_text("model:\n  head: {class_path: a.B}\n  optimizer: {class_path: c.D}\n")
    said = refusal("--recipe", "hostile", "--data.transforms", "{class_path: e.F}")
    assert [line.strip().split(",")[0] for line in said[1:]] == [
        "hostile.yaml:2: model.head.class_path names 'a.B'",
        "hostile.yaml:3: model.optimizer.class_path names 'c.D'",
        "command line: --data.transforms.class_path names 'e.F'",
    ]


def test_a_trusted_module_of_the_working_folder_is_imported(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (here / "our_heads.py").write_text(f"from {__name__} import Head\nclass OurHead(Head):\n    pass\n")
    found = config("--recipe", "base", "--trust", "our_heads", "--model.head", "our_heads.OurHead")
    assert found["model"]["head"]["class_path"] == "our_heads.OurHead"


@pytest.mark.parametrize("module", ["no-module", "jsonargparse"])
def test_what_cannot_be_trusted_is_refused(module: str) -> None:
    assert refusal("--trust", module)[0].startswith("command line: --trust")


def test_a_resolved_recipe_reads_back_alike(here: Path) -> None:
    (here / "odd.yaml").write_text(
        "data: {source: 1e-3x, classes: ['1e-3', NO, '0012'], options: {a: '12:30'}}\n"
    )
    cli = CLI(prepare(["--trust", __name__, "--recipe", "base", "--recipe", "odd"]))
    (here / "resolved.yaml").write_text(cli.parser.dump(cli.config, skip_none=False))
    again = CLI(prepare(["--trust", __name__, "--recipe", "resolved"])).config
    assert again.as_dict()["data"] == cli.config.as_dict()["data"]
    assert again.as_dict()["model"] == cli.config.as_dict()["model"]
