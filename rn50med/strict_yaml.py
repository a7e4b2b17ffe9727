"""YAML 1.2 as its core schema says, and nothing that it leaves to guessing.

``1e-3`` is a number, ``NO``, ``12:30``, ``0012`` and ``2024-01-31`` are text, a key stands once, and a tag
never builds an object.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING, Any

from rn50med.errors import RecipeError

if TYPE_CHECKING:
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

    Node = ScalarNode | SequenceNode | MappingNode

_MOST_ENTRIES = 10_000  # a recipe has tens; a file of nested aliases would otherwise fill the memory
_DEEPEST = 50  # a recipe nests below 10; also what stops an alias that holds itself
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")
)
_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
# The numbers of YAML 1.2, section 10.3.2, except that a leading zero makes text: 0012 is a patient, not 12.
_NUMBER = re.compile(
    r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|(0|[1-9][0-9]*)(?=[eE]))([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
# What a reader of YAML 1.1 would take for a number, a time, a date, a truth value or nothing.
_AMBIGUOUS = re.compile(
    r"[-+.]?[0-9].*|[-+.]?\.?(y|n|yes|no|on|off|true|false|null|nan|inf)|[~=]|<<|", re.IGNORECASE
)


def parse_yaml(text: str, where: str) -> Any:
    """Read YAML strictly.

    Args:
        text: One document.
        where: What the text is, such as its file; it begins every message.

    Raises:
        RecipeError: If it is not YAML, repeats a key, or has a tag that would build an object.

    Example:
        >>> parse_yaml("{rate: 1e-3, classes: [NO, off], patient: 0012, time: 12:30}", "example")
        {'rate': 0.001, 'classes': ['NO', 'off'], 'patient': '0012', 'time': '12:30'}
    """
    loader = _yaml()
    node = _checked(loader, text, where, {})
    return None if node is None else loader.constructor.construct_document(node)


def key_positions(text: str) -> dict[str, int]:
    r"""Return the line of every key and list item.

    Args:
        text: YAML that `parse_yaml` accepts.

    Raises:
        RecipeError: As `parse_yaml` does.

    Example:
        >>> key_positions("data:\n  size: 3\ncallbacks:\n- class_path: A")
        {'data': 1, 'data.size': 2, 'callbacks': 3, 'callbacks.0': 4, 'callbacks.0.class_path': 4}
    """
    found: dict[str, int] = {}
    _checked(_yaml(), text, "recipe", found)
    return found


def dump_yaml(data: object) -> str:
    """Write plain values as YAML that this and older readers read back alike.

    Args:
        data: Mappings, lists, text, numbers, truth values and None; keys keep their order.

    Raises:
        RecipeError: If it holds anything else.

    Example:
        >>> print(dump_yaml({"rate": 1e-05, "answer": "NO", "patient": "0012"}), end="")
        rate: 1.0e-05
        answer: 'NO'
        patient: '0012'
    """
    writer = _yaml()
    writer.width = 4096  # characters; a folded path or sentence is harder to read and to search for
    stream = StringIO()
    writer.serialize(_node_of(data), stream)
    return stream.getvalue()


def _yaml() -> YAML:
    from ruamel.yaml import YAML  # noqa: PLC0415 - 30 ms that light commands spare

    return YAML(typ="safe", pure=True)


def _checked(loader: YAML, text: str, where: str, found: dict[str, int]) -> Node | None:
    """Compose the nodes of a text, make them strict and note their lines."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415 - 30 ms that light commands spare

    try:
        node: Node | None = loader.compose(text)
    except MarkedYAMLError as error:
        place = f"{where}:{error.problem_mark.line + 1}" if error.problem_mark else where
        what = error.problem or error.context or "it cannot be read"
        raise RecipeError(f"{place}: not YAML: {what}; mend the line, or quote the text.") from error
    except (YAMLError, RecursionError) as error:
        raise RecipeError(f"{where}: not YAML: {str(error).splitlines()[0]}; mend it.") from error
    if node is not None:
        _visit(node, where, (), found)
    return node


def _visit(node: Node, where: str, path: tuple[str, ...], found: dict[str, int]) -> None:
    """Check a node and all below it."""
    place = f"{where}:{node.start_mark.line + 1}"
    if len(path) > _DEEPEST or len(found) > _MOST_ENTRIES:
        raise RecipeError(f"{place}: too deep or too long for a recipe; write it without nested aliases.")
    _retag(node)
    if node.tag not in _PLAIN_TAGS:
        raise RecipeError(f"{place}: has the tag {node.tag!r}; a recipe holds plain values, remove the tag.")
    if node.id == "sequence":
        for index, item in enumerate(node.value):
            found[".".join((*path, str(index)))] = item.start_mark.line + 1
            _visit(item, where, (*path, str(index)), found)
    elif node.id == "mapping":
        for key, value in node.value:
            name = _key(key, where)
            dotted, line = ".".join((*path, name)), key.start_mark.line + 1
            if dotted in found:
                raise RecipeError(
                    f"{where}:{line}: key {dotted!r} stands already on line {found[dotted]}; keep one."
                )
            found[dotted] = line
            _visit(value, where, (*path, name), found)


def _key(node: Node, where: str) -> str:
    place = f"{where}:{node.start_mark.line + 1}"
    if node.tag == _MERGE:
        raise RecipeError(f"{place}: `<<` is not YAML 1.2; write the keys out.")
    if node.id != "scalar":
        raise RecipeError(f"{place}: a key is a list or a mapping; keys are text.")
    _retag(node)
    return str(node.value)


def _retag(node: Node) -> None:
    """Make text of what only older YAML takes for a date, a number or a default."""
    plain = node.id == "scalar" and not getattr(node, "style", None)
    kind = str(node.tag).rpartition(":")[2]
    if plain and (
        kind in {"timestamp", "value"} or (kind in {"int", "float"} and not _NUMBER.fullmatch(node.value))
    ):
        node.tag = _TEXT


def _node_of(data: object) -> Node:
    """Return the node that writes a plain value."""
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode  # noqa: PLC0415 - 30 ms that light commands spare

    if isinstance(data, dict):
        pairs = [(_node_of(key), _node_of(value)) for key, value in data.items()]
        return MappingNode("tag:yaml.org,2002:map", pairs, flow_style=not pairs)
    if isinstance(data, list | tuple):
        return SequenceNode("tag:yaml.org,2002:seq", [_node_of(item) for item in data], flow_style=not data)
    kind, text = _scalar(data)
    quote = "'" if kind == "str" and _AMBIGUOUS.fullmatch(text) else None
    return ScalarNode(f"tag:yaml.org,2002:{kind}", text, style=quote)


def _scalar(data: object) -> tuple[str, str]:
    """Return the kind of a plain scalar and how it is written."""
    if data is None:
        return "null", "null"
    if isinstance(data, bool):
        return "bool", str(data).lower()
    if isinstance(data, str):
        return "str", str(data)
    if isinstance(data, int):
        return "int", str(int(data))
    if isinstance(data, float):
        text = repr(float(data))
        # without a point, `1e-05` is text to a reader of YAML 1.1
        text = text if "." in text or "e" not in text else text.replace("e", ".0e")
        return "float", {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(text, text)
    raise RecipeError(f"recipe: {data!r} is no plain value; give text, numbers, lists or mappings.")
