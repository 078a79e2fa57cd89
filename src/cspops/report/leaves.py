"""Params as one list: the leaves of nested sections by their paths."""

from collections.abc import Mapping
from typing import Any


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by path (`losses.mc.tau_batch`), below ``path`` where it is given; an empty section below is a leaf."""
    if not isinstance(value, Mapping) or (path and not value):
        return {path: value}
    below = [leaves(one, f"{path}.{name}" if path else str(name)) for name, one in value.items()]
    return {key: leaf for some in below for key, leaf in some.items()}
