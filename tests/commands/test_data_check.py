"""`cspops data check` through the command line, on small folders and tables."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from photos import write_photos
from PIL import Image
from small_project import environment

from cspops.commands import main

ROOT = Path(__file__).parents[2]
Check = Callable[..., tuple[int, str, str]]

ROWS = [
    # image, lon, lat, label, captured_at
    ("a.png", "8.5", "47.4", "oak", "2021-05-06"),
    ("b.png", "8.6", "47.5", "oak", "2019-01-02T03:04:05Z"),
    ("c.png", "8.7", "47.6", "elm", ""),
    ("d.png", "8.8", "97.6", "elm", ""),  # no latitude
    ("e.png", "9.0", "98.0", "elm", ""),  # no latitude either
    ("gone.png", "8.9", "47.7", "oak", ""),
    ("f.png", "", "", "", ""),  # neither position nor label
    ("same.png", "8.5", "47.4", "oak", ""),  # the bytes of a.png
    ("broken.png", "8.5", "47.4", "oak", ""),
    ("g.png", "368,5", "47.4", "oak", ""),  # outside, and a decimal comma
    ("h.png", "8,5", "47.4", "ash", ""),  # a decimal comma, an only one of its class
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose data.dvc names a table of 11 rows, 5 of them good."""
    folder, mine = tmp_path / "project", tmp_path / "mine"
    folder.mkdir()
    mine.mkdir()
    for number, (name, *_) in enumerate(ROWS):
        if name not in ("gone.png", "same.png", "broken.png"):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(mine / name)
    (mine / "same.png").write_bytes((mine / "a.png").read_bytes())
    (mine / "broken.png").write_bytes((mine / "a.png").read_bytes()[:-30])
    quoted = (",".join(f'"{value}"' for value in row) for row in ROWS)
    (mine / "list.csv").write_text("\n".join(["image,lon,lat,label,captured_at", *quoted]) + "\n")
    (folder / "data.dvc").write_text((ROOT / "data.dvc").read_text().replace("src/cspops/sample", str(mine)))
    text = (ROOT / "params.yaml").read_text()
    for old, new in (("source: blue_marble", "source: table"), ("max_rejected: 0.1", "max_rejected: 0.55")):
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "params.yaml").write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CSPOPS_WORKERS", "0")
    return folder


