"""Recipes are read strictly, written so that they read back alike, and found by name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rn50med.errors import RecipeError
from rn50med.recipe import dump_yaml, find_recipe, key_positions, list_recipes, load_recipe, parse_yaml


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1e-3", 0.001),
        ("1.0e-3", 0.001),
        ("-1", -1),
        (".5", 0.5),
        ("0.50", 0.5),
        (".inf", math.inf),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("null", None),
        ("", None),
        ("NO", "NO"),
        ("off", "off"),
        ("yes", "yes"),
        ("y", "y"),
        ("0012", "0012"),
        ("12:30", "12:30"),
        ("1:2:3", "1:2:3"),
        ("2024-01-31", "2024-01-31"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("=", "="),
        ("'1e-3'", "1e-3"),
        ("!!str 5", "5"),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(written: str, read: object) -> None:
    found = parse_yaml(f"key: {written}\n", "a.yaml")["key"]
    assert found == read
    assert type(found) is type(read)


def test_class_names_stay_text_in_a_list() -> None:
    assert parse_yaml("classes: [NO, YES, on, off]", "a.yaml") == {"classes": ["NO", "YES", "on", "off"]}


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "stands already on line 1"),
        ("x:\n  a: 1\n  'a': 2\n", 3, "'x.a' stands already on line 2"),
        ("a: 1\nb: !!python/object/apply:os.system ['x']\n", 2, "remove the tag"),
        ("a: !!binary aGk=\n", 1, "remove the tag"),
        ("a: [1\nb: 2\n", 2, "not YAML"),
        ("\ta: 1\n", 1, "not YAML"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML"),
        ("base: &b {x: 1}\nc:\n  <<: *b\n", 3, "write the keys out"),
        ("? [a]\n: 1\n", 1, "keys are text"),
        ("a: &a [*a]\n", 1, "too deep"),
    ],
)
def test_what_is_not_strict_yaml_is_refused_with_its_line(text: str, line: int, word: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_yaml(text, "a.yaml")
    assert str(caught.value).startswith(f"a.yaml:{line}: ")
    assert word in str(caught.value)


def test_a_bomb_of_aliases_is_refused() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(RecipeError, match="too long"):
        parse_yaml("\n".join(levels), "a.yaml")


@pytest.mark.parametrize("text", ["[" * 700, "a: \x01", "{" * 700])
def test_nonsense_is_a_recipe_error(text: str) -> None:
    with pytest.raises(RecipeError, match=r"a\.yaml"):
        parse_yaml(text, "a.yaml")


def test_plain_values_read_back_alike() -> None:
    data = {
        "zebra": [
            "NO",
            "0012",
            "1e-3",
            "12:30",
            "2024-01-31",
            "y",
            "~",
            "",
            "=",
            "<<",
            "null",
            "1_000",
            "0x1F",
        ],
        "apple": {
            "small": 1e-05,
            "big": 1e17,
            "one": 1.0,
            "inf": -math.inf,
            "int": -3,
            "no": False,
            "none": None,
        },
        "text": [
            "a: b",
            "#x",
            "- x",
            "multi\nline\n",
            " space ",
            "患者",
            "it's",
            "!tag",
            "*a",
            "@x",
            "tab\t",
            "\u2028",
        ],
        "empty": [{}, []],
        "long": "word " * 60,
        "1": "key",
    }
    text = dump_yaml(data)
    assert parse_yaml(text, "dump") == data
    assert list(parse_yaml(text, "dump")) == list(data)


def test_an_older_reader_reads_a_dump_alike() -> None:
    yaml = pytest.importorskip("yaml")
    data = {"a": ["NO", "off", "0012", "1e-3", "12:30", "2024-01-31", "=", 1e-05, 1e17, 0.1, "y", True, None]}
    assert yaml.safe_load(dump_yaml(data)) == data


def test_a_value_that_is_not_plain_is_refused() -> None:
    with pytest.raises(RecipeError, match="no plain value"):
        dump_yaml({"a": object()})


def test_every_key_and_item_has_its_line() -> None:
    text = (
        "# comment\nmodel:\n  head:\n    class_path: A\n    init_args: {x: 1}\ncallbacks:\n- class_path: B\n"
    )
    lines = key_positions(text)
    assert lines["model.head.class_path"] == 4
    assert lines["model.head.init_args.x"] == 5
    assert lines["callbacks.0.class_path"] == 7


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_recipe_in_the_working_folder_is_found_by_name_and_by_file(here: Path) -> None:
    (here / "ours.yaml").write_text("# Our own recipe.\ndata: {batch_size: 2}\n")
    assert find_recipe("ours").read_text() == find_recipe("./ours.yaml").read_text()
    assert load_recipe("ours") == {"data": {"batch_size": 2}}
    (info,) = [recipe for recipe in list_recipes() if recipe.origin == "working folder"]
    assert (info.name, info.summary) == ("ours", "Our own recipe.")


def test_a_shipped_recipe_wins_over_the_working_folder_and_both_are_listed(here: Path) -> None:
    shipped = next(recipe for recipe in list_recipes() if recipe.origin == "package")
    (here / f"{shipped.name}.yaml").write_text("# Mine.\ntrainer: {max_epochs: 1}\n")
    assert find_recipe(shipped.name) == shipped.path
    mine = next(recipe for recipe in list_recipes() if recipe.origin == "working folder")
    assert find_recipe(mine.name).read_text().startswith("# Mine.")


def test_other_yaml_in_the_working_folder_is_not_listed(here: Path) -> None:
    (here / "compose.yaml").write_text("services: {web: {}}\n")
    assert all(recipe.origin != "working folder" for recipe in list_recipes())


def test_a_misspelt_name_is_guessed(here: Path) -> None:
    (here / "thorax.yaml").write_text("trainer: {}\n")
    with pytest.raises(RecipeError, match="did you mean 'thorax'"):
        find_recipe("thorx")
    with pytest.raises(RecipeError, match="no such file"):
        find_recipe("folder/thorax.yaml")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"- a\n- b\n", b"text"])
def test_a_file_that_is_no_recipe_is_refused(here: Path, content: bytes) -> None:
    (here / "odd.yaml").write_bytes(content)
    with pytest.raises(RecipeError, match=r"odd\.yaml"):
        load_recipe("odd.yaml")


def test_an_empty_recipe_and_a_byte_order_mark_are_no_fault(here: Path) -> None:
    (here / "empty.yaml").write_text("# nothing yet\n")
    (here / "marked.yaml").write_bytes(b"\xef\xbb\xbftrainer: {max_epochs: 1}\n")
    assert load_recipe("empty.yaml") == {}
    assert load_recipe("marked.yaml") == {"trainer": {"max_epochs": 1}}
