"""Conditions: what is kept is what a brute-force reading says, and what is wrong is named with its place."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn50med.data.where import Where, misspelt, number
from rn50med.errors import RecipeError

ROW = {
    "ViewPosition": "PA",
    "age": "40,5",
    "sex": "",
    "PatientAge": "018M",
    "day": "2024-01-31",
    "site A": " x ",
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("ViewPosition in (PA, AP)", True),
        ("ViewPosition not in (PA, AP)", False),
        ("ViewPosition = PA", True),
        ("ViewPosition == 'PA'", True),
        ('ViewPosition != "PA"', False),
        ("ViewPosition==pa", False),  # text is text
        ("sex is empty", True),
        ("sex IS NOT EMPTY", False),
        ("ViewPosition is empty OR sex is empty", True),
        ("not ViewPosition == PA", False),
        ("not not ViewPosition == PA", True),
        ("age > 40", True),
        ("age > '40,5'", False),
        ("age >= 40.5", True),
        ("age < 100", True),  # a number, not text: '4' > '1'
        ("PatientAge < 2", True),  # 18 months
        ("PatientAge >= 018Y", False),
        ("PatientAge < 65Y", True),
        ("PatientAge > 9W", True),
        ("day > 2024", False),  # a day is no number
        ("day > 2024-01-30", True),
        ("day <= 20240131", True),
        ("sex > 0", False),  # an empty cell has no order
        ("not sex > 0", True),
        ("sex < a", False),
        ("ViewPosition > LL", True),
        ("ViewPosition > 3", False),
        ("'site A' = x", True),
        ('"site A" in (" x ", y)', True),
        ("sex != F", True),
        ("age = 40,5", None),
        ("sex = F or ViewPosition = PA and age > 50", False),  # and binds closer than or
        ("(sex = F or ViewPosition = PA) and age > 40", True),
        ("not sex = F and ViewPosition = PA", True),  # not binds closer than and
        ("empty = 1", None),
        ("'empty' = 1", "no such column"),
    ],
)
def test_a_row_is_kept_as_the_condition_says(text: str, kept: bool | str | None) -> None:
    if kept is None:
        with pytest.raises(RecipeError):
            Where.parse(text)
    elif isinstance(kept, str):
        assert Where.parse(text).columns == ("empty",)
    else:
        assert Where.parse(text).keep(ROW) is kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a column is missing at its end;"),
        ("view", "one of =, !=, <, <=, >, >=, in, is was expected at its end, after 'view';"),
        ("view in PA", "'(' was expected at character 9, after 'view in', before 'PA';"),
        ("view in (PA", "',' or ')' was expected at its end, after 'view in (PA';"),
        ("view in (PA AP)", "',' or ')' was expected at character 13, after 'view in (PA', before 'AP)';"),
        ("view in ()", "a value is missing at character 10, after 'view in (', before ')';"),
        (
            "view = PA sex = F",
            "'and' or 'or' was expected at character 11, after 'view = PA', before 'sex = F';",
        ),
        ("view not = PA", "'in' was expected at character 10, after 'view not', before '= PA';"),
        ("view is PA", "'empty' was expected at character 9, after 'view is', before 'PA';"),
        ("view = 'PA", '"\'" at character 8 has no closing quote'),
        ("view ! PA", "'!' at character 6 is no sign of a condition"),
        ("and view = PA", "a column is missing at character 1, before 'and view = PA';"),
        ("(view = PA", "')' was expected at its end, after '(view = PA';"),
        ("view = PA)", "'and' or 'or' was expected at character 10, after 'view = PA', before ')';"),
        ("(" * 1000 + "a = 1", "more than 50 conditions are nested at character 51"),
        ("not " * 1000 + "a = 1", "more than 50 conditions are nested at character 201"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape('data.where: ' + said)}"):
        Where.parse(text)


def test_columns_and_values_are_told() -> None:
    where = Where.parse("a in (1, 2) and not (b = x or a != 3) and c > 4 and d is empty")
    assert where.columns == ("a", "b", "c", "d")
    assert misspelt(where, {"a": ["1", " 3"], "b": ["X"], "c": [], "d": []}) == [("a", "2"), ("b", "x")]


@pytest.mark.parametrize(
    "text", ["", " ", "nan", "inf", "1.234,5", "1 2", "0x1", "1_000", "٣", "-", "e5", "."]
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert number(text) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_with_either_sign(value: float) -> None:
    assert number(repr(value)) == value
    assert number(repr(value).replace(".", ",")) == value


NAMES = ("a", "b c", "not")
CELLS = ("", "0", "1", "1,0", "2", "10", "x", "X y", "2024-01-31", "in")
_cells = st.sampled_from(CELLS)
_names = st.sampled_from(NAMES)

Tree = tuple[str, object, object]
_leaves = st.one_of(
    st.tuples(st.sampled_from(["=", "==", "!=", "<", "<=", ">", ">="]), _names, _cells),
    st.tuples(st.sampled_from(["in", "not in"]), _names, st.lists(_cells, min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["is empty", "is not empty"]), _names, st.none()),
)
_trees = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner, st.none()),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=8,
)


def written(tree: Tree) -> str:
    """Write a tree with a bracket wherever one may stand."""
    word, left, right = tree
    if word == "not":
        return f"not ({written(left)})"  # type: ignore[arg-type]
    if word in {"and", "or"}:
        return f"({written(left)}) {word} ({written(right)})"  # type: ignore[arg-type]
    if word.startswith("is"):
        return f"'{left}' {word}"
    values = ", ".join(f'"{value}"' for value in right) if isinstance(right, list) else f'"{right}"'
    return f"'{left}' {word} ({values})" if isinstance(right, list) else f"'{left}' {word} {values}"


def as_number(text: str) -> float | None:
    text = text.replace("-", "") if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return None


def truth(tree: Tree, row: Mapping[str, str]) -> bool:
    """Read a tree as the documentation says, without the code under test."""
    word, left, right = tree
    if word == "not":
        return not truth(left, row)  # type: ignore[arg-type]
    if word in {"and", "or"}:
        answers = [truth(left, row), truth(right, row)]  # type: ignore[arg-type]
        return all(answers) if word == "and" else any(answers)
    cell = row[str(left)]
    of_text = {
        "is empty": cell == "", "is not empty": cell != "", "=": cell == right, "==": cell == right,
        "!=": cell != right,
        "in": isinstance(right, list) and cell in right,
        "not in": isinstance(right, list) and cell not in right,
    }  # fmt: skip
    return of_text[word] if word in of_text else in_order(cell, word, str(right))


def in_order(cell: str, sign: str, value: str) -> bool:
    one, two = as_number(cell), as_number(value)
    if cell == "" or (one is None and two is not None):
        return False
    days = [bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) for text in (cell, value)]
    if one is not None and two is not None and days[0] != days[1]:  # unlike
        return False
    below, above = (cell < value, cell > value) if one is None or two is None else (one < two, one > two)
    return {"<": below, "<=": not above, ">": above, ">=": not below}[sign]


@settings(max_examples=300)
@given(tree=_trees, row=st.fixed_dictionaries(dict.fromkeys(NAMES, _cells)))
def test_any_condition_keeps_what_a_brute_force_reading_keeps(tree: Tree, row: dict[str, str]) -> None:
    assert Where.parse(written(tree)).keep(row) == truth(tree, row)


@settings(max_examples=300)
@given(st.text(alphabet="ab '\"(),=<>!notinadr1,"))
def test_any_text_is_a_condition_or_a_fault_in_words(text: str) -> None:
    said = None
    try:
        where = Where.parse(text)
    except RecipeError as error:
        said = str(error)
    assert said.startswith("data.where: ") if said is not None else where.columns
