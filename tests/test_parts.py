"""Parts remember how they were built, in plain types, and are built again from that alone."""

from __future__ import annotations

import copy
import functools
import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from rn50med.errors import RecipeError, StorageError
from rn50med.model.backbone import ResNet50
from rn50med.model.heads import Head, LinearHead
from rn50med.parts import (
    FOREIGN_CODE,
    TRUSTED_PACKAGES,
    Part,
    Specification,
    build,
    build_factory,
    factory_specification,
    trusted,
)
from rn50med.tasks import Binary, MultiClass, Task
from rn50med.training.module import FineTuneModule

HERE = __name__


class Box(Part):
    """Holds whatever it is given."""

    def __init__(self, content: object, label: str = "box", *, scale: float = 1.0) -> None:
        self.content = content
        self.label = label.upper()
        self.scale = scale


class Layer(Part, nn.Module):
    """A part that is a module of torch as well."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2)


class Options(Part):
    """Takes what it does not know, by name."""

    def __init__(self, width: int = 4, **more: float) -> None:
        self.width, self.more = width, more


class Nameless(Part):
    """Takes what it does not know, by its place."""

    def __init__(self, *widths: int) -> None:
        self.widths = widths


class Passing(LinearHead):
    """Hands on what it is given, by place and by name."""

    def __init__(self, *args: object, dropout: float = 0.3, **more: object) -> None:
        super().__init__(*args, dropout=dropout, **more)  # type: ignore[arg-type]


class OwnWeights(ResNet50):
    """A backbone that knows its weights and has no argument for them."""

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__(weights="none", in_channels=in_channels)


class Outer:
    class Inner(Part):
        """A class inside a class."""


@dataclass(frozen=True)
class Frozen(Part):
    names: tuple[str, ...] = ("a", "b")


def test_arguments_are_kept_as_they_were_given_with_their_defaults() -> None:
    assert Box(3, scale=0.5).specification() == {
        "class_path": f"{HERE}.Box",
        "init_args": {"content": 3, "label": "box", "scale": 0.5},
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        (True, True),
        (0.25, 0.25),
        ("text", "text"),
        ((1, 2), [1, 2]),
        ([1, (2, "x")], [1, [2, "x"]]),
        ({"a": {"b": (1,)}}, {"a": {"b": [1]}}),
        (Path("some") / "file", str(Path("some") / "file")),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (torch.tensor(2.0), 2.0),
    ],
)
def test_arguments_become_plain_types(given: object, kept: object) -> None:
    found = Box(given).specification()["init_args"]["content"]
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    "given", [lambda: 0, object(), np.zeros(3), torch.zeros(2), {1, 2}, b"bytes", nn.ReLU]
)
def test_what_a_checkpoint_cannot_hold_is_refused_by_its_argument(given: object) -> None:
    with pytest.raises(RecipeError, match=r"Box\(content=\.\.\.\): .* cannot be kept in a checkpoint"):
        Box(given).specification()


def test_parts_within_parts_are_kept_and_built_again() -> None:
    inner = MultiClass(names=("a", "b"))
    rebuilt = build(Box([inner, {"n": 1}]).specification(), Box)
    assert isinstance(rebuilt, Box)
    assert rebuilt.content == [inner, {"n": 1}]
    assert rebuilt.label == "BOX"


@pytest.mark.parametrize(
    "part", [Box(1, "x", scale=2), Layer(8), Frozen(("c", "d")), ResNet50(weights="none", in_channels=3)]
)
def test_a_copy_knows_its_arguments_too(part: Part) -> None:
    for other in (copy.copy(part), copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        assert other.specification() == part.specification()


def test_a_specification_opens_with_weights_only() -> None:
    kept = Box([Binary(negative="a", positive="b"), 0.5]).specification()
    buffer = io.BytesIO()
    torch.save(kept, buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=True) == kept


def test_a_class_that_no_checkpoint_finds_again_is_refused() -> None:
    class Local(Part):
        pass

    for part in (Local(), Outer.Inner()):
        with pytest.raises(RecipeError, match="is defined inside a function or class"):
            part.specification()


def test_wrong_arguments_are_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="contents"):
        Box(contents=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("factory", "options"),
    [
        (LinearHead, {}),
        (functools.partial(LinearHead, dropout=0.5), {"dropout": 0.5}),
        (functools.partial(functools.partial(SGD, lr=0.1), momentum=0.9), {"lr": 0.1, "momentum": 0.9}),
        (functools.partial(AdamW, betas=(0.8, 0.9)), {"betas": [0.8, 0.9]}),
    ],
)
def test_a_factory_is_its_class_with_its_options(
    factory: functools.partial[object], options: dict[str, object]
) -> None:
    kept = factory_specification(factory, "part")
    assert kept["init_args"] == options
    again = build_factory(kept, object)
    assert getattr(again, "func", again) is getattr(factory, "func", factory)


def test_an_optimizer_that_was_rebuilt_steps_as_the_first() -> None:
    results = []
    first = functools.partial(AdamW, lr=0.1, betas=(0.5, 0.6))
    for factory in (first, build_factory(factory_specification(first, "optimizer"), Optimizer)):
        weight = nn.Parameter(torch.ones(2))
        optimizer = factory([weight])
        weight.square().sum().backward()
        optimizer.step()
        results.append(weight.detach())
    assert torch.equal(*results)


@pytest.mark.parametrize(
    "factory",
    [lambda channels, outputs: None, functools.partial(LinearHead, [4]), print, functools.partial(max, 1)],
)
def test_a_factory_that_no_checkpoint_can_hold_is_refused(factory: object) -> None:
    with pytest.raises(
        RecipeError, match=r"head: .* give a class, or functools\.partial\(Class, option=value\)"
    ):
        factory_specification(factory, "head")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("class_path", "base", "said"),
    [
        ("os.system", Head, "no Head"),
        ("nowhere.at.all.Head", Head, "import nowhere.at.all before loading, or give --trust nowhere"),
        ("rn50med.model.heads.Gone", Head, "is no Head; use the version that wrote it"),
        ("rn50med.model.gone.LinearHead", Head, "which is not there; use the version that wrote it"),
        ("rn50med.tasks.Binary", Head, "is no Head"),
        ("torch.hub.load", Head, "is no Head"),
        ("rn50med.model.heads.LinearHead", Task, "is no Task"),
    ],
)
def test_a_checkpoint_may_name_only_the_kind_of_class_that_is_wanted(
    class_path: str, base: type, said: str
) -> None:
    kept: Specification = {"class_path": class_path, "init_args": {}}
    with pytest.raises(StorageError) as caught:
        build(kept, base)
    assert said in str(caught.value)
    assert caught.value.exit_code == 5


def test_an_untrusted_module_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hostile_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StorageError, match="hostile_module"):
        build({"class_path": "hostile_module.Head", "init_args": {}}, Head)


@pytest.mark.parametrize("path", FOREIGN_CODE)
def test_loaders_of_foreign_code_are_never_trusted(path: str) -> None:
    assert not trusted(path)
    assert not trusted(f"{path}.anything")
    assert not trusted(path, more=("torch", "monai"))


def test_trusted_packages_and_those_of_the_user_alone_are_trusted() -> None:
    assert all(trusted(f"{package}.Thing") for package in TRUSTED_PACKAGES)
    assert not trusted("torchy.Thing")
    assert not trusted("os.system")
    assert trusted("my_heads.Head", more=("my_heads",))


def test_a_part_that_takes_more_by_name_is_built_again_with_it() -> None:
    again = build(Options(8, depth=2.0).specification(), Options)
    assert (again.width, again.more) == (8, {"depth": 2.0})


def test_arguments_without_names_are_refused_where_they_would_be_kept() -> None:
    part = Nameless(1, 2)
    with pytest.raises(RecipeError, match=r"Nameless: takes \*widths, which have no names"):
        part.specification()
    assert build(Nameless().specification(), Nameless).widths == ()


def test_a_head_that_hands_its_arguments_on_is_built_again_from_its_factory() -> None:
    module = FineTuneModule(Binary("a", "b"), OwnWeights(), head=functools.partial(Passing, dropout=0.1))
    head = build_factory(module.specification["head"], Head)(module.backbone.channels, 1)
    assert head.dropout.p == 0.1


def test_a_backbone_without_an_argument_for_weights_is_built_again() -> None:
    kept = OwnWeights(in_channels=3).specification()
    assert kept["init_args"] == {"in_channels": 3}
    assert build(kept, ResNet50).in_channels == 3
