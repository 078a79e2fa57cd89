"""YAML in DVC's own dialect, read within bounds: whatever a text holds, it becomes plain values or one sentence.

ruamel.yaml raises its own errors for wrong syntax, but ValueError, KeyError or IndexError for scalars that are no number or
date, recurses as deep as a text is nested, and repeats what aliases repeat. So nodes are composed within limits, aliases
are counted as often as they are used, and each scalar is tried by itself before the whole is built.
"""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

CHARACTERS, DEPTH, VALUES, DIGITS = 2**17, 32, 4000, 100
"""Of a text, of its nesting, of all its keys and values with aliases written out, of one number."""
KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "timestamp": "a date", "binary": "base64"}
"""What YAML's tags ask of a value."""


class NotReadable(Exception):
    """A text that is no YAML, or is too large; its text says where, by key or line as far as they are known, and why."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{f' ({where})' if where else ''}: {problem}")


def read_yaml(text: str) -> Any:
    """Return the plain values of the one document in a text, None where it is empty; NotReadable says what is wrong."""
    root = compose(text)
    if root is None:
        return None
    sizes: dict[int, int] = {}
    yaml = _yaml()
    _size(root, (), yaml.constructor, sizes)
    return _guarded(text, lambda: yaml.constructor.construct_document(root))


def compose(text: str) -> Any:
    """Return the root node of a text, None where it is empty; NotReadable for wrong syntax, and beyond the limits."""
    if len(text) > CHARACTERS:
        raise NotReadable("", f"{len(text):,} characters, at most {CHARACTERS:,} are read")
    return _guarded(text, lambda: _yaml().compose(text))


def _guarded(text: str, step: Callable[[], Any]) -> Any:
    from ruamel.yaml.error import YAMLError

    try:
        with warnings.catch_warnings(action="ignore"):  # of anchors that are set twice, which YAML allows
            return step()
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        if line is None and isinstance(position := getattr(error, "position", None), int):
            line = text.count("\n", 0, position) + 1
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise NotReadable(f"line {line}" if line else "", shortened(problem, 300)) from None
    except NotReadable:
        raise
    except Exception as error:  # of what ruamel.yaml does not expect, such as a directive without a version
        raise NotReadable("", f"cannot be read ({type(error).__name__})") from None


def shortened(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _composer()
    return yaml


@cache
def _composer() -> Any:
    """Return ruamel.yaml's composer with limits: it would follow any nesting to the end of the stack."""
    from ruamel.yaml.composer import Composer

    class Bounded(Composer):
        levels = nodes = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            line = f"line {self.parser.peek_event().start_mark.line + 1}"
            self.levels += 1
            self.nodes += 1
            if self.levels > DEPTH:
                raise NotReadable(line, f"nested more than {DEPTH} deep")
            if self.nodes > VALUES:
                raise NotReadable(line, f"more than {VALUES:,} keys and values")
            node = super().compose_node(parent, index)
            self.levels -= 1
            return node

    return Bounded


def _size(node: Any, path: tuple[str, ...], constructor: Any, sizes: dict[int, int]) -> int:
    """Return how many keys and values a node is with its aliases written out, each scalar having been tried."""
    from ruamel.yaml.nodes import MappingNode, ScalarNode

    if (known := sizes.get(id(node))) is not None:
        if not known:
            raise NotReadable(_where(path, node), "refers to itself: an alias (*) inside its own anchor (&)")
        return known
    sizes[id(node)] = 0
    if isinstance(node, ScalarNode):
        size = 1
        _try_scalar(node, path, constructor)
    elif isinstance(node, MappingNode):
        size = 1
        for key, value in node.value:
            size += 1 if _is_merge(key) else _size(key, path, constructor, sizes)
            size += _size(value, (*path, str(key.value) if isinstance(key, ScalarNode) else "?"), constructor, sizes)
    else:
        size = 1 + sum(_size(one, (*path, str(i)), constructor, sizes) for i, one in enumerate(node.value))
    if size > VALUES:
        raise NotReadable(_where(path, node), f"more than {VALUES:,} keys and values where aliases (*) are written out")
    sizes[id(node)] = size
    return size


def _try_scalar(node: Any, path: tuple[str, ...], constructor: Any) -> None:
    """Raise NotReadable for a scalar that its tag does not fit, such as 2024-13-45 or `!!int x`, and for endless numbers."""
    kind = str(node.tag).rpartition(":")[2]
    shown = shortened(repr(str(node.value)))
    if kind in ("int", "float") and len(node.value) > DIGITS:
        raise NotReadable(_where(path, node), f"a number of {len(node.value):,} characters: {shown}")
    try:
        constructor.construct_object(node)
    except Exception:  # whatever Python raises for it
        what = f"is not {KINDS[kind]}" if kind in KINDS else f"has a tag that is not known here, {shortened(str(node.tag))}"
        raise NotReadable(_where(path, node), f"{shown} {what}") from None


def _is_merge(key: Any) -> bool:
    """Return whether a key is the `<<` that takes over another mapping's keys."""
    return str(key.tag).endswith(":merge") and key.value == "<<"


def _where(path: tuple[str, ...], node: Any) -> str:
    key = shortened(".".join(path))
    line = f"line {node.start_mark.line + 1}"
    return f"{key}, {line}" if key else line
