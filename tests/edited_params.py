"""params.yaml of a test's own project."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML


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
