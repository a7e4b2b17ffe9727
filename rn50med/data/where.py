"""Conditions such as ``ViewPosition in (PA, AP) and PatientAge >= 18``: which rows of a table to keep.

Grammar, with the usual precedence (``or`` below ``and`` below ``not``)::

    condition  = condition or condition | condition and condition | not condition | ( condition ) | test
    test       = COLUMN = VALUE | COLUMN != VALUE | COLUMN < VALUE | ... | COLUMN is [not] empty
               | COLUMN [not] in ( VALUE, VALUE, ... )

Columns and values are words, or text in quotes. Cells are compared as text, without the blanks around
them; ``<``, ``<=``, ``>`` and ``>=`` compare numbers, dates and DICOM ages (in years) as what they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from rn50med.data.conditions import ORDER, Cells, Comparison, Join, Node, Not, number
from rn50med.errors import RecipeError

__all__ = ["Where", "misspelt", "number"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"[^"]*"|'[^']*')|(?P<sign><=|>=|!=|==|[=<>(),])|(?P<word>[^\s"'(),=<>!]+)|(?P<other>\S))"""
)
_SAME = {"=": True, "==": True, "!=": False}
_WORDS = frozenset({"and", "or", "not", "in", "is", "empty"})
_MOST_NESTED = 50


@dataclass(frozen=True)
class Where:
    """A condition on the cells of a row.

    Args:
        text: As it was written.

    Raises:
        RecipeError: If it cannot be understood.

    Example:
        >>> where = Where("ViewPosition in (PA, AP) and not (age < 18 or sex is empty)")
        >>> where.columns
        ('ViewPosition', 'age', 'sex')
        >>> where.keep({"ViewPosition": "PA", "age": "40,5", "sex": "F"})
        True
        >>> Where("view == PA or")
        Traceback (most recent call last):
        rn50med.errors.RecipeError: data.where: a column is missing at its end, after 'view == PA or'; ...
    """

    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "_node", _Parser(self.text).whole())

    @classmethod
    def parse(cls, text: str) -> Where:
        """Return the condition that a text means.

        Args:
            text: As it was written.

        Raises:
            RecipeError: If it cannot be understood.
        """
        return cls(text)

    @property
    def tests(self) -> list[Comparison]:
        """Its comparisons, from left to right."""
        node: Node = self.__dict__["_node"]
        return list(node.parts())

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it asks, in the order in which they stand there."""
        return tuple(dict.fromkeys(test.column for test in self.tests))

    @property
    def named(self) -> Mapping[str, tuple[str, ...]]:
        """Values that a column is compared with as they are: a misspelt one is in no row."""
        named: dict[str, list[str]] = {name: [] for name in self.columns}
        for test in self.tests:
            named[test.column] += test.values if test.sign == "in" else ()
        return {name: tuple(dict.fromkeys(values)) for name, values in named.items()}

    def keep(self, row: Cells) -> bool:
        """Return whether a row is kept; one whose cells are not known is, unless the others settle it.

        Args:
            row: Cells by column; every one of `columns` has to be there.
        """
        node: Node = self.__dict__["_node"]
        return node.keep(row) is not False


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.casefold() in words


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = list(self._split())
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._any()
        if self._now.kind != "end":
            raise self._fault("'and' or 'or' was expected")
        return node

    def _split(self) -> Iterator[_Token]:
        # the end has no text of its own, so that a blank text has it alone
        for found in _TOKEN.finditer(self.text):
            kind = str(found.lastgroup)
            token = _Token(kind, found[kind], found.start(kind))
            if kind == "other":
                end = "has no closing quote" if token.text in "\"'" else "is no sign of a condition"
                raise RecipeError(
                    f"data.where: {token.text!r} at character {token.start + 1} {end}; mend it."
                )
            yield _Token(kind, token.text[1:-1], token.start) if kind == "quoted" else token
        yield _Token("end", "", len(self.text))

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _took(self, *texts: str, kind: str = "word") -> bool:
        """Step over a token if it is one of these."""
        hit = self._now.kind == kind and self._now.text.casefold() in texts
        self._at += int(hit)
        return hit

    def _any(self) -> Node:
        return self._joined("or", self._all)

    def _all(self) -> Node:
        return self._joined("and", self._one)

    def _joined(self, word: str, inner: Callable[[], Node]) -> Node:
        nodes = [inner()]
        while self._took(word):
            nodes.append(inner())
        return nodes[0] if len(nodes) == 1 else Join(word, tuple(nodes))

    def _one(self) -> Node:
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise self._fault(f"more than {_MOST_NESTED} conditions are nested")
        node: Node
        if self._took("not"):
            node = Not(self._one())
        elif self._took("(", kind="sign"):
            node = self._any()
            self._need(")")
        else:
            node = self._test()
        self._depth -= 1
        return node

    def _test(self) -> Comparison:
        column = self._name("a column is missing", frozenset({*_WORDS}))
        if self._took("is"):
            wanted = not self._took("not")
            if not self._took("empty"):
                raise self._fault("'empty' was expected")
            return Comparison(column, "in", ("",), wanted)
        wanted = not self._took("not")
        if self._took("in"):
            return Comparison(column, "in", self._values(), wanted)
        sign = self._now.text
        if not wanted or self._now.kind != "sign" or sign not in {*ORDER, *_SAME}:
            raise self._fault(
                "'in' was expected" if not wanted else "one of =, !=, <, <=, >, >=, in, is was expected"
            )
        self._at += 1
        value = self._name("a value is missing", frozenset())
        return (
            Comparison(column, sign, (value,))
            if sign in ORDER
            else Comparison(column, "in", (value,), _SAME[sign])
        )

    def _values(self) -> tuple[str, ...]:
        self._need("(")
        values = [self._name("a value is missing", frozenset())]
        while self._took(",", kind="sign"):
            values.append(self._name("a value is missing", frozenset()))
        self._need(")", "',' or ')'")
        return tuple(values)

    def _name(self, missing: str, reserved: frozenset[str]) -> str:
        token = self._now
        if token.kind not in {"word", "quoted"} or token.is_word(*reserved):
            raise self._fault(missing)
        self._at += 1
        return token.text.strip()

    def _need(self, sign: str, said: str = "") -> None:
        if not self._took(sign, kind="sign"):
            raise self._fault(f"{said or repr(sign)} was expected")

    def _fault(self, what: str) -> RecipeError:
        at = self._now.start
        before, rest = self.text[:at].strip()[-30:], self.text[at:].strip()[:15]
        where = f"at character {at + 1}" if rest else "at its end"
        near = "".join([f", after {before!r}" if before else "", f", before {rest!r}" if rest else ""])
        return RecipeError(
            f"data.where: {what} {where}{near}; write such as ViewPosition in (PA, AP) and PatientAge >= 18, "
            "and quote what is no single word."
        )


def misspelt(where: Where, cells: Mapping[str, Collection[str]]) -> list[tuple[str, str]]:
    """Return the columns and values of a condition that stand in no row.

    Args:
        where: The condition.
        cells: The values that each of its columns has.
    """
    have = {name: {cell.strip() for cell in values} for name, values in cells.items()}
    return [(name, v) for name, values in where.named.items() for v in values if v and v not in have[name]]