@pytest.fixture
def check(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    def run(*arguments: object, columns: int = 160) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["cspops", "data", "check", *map(str, arguments)])
        code = main()
        done = capsys.readouterr()
        return code, done.out, done.err

    return run


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    """Hash and time of every file."""
    return {
        file.relative_to(folder).as_posix(): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def document_of(check: Check, *arguments: object) -> dict[str, Any]:
    code, out, err = check("--json", *arguments)
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def test_the_document_counts_every_row_and_names_the_bad_ones(project: Path, check: Check) -> None:
    document = document_of(check)
    assert (document["source"], document["path"]) == ("table", str(project.parent / "mine"))
    assert (document["rows"], document["observations"], document["rejected"]) == (11, 5, 6)
    assert document["classes"] == {"ash": 1, "elm": 1, "oak": 2}
    assert (document["without_position"], document["without_label"], document["single_classes"]) == (1, 1, 2)
    assert sum(document["reasons"].values()) == 6
    places = {reason: [one["where"] for one in rows] for reason, rows in document["examples"]["reasons"].items()}
    assert list(places) == list(document["reasons"])
    by_row = {place: reason for reason, named in places.items() for place in named}
    assert sorted(by_row) == [f"list.csv:{line}" for line in (10, 11, 5, 6, 7, 9)]
    assert by_row["list.csv:5"] == by_row["list.csv:6"] == "latitude is outside [-90, 90]"
    assert "same image bytes" in by_row["list.csv:9"]
    assert document["dates"] == {"first": "2019-01-02T03:04:05+00:00", "last": "2021-05-06T00:00:00+00:00", "rows": 2}
    assert document["box"] == {"west": 8.5, "south": 47.4, "east": 8.7, "north": 47.6}
    assert sum(rows for _, _, rows in document["map"]["cells"]) == 4
    assert any("comma" in note for note in document["notes"])


def test_nothing_changes_and_no_temporary_file_stays(
    project: Path, check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = tree(tmp_path)
    for arguments in ([], ["--json"], [project.parent / "mine"], [project.parent / "none"]):
        check(*arguments)
        assert tree(tmp_path) == before
        assert not list(temporary.iterdir())


def test_the_tables_and_the_map_are_shown(project: Path, check: Check) -> None:
    code, out, err = check(columns=100)
    assert code == 0
    for word in ("observations", "latitude is outside [-90, 90]", "list.csv:5", "oak", "2019-01-02 to 2021-05-06", "47.6"):
        assert word in out
    assert "\x1b" not in out
    lines = out.splitlines()
    assert max(len(line) for line in lines if not line.startswith("warning: ")) <= 100
    assert "look exchanged" not in out, "two slips"
    assert [line for line in lines if line.startswith("warning: ")] == [
        "warning: 2 of 3 classes have one observation: 'ash', 'elm'"
    ]
    assert err == f"reading {project.parent / 'mine'} as table\n"
    frame = [number for number, line in enumerate(lines) if line.strip().startswith("+--")]
    assert "o" in "".join(lines[frame[0] : frame[1]])
    narrow = check(columns=60)[1].splitlines()
    assert max(len(line) for line in narrow if not line.startswith("warning: ")) <= 60


@pytest.mark.parametrize(("time", "dated", "says"), [("none", 3, True), ("none", 2, False), ("cos_sin", 5, False)])
def test_a_hint_at_the_season_where_most_rows_have_dates(
    project: Path, check: Check, time: str, dated: int, says: bool
) -> None:
    """Of five observations two have a date at first."""
    text = (project.parent / "mine/list.csv").read_text()
    for name in ("c.png", "h.png", "f.png")[: dated - 2]:
        text = re.sub(rf'("{name}".*),""', r'\1,"2020-06-15"', text)
    (project.parent / "mine/list.csv").write_text(text)
    params = (project / "params.yaml").read_text().replace("  time: none", f"  time: {time}", 1)
    (project / "params.yaml").write_text(params)
    _, _, err = check()
    said = f"{dated} of 5 observations have a date: with location_encoder.time: cos_sin the model learns the season"
    assert (said in err) == says


def test_more_bad_rows_than_allowed_is_exit_code_3_after_the_tables(project: Path, check: Check) -> None:
    """6 of 11 rows are set aside: 0.545."""
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("max_rejected: 0.55", "max_rejected: 0.54", 1))
    code, out, err = check()
    assert code == 3
    assert "observations" in out
    assert "6 of 11 rows (54.5 %) would be set aside, more than dataset.max_rejected (54 %) allows" in err
    code, out, _ = check("--json")
    assert code == 3
    assert json.loads(out)["rejected"] == 6


def test_a_path_is_read_by_the_settings_of_its_kind(project: Path, check: Check) -> None:
    mine = project.parent / "mine"
    for arguments in ([mine], [mine / "list.csv"], [mine, "--source", "table"]):
        document = document_of(check, *arguments)
        assert (document["source"], document["rows"]) == ("table", 11)
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("source: table", "source: blue_marble", 1))
    assert document_of(check, mine)["source"] == "table"  # as `data use` would see it
    photos = project.parent / "photos"
    for number, name in enumerate(("oak/a.png", "oak/b.png", "elm/c.png")):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 9, 0)).save(photos / name)
    document = document_of(check, photos)
    assert (document["source"], document["classes"], document["without_position"]) == ("folder", {"elm": 1, "oak": 2}, 3)
    assert document["box"] is None
    assert "no positions" in check(photos)[1]


