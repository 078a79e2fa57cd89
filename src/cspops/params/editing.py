"""One value of a YAML file replaced where it stands; comments, order and spacing stay."""

import json
import re
from typing import Any


def with_value(text: str, path: tuple[str | int, ...], value: str | int | float | bool | None) -> str:
    """The text with the scalar at ``path`` replaced; KeyError when nothing, or no scalar, is there.

    A comment behind it stays in its column where there is room.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

    node: Any = YAML(typ="safe", pure=True).compose(text)
    for key in path:
        if isinstance(node, MappingNode):
            node = next((item for name, item in node.value if name.value == key), None)
        elif isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
        else:
            node = None
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


def _scalar(value: str | int | float | bool | None) -> str:
    """How a value is written: plain where YAML reads it back as it is, else in double quotes."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not isinstance(value, str):
        return json.dumps(value)
    try:
        if YAML(typ="safe", pure=True).load(f"key: {value} # comment") == {"key": value}:
            return value
    except YAMLError:
        pass
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in escaped) + '"'
