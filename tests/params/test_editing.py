"""One value replaced, every other byte kept."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from cspops.params import load, parse
from cspops.params.editing import with_section, with_value, without_sections

ROOT = Path(__file__).parents[2]
PARAMS = (ROOT / "params.yaml").read_text()


def test_only_the_line_of_the_value_changes_and_its_comment_stays_in_its_column() -> None:
    new = with_value(PARAMS, ("dataset", "source"), "folder")
    before, after = PARAMS.splitlines(), new.splitlines()
    changed = [number for number, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert len(changed) == 1
    old_line, new_line = before[changed[0]], after[changed[0]]
    assert new_line.startswith("  source: folder ")
    assert old_line[old_line.index("#") :] == new_line[new_line.index("#") :]
    assert old_line.index("#") == new_line.index("#")
    assert parse(new, Path("params.yaml")).dataset.source == "folder"


def test_every_plain_value_of_params_yaml_can_be_replaced_by_itself() -> None:
    text, plain = PARAMS, 0
    for key, value in _scalars(YAML(typ="safe", pure=True).load(PARAMS)):
        if isinstance(value, str):
            text = with_value(text, key, value)
            assert text.replace('"', "") == PARAMS.replace('"', "")
            plain += 1
    assert plain > 10
    assert parse(text, Path("params.yaml")) == load(ROOT / "params.yaml")


def _scalars(content: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(content, dict):
        return [found for key, value in content.items() for found in _scalars(value, (*path, key))]
    return [] if isinstance(content, list) else [(path, content)]


TEXTS = st.text("ab Z09-_.:#'\"\\\n\r\t,[]{}&*!|>%@`?~=ä動𝔘\x00\x7f\x85\u2028\ufeff")
"""Of characters that mean something to YAML, or that it may not hold as they are."""


@example("2024-13-45")
@example("9" * 5000)
@example("[" * 200)
@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.one_of(TEXTS, st.integers(-999, 999), st.booleans(), st.none()))
def test_whatever_is_written_is_read_again(value: Any) -> None:
    text = "a:\n- b: old   # why\n  c: 3\nd: 4\n"
    assert YAML(typ="safe", pure=True).load(with_value(text, ("a", 0, "b"), value)) == {"a": [{"b": value, "c": 3}], "d": 4}


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("a: x  # why\n", "xyz", "a: xyz # why\n"),  # no room: one blank stays
        ("a: xyz # why\n", "x", "a: x   # why\n"),
        ("a: x\r\nb: 1\r\n", "y", "a: y\r\nb: 1\r\n"),
        ("a: 'x # y'\n", "12", 'a: "12"\n'),
        ("a: x\n", "C: \\photos #1", 'a: "C: \\\\photos #1"\n'),
        ("a: x\n", "/home/me/my photos", "a: /home/me/my photos\n"),
        ("a: null", None, "a: null"),
        ("{a: x, b: 1}\n", "y, z", '{a: "y, z", b: 1}\n'),
        ("a: ''\n", "x\n\ty", 'a: "x\\U0000000a\\U00000009y"\n'),
    ],
)
def test_spellings(text: str, value: Any, expected: str) -> None:
    assert with_value(text, ("a",), value) == expected


@pytest.mark.parametrize("path", [("b",), ("d",), ("a", "x"), ("a", 2), ("a", 1), ("a",), ("c",)])
def test_what_is_no_single_line_scalar_is_refused(path: tuple[str | int, ...]) -> None:
    with pytest.raises(KeyError):
        with_value("a:\n- x\n- y: 1\nc: |\n  two\n  lines\nd:\n", path, "z")


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
