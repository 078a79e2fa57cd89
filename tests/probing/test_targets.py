"""Targets from tables: what is a number and what a class, what is set aside, and what is refused."""

from pathlib import Path

import pytest

from cspops.errors import DataError, ParamsError
from cspops.probing.targets import Target, read_targets


def read(folder: Path, text: str, *names: str, kind=None, most=None, name: str = "t.csv") -> list[Target]:  # type: ignore[no-untyped-def]
    (folder / name).write_text(text)
    return read_targets(folder / name, names, kind=kind, most=most, folds=2, seed=0)


def table(*rows: str, header: str = "lon,lat,target") -> str:
    return "\n".join((header, *rows)) + "\n"


@pytest.mark.parametrize(
    ("values", "kind", "as_kind", "found"),
    [
        (["1", "2.5", "-3e2", "4"], "regression", None, [1, 2.5, -300, 4]),
        (["b", "a", "b", "a"], "classification", None, [1, 0, 1, 0]),
        (["1", "2", "1", "2"], "classification", "classification", [0, 1, 0, 1]),
        (["1", "x", "2", "3"], "regression", "regression", [1, 2, 3]),
        (["1", "x", "x", "y", "y", "y"], "classification", None, [0, 0, 1, 1, 1]),
        (["1", "", "NA", "2"], "regression", None, [1, 2]),
    ],
)
def test_numbers_are_regression_and_texts_classes_unless_forced(tmp_path: Path, values, kind, as_kind, found) -> None:
    rows = [f"{number + 1},0,{value}" for number, value in enumerate(values)]
    (target,) = read(tmp_path, table(*rows), kind=as_kind)
    assert (target.kind, target.value.tolist()) == (kind, found)
    assert len(target.lonlat) == len(found)


def test_a_text_among_numbers_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 of 4 values are no numbers \(first 'x'\)") as caught:
        read(tmp_path, table("1,0,1", "2,0,2", "3,0,x", "4,0,5"))
    assert "--as regression" in str(caught.value)


def test_rows_that_cannot_be_used_are_counted_by_reason(tmp_path: Path) -> None:
    rows = ("1,1,5", "2,99,6", ",,7", "3,1,", "4,1,inf", "5,1,1e999", "6,1,nan", "7,1,8", "8,1,9,10", "9,1,word")
    (target,) = read(tmp_path, table(*rows), kind="regression")
    assert target.value.tolist() == [5, 8]
    assert target.set_aside == {
        "latitude is outside [-90, 90]": 1,
        "no position is given": 1,
        "the row has more fields than the header": 1,
        "the target is missing": 2,
        "the target is not a number": 1,
        "the target is not finite, or beyond 1e+100": 2,
    }


def test_classes_without_a_row_for_each_fold_are_set_aside(tmp_path: Path) -> None:
    (target,) = read(tmp_path, table("1,1,a", "2,1,b", "3,1,a", "4,1,c", "5,1,c"))
    assert (target.classes, target.value.tolist()) == (("a", "c"), [0, 0, 1, 1])
    assert target.set_aside == {"its class has too few rows (fewer than 2)": 1}


@pytest.mark.parametrize(
    ("header", "names", "found"),
    [
        ("lon,lat,target,x", (), ["target"]),
        ("lat,lon,x", (), ["x"]),
        ("obs_id,latitude,longitude,x", (), ["x"]),
        ("lon,lat,x,y", ("y", "x", "y"), ["y", "x"]),
    ],
)
def test_which_column_is_the_target(tmp_path: Path, header: str, names: tuple[str, ...], found: list[str]) -> None:
    cells = len(header.split(","))
    rows = [",".join(str(10 * row + column) for column in range(cells)) for row in range(1, 4)]
    assert [one.name for one in read(tmp_path, table(*rows, header=header), *names)] == found


def test_ids_follow_their_rows(tmp_path: Path) -> None:
    (target,) = read(tmp_path, table("a,1,1,5", "b,2,1,", "c,3,1,6", header="obs_id,lon,lat,x"))
    assert target.obs_id == ("a", "c")


def test_no_more_rows_than_asked_for(tmp_path: Path) -> None:
    rows = [f"{row},1,{row}" for row in range(1, 100)]
    first, again = (read(tmp_path, table(*rows), most=20)[0] for _ in range(2))
    assert len(first.value) == 20
    assert first.value.tolist() == again.value.tolist() == first.lonlat[:, 0].tolist()


@pytest.mark.parametrize(
    ("text", "names", "says"),
    [
        (table("1,1,2", header="lon,y,target"), (), "no column is known as lat"),
        (table("1,2", header="x,target"), (), "no column is known as lon or lat"),
        (table("1,1", header="lon,lat"), (), "no column besides the position"),
        (table("1,1,2,3", header="lon,lat,x,y"), (), "has no column 'target'"),
        (table("1,1,2,3", header="lon,lat,height,y"), ("hight",), "has no column 'hight'; did you mean 'height'"),
        (table("1,1,2", header="lon,lat,x"), ("lat",), "'lat' is the position"),
        (table("1,1,5", "2,2,5"), (), "'target' is 5 in all 2 rows"),
        (table("1,1,a", "2,2,a"), (), "'target' is a in all 2 rows"),
        (table("1,1,5"), (), "'target' is 5 in the only row that can be used"),
        (table("1,1,a", "2,2,b", "3,3,c"), (), "3 classes in 3 rows, and none of them has 2 rows"),
        (table("1,1,a", "2,2,a", "3,3,c"), (), "and only one of them has 2 rows"),
        (table("1,1,nan", "2,2,"), (), "no row of 'target' can be used: 2 rows: the target is missing"),
        (table("1,95,3", "2,-95,4"), (), "no row of 'target' can be used: 2 rows: latitude is outside"),
        (table(), (), "no row of 'target' can be used: it has no rows"),
        ("", (), "t.csv is empty"),
    ],
)
def test_what_is_no_table_of_targets(tmp_path: Path, text: str, names: tuple[str, ...], says: str) -> None:
    with pytest.raises(DataError if not names or names == ("lat",) else ParamsError, match=says) as caught:
        read(tmp_path, text, *names)
    assert caught.value.hint
