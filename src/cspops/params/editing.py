"""Values of a YAML file replaced, a section put in or left out where it stands; comments and order stay."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from io import StringIO
from itertools import takewhile
from operator import getitem
from typing import Any

from cspops.params.yaml_text import compose


def edited(text: str, values: Mapping[tuple[str | int, ...], Any]) -> str:
    """Return the text with other values at these paths; KeyError when nothing, or a mapping, is there.

    It is written as `dvc exp run -S` writes it: of a text in that form, as params.yaml is, only the lines of the values change.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    yaml, written = YAML(), StringIO()
    yaml.default_flow_style = False
    content = yaml.load(text)
    for path, value in values.items():
        if isinstance(value, str) and not value.isprintable():
            value = DoubleQuotedScalarString(value)  # as DVC writes it, a NEL would become a blank
        *parents, last = path
        try:
            at = reduce(getitem, parents, content)
            if isinstance(at[last], Mapping):
                raise KeyError(last)
            at[last] = value
        except (KeyError, IndexError, TypeError):
            raise KeyError(".".join(map(str, path))) from None
    yaml.dump(content, written)
    return written.getvalue()


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


def _key_and_value(node: Any, path: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the nodes of the last key of ``path`` below ``node`` and of what it holds; None for what is not there."""
    from ruamel.yaml.nodes import MappingNode

    name = None
    for key in path:
        pairs = node.value if isinstance(node, MappingNode) else []
        name, node = next((pair for pair in pairs if pair[0].value == key), (None, None))
    return name, node