def test_images_that_dvc_does_not_track_are_found_by_the_host_setting(
    project: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = project / "params.yaml"
    head, tail = params.read_text().split("\n  table:", 1)
    params.write_text(f"{head}\n  table:{tail.replace('root: data', 'root: data_root', 1)}")
    monkeypatch.setenv("CSPOPS_DATA_ROOT", str(project.parent / "mine"))
    document = document_of(check)
    assert (document["rows"], document["path"]) == (11, str(project.parent / "mine"))


def test_the_map_is_drawn_into_a_file(project: Path, check: Check, tmp_path: Path) -> None:
    assert check("--map", tmp_path / "where.png")[0] == 0
    with Image.open(tmp_path / "where.png") as image:
        assert image.format == "PNG" and image.width > 300
    assert not list(tmp_path.glob(".where*"))


def test_what_a_label_says_cannot_steer_the_terminal(project: Path, check: Check) -> None:
    """Neither as an escape sequence nor as markup of the tables."""
    mine = project.parent / "mine"
    text = (mine / "list.csv").read_text().replace('"ash"', '"[red]a\x1b[2Jsh"')
    (mine / "list.csv").write_text(text)
    code, out, _ = check()
    assert code == 0
    assert "\x1b" not in out
    assert "[red]a" in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["../none"], 3, "../none does not exist"),
        (["../mine/a.png"], 3, "a.png is neither a folder nor a table"),
        (["../mine", "--source", "fmow"], 2, "source fmow reads its own files, not ../mine"),
        (["../mine/list.csv", "--source", "folder"], 2, "is a table, not a folder of images"),
        (["--source", "photos"], 2, "photos"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(
    project: Path, check: Check, arguments: list[str], code: int, says: str
) -> None:
    before = tree(project)
    found, out, err = check(*arguments)
    assert (found, out) == (code, "")
    assert says in err
    assert "Traceback" not in err
    assert tree(project) == before


@pytest.fixture
def outside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder beside the project."""
    folder = project.parent / "outside"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_outside_of_a_project_a_path_is_checked_as_a_new_project_would_read_it(outside: Path, check: Check) -> None:
    code, out, err = check("../mine/list.csv", "--json")
    assert (code, json.loads(out)["rejected"]) == (3, 6)  # of 11, and the defaults allow a tenth
    assert "6 of 11 rows" in err
    assert "dataset.max_rejected in the params.yaml that cspops init NAME --data ../mine/list.csv makes" in err
    code, out, _ = check("../mine", "--source", "folder")
    assert (code, out.splitlines()[-1]) == (3, "o 1 to 9 rows, O 10 to 99, @ 100 and more; . land") or "no positions" in out
    Path("../mine/broken.png").unlink()
    Path("../mine/same.png").unlink()
    code, out, _ = check("../mine", "--source", "folder")
    assert (code, out.splitlines()[-1]) == (0, "next: cspops init NAME --data ../mine --source folder")
    assert list(outside.iterdir()) == []


def test_outside_of_a_project_a_table_of_labels_is_joined_to_photos_that_know_where(outside: Path, check: Check) -> None:
    taken = write_photos(Path("photos"), 3, exif=True)
    Path("photos/list.csv").write_text(f"image,label\n{taken[0].path},rare\n")
    document = document_of(check, "photos")
    assert (document["source"], document["rows"], document["without_position"]) == ("folder", 3, 0)
    assert document["classes"] == {"rare": 1}


def test_photos_are_checked_without_torch(outside: Path) -> None:
    """To load it takes longer than all the rest."""
    write_photos(Path("oak"), 12, exif=True)
    code = (
        "import sys; sys.argv = ['cspops', 'data', 'check', '.']\n"
        "from cspops.commands import main\nassert main() == 0\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment("cold"), check=False)
    assert done.returncode == 0, done.stderr
    assert "longitudes" in done.stdout


def test_outside_of_a_project_sentinel_2_is_read_in_its_colours(outside: Path, check: Check) -> None:
    about = {"width": 4, "height": 4, "count": 13, "dtype": "uint16", "crs": "EPSG:4326", "driver": "GTiff"}
    Path("oak").mkdir()
    with rasterio.open("oak/a.tif", "w", transform=rasterio.Affine(1, 0, 8, 0, -1, 47), **about) as file:
        file.write(np.full((13, 4, 4), 1500, np.uint16))
    document = document_of(check, ".")
    assert (document["observations"], document["rejected"]) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "params.yaml is missing: this folder is no project\nhint: cspops data check PATH checks any folder"),
        (["../none"], 3, "../none does not exist"),
        (["."], 3, ". holds neither an image nor a table of images"),
        (["../mine", "--source", "fmow"], 2, "source fmow reads its own files, not ../mine"),
        (["../mine/a.png"], 3, "a.png is neither a folder nor a table"),
    ],
)
def test_what_cannot_be_checked_outside_of_a_project_is_one_sentence(
    outside: Path, check: Check, arguments: list[str], code: int, says: str
) -> None:
    found, out, err = check(*arguments)
    assert (found, out) == (code, "")
    assert says in err
    assert list(outside.iterdir()) == []


def test_a_folder_that_is_gone_is_named(project: Path, check: Check) -> None:
    (project.parent / "mine").rename(project.parent / "moved")
    code, _, err = check()
    assert code == 3
    assert "which data.dvc names, does not exist" in err
    assert "cspops data use PATH" in err
