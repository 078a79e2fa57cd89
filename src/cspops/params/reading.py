"""Reading params.yaml in DVC's own YAML dialect, with sentences about what is wrong in it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cspops.errors import ParamsError, nearest
from cspops.params.graph import CHOICES, value_at
from cspops.params.section import Section
from cspops.params.sections import Params
from cspops.params.yaml_text import NotReadable, read_yaml, shortened

TEMPLATE = files("cspops").joinpath("template", "params.yaml")
"""The whole of params.yaml, as it comes with the package: every section of every catalogue."""


RESTORE = "fix params.yaml, or git restore params.yaml"
MOST = 20
"""Problems that are listed."""


def load(file: Path) -> Params:
    """Read and check params.yaml; ParamsError lists everything that is wrong with it."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{file} is missing", hint="run in the project's folder, or git restore params.yaml") from None
    except IsADirectoryError:
        raise ParamsError(f"{file} is a folder", hint="git restore params.yaml") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{file} cannot be read: it is not UTF-8 text ({error.reason})", hint=RESTORE) from None
    return parse(text, file)


def parse(text: str, file: Path) -> Params:
    """Check the text of a params.yaml, such as another revision's; ``file`` is what errors call it."""
    try:
        raw = read_yaml(text)
    except NotReadable as error:
        raise ParamsError(f"{file} cannot be read{error}", hint=RESTORE) from None
    if not isinstance(raw, Mapping):
        raise ParamsError(f"{file} holds no keys", hint="git restore params.yaml")
    return checked(raw, file)


def checked(raw: Mapping[str, Any], file: Path) -> Params:
    """Check plain values and return them as params; ParamsError lists everything that is wrong with them."""
    try:
        params = Params.model_validate(_tuples(raw))
    except ValidationError as error:
        lines = [f"{file.name}: {line}" for line in islice(_explain(error), MOST + 1)]
        if len(lines) > MOST:
            lines[MOST] = f"{file.name}: and more that is wrong"
        raise ParamsError(lines, hint=RESTORE) from None
    chosen = {f"{path}.{value_at(params, key)}": key for path, key in CHOICES.items()}
    missing = [
        f"{file.name}: {section}: the section is missing; {key} is {value_at(params, key)}"
        for section, key in chosen.items()
        if value_at(params, section) is None
    ]
    if missing:
        raise ParamsError(missing, hint=f"copy its lines from {TEMPLATE}")
    return params


def default_params() -> Params:
    """Return the params.yaml that comes with the package."""
    return parse(TEMPLATE.read_text(encoding="utf-8"), Path("params.yaml"))


def completed(params: Params) -> Params:
    """Return the same params, with the sections that are absent as they come with the package."""
    return Params.model_validate(_merged(default_params().model_dump(), params.model_dump(exclude_unset=True)))


def _merged(default: Any, given: Any) -> Any:
    if isinstance(default, dict) and isinstance(given, dict):
        return default | {key: _merged(default.get(key), value) for key, value in given.items()}
    return given


def with_values(params: Params, values: Iterable[tuple[str, Any]]) -> Params:
    """Return the same params with other values at these paths; ParamsError as for params.yaml."""
    raw = params.model_dump(exclude_unset=True)
    for path, value in values:
        *parents, last = path.split(".")
        at = raw
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return checked(raw, Path("params.yaml"))


def _tuples(value: Any) -> Any:
    """Turn YAML lists into tuples, which frozen strict models ask for; whole numbers stay whole."""
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _explain(error: ValidationError) -> Iterator[str]:
    problems = error.errors()
    for problem in problems:
        if problem["type"] == "too_short" and _inside(problem["loc"], problems):
            continue  # pydantic counts the entries that are right
        path = ".".join(str(part) for part in problem["loc"])
        kind, value = problem["type"], problem["input"]
        if kind == "extra_forbidden":
            known = _keys_at(problem["loc"][:-1])
            near = nearest(str(problem["loc"][-1]), known)
            guess = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known) or 'none'}"
            yield f"{path}: unknown key; {guess} (got {_short(value)})"
        elif kind == "missing":
            yield f"{path}: the key is missing"
        elif kind == "literal_error":
            choices = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
            near = nearest(str(value), choices, cutoff=0.3)
            guess = f"; did you mean `{near[0]}`?" if near else ""
            yield f"{path}: {_short(value)} is not one of {', '.join(choices)}{guess}"
        elif kind == "value_error":
            prefix = f"{path}: " if path else ""
            yield f"{prefix}{problem['ctx']['error']}"
        else:
            message = problem["msg"].replace("valid tuple", "list").replace("Tuple", "List").replace(" after validation", "")
            yield f"{path}: {message[0].lower()}{message[1:]} (got {_short(value)})"


def _inside(path: tuple[int | str, ...], problems: Sequence[ErrorDetails]) -> bool:
    """Return whether a problem lies below ``path``."""
    return any(one["loc"][: len(path)] == path and len(one["loc"]) > len(path) for one in problems)


def _short(value: Any) -> str:
    return shortened(repr(value) if isinstance(value, str) else str(value))


def _keys_at(path: tuple[int | str, ...]) -> list[str]:
    """Return the keys that params.yaml may hold under ``path``."""
    model: Any = Params
    for key in path:
        kind = model.model_fields[model.fields_by_key()[str(key)]].annotation
        model = next(one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, Section))
    return list(model.fields_by_key())
