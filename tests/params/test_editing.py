"""Values replaced as DVC does it, sections put in and left out."""

import re
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from cspops.params import TEMPLATE
from cspops.params.editing import edited, with_section, without_sections

ROOT = Path(__file__).parents[2]
PARAMS = (ROOT / "params.yaml").read_text()


@pytest.mark.parametrize(
    "override",
    [
        "loss=none",
        "location_encoder.encoding.name=sphereC+",
        "pretrain.epochs=3",
        "split.val_labels=as_labels",
        "dataset.source=folder",
        "dataset.blue_marble.view=tile",
        "dataset.max_uncertainty_m=1000.0",
        "dataset.folder.sidecar=observations.csv",
        "dataset.table.columns.lon=x",
        "image_encoder.px=null",
        "pretrain_img.methods.moco.epochs=2",
        "finetune_loc.mode=full",
        "losses.mc.tau_batch=0.5",
        "losses.nce.terms=BL",
    ],
)
def test_an_override_of_dvc_changes_one_line_and_so_does_an_edit(tmp_path: Path, override: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(PARAMS)
    apply_overrides(file, [override])
    after = file.read_text()
    [(old, new)] = [(a, b) for a, b in zip(PARAMS.splitlines(), after.splitlines(), strict=True) if a != b]
    assert old.partition("#")[2] == new.partition("#")[2]
    assert old.find("#") == new.find("#") or len(new.partition(" #")[0]) >= old.find("#") - 1
    key, value = override.split("=")
    assert edited(PARAMS, {tuple(key.split(".")): YAML(typ="safe").load(value)}) == after


def test_params_yaml_of_this_repository_and_of_the_package_are_as_dvc_writes_them() -> None:
    for file in (ROOT / "params.yaml", TEMPLATE):
        assert edited(file.read_text(), {}) == file.read_text()


TEXTS = st.text("ab Z09-_.:#'\"\\\n\r\t,[]{}&*!|>%@`?~=ä動𝔘\x00\x7f\x85\u2028\ufeff", max_size=100)
"""Of characters that mean something to YAML, or that it may not hold as they are."""


@example("2024-13-45")
@example("9" * 5000)
@example("[" * 200)
@example("two words " * 20)
@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.one_of(TEXTS, st.integers(-999, 999), st.booleans(), st.none(), st.lists(st.floats(allow_nan=False))))
def test_whatever_is_written_is_read_again(value: Any) -> None:
    text = "a:\n- b: old   # why\n  c: 3\nd: 4\n"
    assert YAML(typ="safe", pure=True).load(edited(text, {("a", 0, "b"): value})) == {"a": [{"b": value, "c": 3}], "d": 4}


@pytest.mark.parametrize("path", [("b",), ("a", "x"), ("a", 2), ("a", 1), ("e", 0), ("c", "x"), ("f",)])
def test_what_is_not_there_or_a_section_is_refused(path: tuple[str | int, ...]) -> None:
    with pytest.raises(KeyError, match=re.escape(".".join(map(str, path)))):
        edited("a:\n- x\n- y: 1\nc: 1\nd:\ne: text\nf: {g: 1}\n", {path: "z"})


WHOLE = """\
a:
  x: 1
  one:   # first
    p: 1
         # and more
  two: {}
  three: {p: 1,
      q: 2}   # third
b: 2
"""


def test_a_section_is_left_out_with_its_comments_and_put_in_again_before_the_last() -> None:
    slim = without_sections(WHOLE, [("a", "one"), ("a", "three")])
    assert slim == "a:\n  x: 1\n  two: {}\nb: 2\n"
    assert with_section(slim, ("a", "one"), WHOLE) == without_sections(WHOLE, [("a", "three")])
    assert with_section(WHOLE, ("a", "three"), WHOLE) == WHOLE


def test_a_section_takes_the_indentation_of_its_neighbours() -> None:
    text = with_section("a:\n      two: {}\n# end\n", ("a", "one"), WHOLE)
    assert text == "a:\n      one:   # first\n        p: 1\n             # and more\n      two: {}\n# end\n"


@pytest.mark.parametrize("text", ["a: {two: {}}\n", "a: {}\n", "a: 1\n", "b: 1\n"])
def test_without_a_block_of_neighbours_there_is_no_room_for_a_section(text: str) -> None:
    with pytest.raises(KeyError):
        with_section(text, ("a", "one"), WHOLE)
