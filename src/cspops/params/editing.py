"""A value of a YAML file replaced, a section put in or left out where it stands; comments, order and spacing stay."""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from cspops.params.yaml_text import NotReadable, compose, read_yaml


def with_value(text: str, path: tuple[str | int, ...], value: str | int | float | bool | None) -> str:
    """Return the text with the scalar at ``path`` replaced; KeyError when nothing, or no scalar, is there.

    A comment behind it stays in its column where there is room.
    """
    from ruamel.yaml.nodes import ScalarNode

    _, node = _key_and_value(compose(text), path)
    if (
        not isinstance(node, ScalarNode)
        or node.start_mark.line != node.end_mark.line
        or node.start_mark.column == node.end_mark.column
    ):
        raise KeyError(".".join(map(str, path)))
    lines = text.splitlines(keepends=True)
    number, start, stop = node.start_mark.line, node.start_mark.column, node.end_mark.column
    before, old, after = lines[number][:start], lines[number][start:stop], lines[number][stop:]
    new = _scalar(value)
    if comment := re.match(r"( +)#", after):
        after = " " * max(1, len(comment[1]) + len(old) - len(new)) + after[len(comment[1]) :]
    lines[number] = before + new + after
    return "".join(lines)


def with_section(text: str, path: tuple[str, ...], whole: str) -> str:
    """Return the text with the section at ``path`` of ``whole``, comments included, before the last of its neighbours.

    A text that has the section stays as it is; KeyError when there is no block of neighbours.
    """
    from ruamel.yaml.nodes import MappingNode

    root, of_whole = compose(text), compose(whole)
    if _key_and_value(root, path)[1] is not None:
        return text
    _, neighbours = _key_and_value(root, path[:-1])
    if not isinstance(neighbours, MappingNode) or neighbours.flow_style or not neighbours.value:
        raise KeyError(".".join(path))
    before, key = neighbours.value[-1][0].start_mark, _key_and_value(of_whole, path)[0].start_mark
    lines, whole_lines = text.splitlines(keepends=True), whole.splitlines(keepends=True)
    section = [" " * before.column + whole_lines[number][key.column :] for number in _lines_of(key, whole_lines)]
    return "".join([*lines[: before.line], *section, *lines[before.line :]])


def without_sections(text: str, paths: Iterable[tuple[str, ...]]) -> str:
    """Return the text without the sections at these paths, comments included."""
    root, lines = compose(text), text.splitlines(keepends=True)
    gone = {number for path in paths for number in _lines_of(_key_and_value(root, path)[0].start_mark, lines)}
    return "".join(line for number, line in enumerate(lines) if number not in gone)


def _lines_of(key: Any, lines: Sequence[str]) -> range:
    """Return the line of a key and the deeper ones that follow."""
    deeper = takewhile(lambda line: line.startswith(" " * (key.column + 1)), lines[key.line + 1 :])
    return range(key.line, key.line + 1 + len(list(deeper)))


def _key_and_value(node: Any, path: tuple[str | int, ...]) -> tuple[Any, Any]:
    """Return the nodes of the last key of ``path`` below ``node`` and of what it holds; None for what is not there."""
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    name = None
    for key in path:
        if isinstance(node, MappingNode):
            name, node = next((pair for pair in node.value if pair[0].value == key), (None, None))
        elif isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.value):
            name, node = None, node.value[key]
        else:
            name, node = None, None
    return name, node


def _scalar(value: str | int | float | bool | None) -> str:
    """Return how a value is written: plain where YAML reads it back as it is, within braces too, else in double quotes."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        block, flow = (read_yaml(f"{text} # comment") for text in (f"key: {value}", f"{{key: {value}}}"))
        if block == flow == {"key": value}:
            return value
    except NotReadable:
        pass
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in escaped) + '"'
