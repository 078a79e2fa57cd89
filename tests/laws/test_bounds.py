"""Every number of params.yaml has bounds, so that what check lets through is within what a stage survives."""

from collections.abc import Iterator
from typing import Any

import pytest

from cspops import params
from cspops.errors import ParamsError

SCHEMA = params.Params.model_json_schema()
DEFAULT = params.default_params()
LARGEST = 2**63


def numbers(schema: dict[str, Any], path: str = "", depth: int = 0) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield the key of each number, how many lists it stands in, and its part of the schema."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") in ("integer", "number"):
        yield path, depth, schema
    for key, part in schema.get("properties", {}).items():
        yield from numbers(part, f"{path}.{key}".lstrip("."), depth)
    for part in schema.get("anyOf", ()):
        yield from numbers(part, path, depth)
    if "items" in schema:
        assert "maxItems" in schema or path.endswith("bands"), f"{path}: a list without a longest length"
        yield from numbers(schema["items"], path, depth + 1)


def is_there(path: str) -> bool:
    """Whether the default params have the section of a number; GAIR's own encodings and networks are the chosen ones alone."""
    section: Any = DEFAULT.model_dump()
    for key in path.split(".")[:-1]:
        section = section.get(key)
        if section is None:
            return False
    return True


NUMBERS = [one for one in numbers(SCHEMA) if is_there(one[0])]


def test_the_walk_finds_every_number_of_the_file() -> None:
    def leaves(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, dict):
            for key, one in value.items():
                yield from leaves(one, f"{path}.{key}".lstrip("."))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield path
        elif isinstance(value, tuple):
            for one in value:
                yield from leaves(one, path)

    assert set(leaves(DEFAULT.model_dump(), "")) <= {path for path, _, _ in NUMBERS}
    assert len(NUMBERS) > 120


@pytest.mark.parametrize(("path", "depth", "schema"), NUMBERS, ids=[path for path, _, _ in NUMBERS])
def test_a_number_has_bounds_and_what_lies_beyond_is_refused_by_its_key(path: str, depth: int, schema: dict[str, Any]) -> None:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    assert low is not None, f"{path} has no least value"
    assert high is not None, f"{path} has no greatest value"
    assert max(abs(low), abs(high)) <= LARGEST
    whole = schema["type"] == "integer"
    step = 1 if whole else 1e-9 * max(abs(low), abs(high), 1e-9)
    beyond: list[Any] = [low - step, high + step, 10**30, -(10**30)]
    beyond += [low] if "exclusiveMinimum" in schema else []
    beyond += [high] if "exclusiveMaximum" in schema else []
    beyond += [] if whole else [1e308, -1e308, float("nan"), float("inf"), -float("inf")]
    for value in beyond:
        with pytest.raises(ParamsError) as caught:
            params.with_values(DEFAULT, [(path, [value] if depth else value)])
        assert f"params.yaml: {path}" in caught.value.message, value
