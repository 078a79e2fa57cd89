from pathlib import Path

import pytest

from cspops.files import no_formula, replaced, whole, write_whole


def test_a_file_is_replaced_by_the_last_text(tmp_path: Path) -> None:
    write_whole(tmp_path / "deep" / "file", "one")
    write_whole(tmp_path / "deep" / "file", "two \N{GREEK SMALL LETTER PI}")
    assert [path.read_text(encoding="utf-8") for path in (tmp_path / "deep").iterdir()] == ["two \N{GREEK SMALL LETTER PI}"]


def test_a_file_keeps_its_bytes_until_the_new_ones_are_all_there(tmp_path: Path) -> None:
    file = tmp_path / "map.png"
    file.write_bytes(b"old")
    with pytest.raises(RuntimeError), whole(file) as new:
        new.write_bytes(b"ne")
        assert new.suffix == ".png" and file.read_bytes() == b"old"
        raise RuntimeError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_what_a_folder_held_is_gone_when_a_new_one_takes_its_place_and_stays_after_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    for name in "ab":
        with replaced(folder) as new:
            (new / name).touch()
    with pytest.raises(RuntimeError), replaced(folder) as new:
        (new / "c").touch()
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["b"] and len(list(folder.parent.iterdir())) == 1


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1+1", "-1+1", "- none", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "=1", "-", "-²"]
)
def test_a_text_that_a_spreadsheet_would_compute_is_quoted(text: str) -> None:
    assert no_formula(text) == f"'{text}"


@pytest.mark.parametrize(
    "cell", ["-12.5", "+7", "-.5", "-1.", "-1e-05", "a=b", "'=1", " =1", "", "\N{MINUS SIGN}1", -12.5, 0, None]
)
def test_numbers_and_other_cells_are_as_they_are(cell: object) -> None:
    assert no_formula(cell) is cell
