"""params.yaml of a test's own project."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from ruamel.yaml import YAML

from cspops.params import Params
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
    """The same params with another value at a path: another choice where there are choices, else one that nobody checks."""

    def within(section: Section, keys: list[str]) -> Section:
        name = type(section).fields_by_key()[keys[0]]
        value = getattr(section, name)
        if keys[1:]:
            return section.model_copy(update={name: within(value, keys[1:])})
        choices = [one for one in get_args(type(section).model_fields[name].annotation) if isinstance(one, str)]
        return section.model_copy(update={name: next((one for one in choices if one != value), None) or _another(value)})

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
