"""The params.yaml that comes with the package is that of this repository, whatever an experiment has set in it."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cspops import params

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "src" / "cspops" / "template" / "params.yaml"


def keys(value: Any, path: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {path}
    return {path, *(below for name, one in value.items() for below in keys(one, f"{path}.{name}"))}


def test_it_has_the_same_keys_and_comments_and_is_valid() -> None:
    texts = [file.read_text() for file in (TEMPLATE, ROOT / "params.yaml")]
    ours, theirs = (keys(YAML(typ="safe").load(text)) for text in texts)
    assert ours == theirs
    ours_said, theirs_said = ([line.split("# ", 1)[1] for line in text.splitlines() if "# " in line] for text in texts)
    assert ours_said == theirs_said
    params.load(TEMPLATE)
