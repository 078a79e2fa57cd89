"""params.yaml of a test's own project."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cspops.params import Params, value_at
from cspops.params.graph import CHOICES
from cspops.params.section import Section


def set_params(project: Path, values: dict[str, Any]) -> None:
    """Give the keys at these paths other values."""
    yaml = YAML()
    content = yaml.load(project / "params.yaml")
    for path, value in values.items():
        *parents, last = path.split(".")
        at = content
        for key in parents:
            at = at[key]
        at[last] = value
    yaml.dump(content, project / "params.yaml")


def leaf_paths(section: Section, above: str = "") -> Iterator[str]:
    """The path of each value below a section that is no section itself."""
    for key, name in type(section).fields_by_key().items():
        value = getattr(section, name)
        path = f"{above}.{key}" if above else key
        yield from leaf_paths(value, path) if isinstance(value, Section) else [path]


def flipped(params: Params, path: str) -> Params:
    """The same params with another value at a path: another section where one is chosen, else one that nobody checks."""
    now = value_at(params, path)
    catalogue = {choice: catalogue for catalogue, choice in CHOICES.items()}.get(path)
    if catalogue is None:
        new = _another(now)
    else:
        sections = value_at(params, catalogue)
        new = next(key for key in sections.fields_by_key() if key != now and isinstance(getattr(sections, key, None), Section))

    def within(section: Section, keys: list[str]) -> Section:
        name = type(section).fields_by_key()[keys[0]]
        return section.model_copy(update={name: within(getattr(section, name), keys[1:]) if keys[1:] else new})

    return within(params, path.split("."))  # type: ignore[return-value]


def _another(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case tuple():
            return (*value, *(value[-1:] or (1,)))
    return 1 if value is None else None


def without_warnings(function: Any, *arguments: Any) -> Any:
    """The answer to values of kinds that nobody checked, of which pydantic warns as it writes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments)
