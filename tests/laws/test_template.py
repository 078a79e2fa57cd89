"""The params.yaml that comes with the package is that of this repository, whatever an experiment has set in it."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cspops import params
from cspops.params.editing import without_sections

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


EDITED = ("seeds", "loss", "location_encoder.encoding.name", "pretrain.epochs", "split.label_ratios")


def test_what_people_edit_stands_on_the_first_screen() -> None:
    screen = YAML(typ="safe").load("".join(TEMPLATE.read_text().splitlines(keepends=True)[:40]))
    for path in (*EDITED, "dataset.source"):
        value = screen
        for key in path.split("."):
            value = value[key]
        assert value


def test_every_name_that_can_be_chosen_stands_outside_of_its_section() -> None:
    """In a new project, which has the chosen sections alone, the others can be known by their names."""
    default = params.default_params()
    sections = [tuple(path.split(".")) for path in params.unchosen(default)]
    said = without_sections(TEMPLATE.read_text(), sections).replace(
        "sphereC(+), sphereM(+)", "sphereC sphereC+ sphereM sphereM+"
    )
    assert {section[-1] for section in sections} <= set(re.findall(r"[\w+]+", said))
