"""`cspops data use` through the command line."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import command_line
from PIL import Image
from ruamel.yaml import YAML
from small_project import run as in_project

from cspops.commands import image_folder, own_images
from cspops.intake.sources.folder import open_folder
from cspops.intake.tables.columns import USUAL
from cspops.params import load, unchosen, value_at
from cspops.params.editing import without_sections

ROOT = Path(__file__).parents[2]
Use = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("data.dvc", "params.yaml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def use(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Use:
    """Runs `cspops data use` and gives the exit code, stdout and stderr."""

    return command_line(monkeypatch, capsys, "data", "use")


def photos(folder: Path, *names: str) -> Path:
    for name in names or ("oak/a.jpg", "oak/b.JPG", "elm/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name, "PNG")
    return folder


def table(file: Path, header: str = "image,lon,lat,label", row: str = "a.jpg,8,47,oak") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{header}\n{row}\n")
    return file


def files(project: Path) -> dict[str, bytes]:
    return {file.relative_to(project).as_posix(): file.read_bytes() for file in project.rglob("*") if file.is_file()}


FOLD = re.compile(r" ?\n +(?=[^-#\s][^:#\n]*(?:\n|$))")
"""Where YAML, as DVC writes it, has broken a long value, a path for example."""


def changed_lines(project: Path, name: str) -> list[tuple[str, str]]:
    before, after = (FOLD.sub(" ", (folder / name).read_text()).splitlines() for folder in (ROOT, project))
    return [(a.strip(), b.strip()) for a, b in zip(before, after, strict=True) if a != b]


def test_a_folder_of_images_changes_one_line_of_data_dvc(project: Path, use: Use) -> None:
    mine = photos(project.parent / "my photos")
    code, out, err = use(mine)
    assert (code, err) == (0, "")
    assert changed_lines(project, "data.dvc") == [("path: src/cspops/sample", f"path: {mine}")]
    assert changed_lines(project, "params.yaml") == []
    size = sum(file.stat().st_size for file in mine.rglob("*.*"))
    assert out.splitlines() == [
        f"{mine}: 3 files, {size / 1e6:,.1f} MB, 3 images",
        "source: folder",
        "changed: data.dvc (was src/cspops/sample)",
        "next: cspops data check --source folder",
        "next: dvc exp run -S dataset.source=folder",
        "back: git restore data.dvc params.yaml && dvc repro",
    ]


JPEG_2000 = b"\0\0\0\x0cjP  \r\n\x87\n"


@pytest.mark.parametrize("names", [["a.HEIC", "b.heif"], ["without a suffix"], ["a.nef"], ["a.dat", "b/c.avif", "d.jpg.bak"]])
def test_images_are_counted_by_their_first_bytes_as_the_source_reads_them(project: Path, use: Use, names: list[str]) -> None:
    mine = photos(project.parent / "photos", *names, ".hidden.jpg", ".cache/d.jpg")
    (mine / "notes.txt").write_text("no image")
    (mine / "scan.jp2").write_bytes(JPEG_2000)
    source = open_folder(mine, pattern="**/*", label="folder", sidecar=None, columns=dict.fromkeys(USUAL))
    read = [row for batch in source.batches for row in batch.to_pylist() if row["reason"] is None]
    code, out, err = use(mine, "--json")
    assert (code, json.loads(out)["images"], json.loads(out)["source"]) == (0, len(names), "folder")
    assert len(read) == len(names)
    assert "images in formats that are not read: 1, the first is scan.jp2: JPEG 2000: convert it to JPEG or PNG" in err


def test_a_folder_of_other_formats_alone_is_refused_with_what_they_are(project: Path, use: Use) -> None:
    mine = photos(project.parent / "photos", "a.jpg")
    (mine / "a.jpg").rename(mine / "b.jp2")
    (mine / "b.jp2").write_bytes(JPEG_2000)
    code, _, err = use(mine)
    assert code == 3
    assert "images in formats that are not read: 1, the first is b.jp2: JPEG 2000: convert it to JPEG or PNG" in err


def test_with_source_params_yaml_says_it_too_and_nothing_else_changes(project: Path, use: Use) -> None:
    mine = photos(project.parent / "photos")
    code, out, _ = use(mine, "--source", "folder", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["changed"] == ["data.dvc", "params.yaml"]
    assert document["next"] == ["cspops data check", "dvc repro"]
    assert (document["files"], document["images"], document["set"]) == (3, 3, {"dataset.source": "folder"})
    ((before, after),) = changed_lines(project, "params.yaml")
    assert before.startswith("source: blue_marble ") and after.startswith("source: folder ")
    assert before.split("#")[1] == after.split("#")[1]
    assert load(Path("params.yaml")).dataset.source == "folder"
    again = json.loads(use(mine, "--json")[1])
    assert (again["was"], again["changed"], again["next"]) == (str(mine), ["data.dvc"], ["cspops data check", "dvc repro"])


@pytest.fixture
def slim(project: Path) -> str:
    """params.yaml without the sections that are not chosen."""
    file = project / "params.yaml"
    text = without_sections(file.read_text(), [tuple(path.split(".")) for path in unchosen(load(file))])
    file.write_text(text)
    return text


def test_a_section_that_params_yaml_lacks_is_put_in_and_can_be_chosen(project: Path, use: Use, slim: str) -> None:
    mine = table(project.parent / "set/list.csv")
    document = json.loads(use(mine, "--json")[1])  # the override that is printed needs it
    assert document["changed"] == ["data.dvc", "params.yaml"]
    assert document["next"][1] == "dvc exp run -S dataset.source=table -S dataset.table.file=list.csv"
    params, whole = load(Path("params.yaml")), load(ROOT / "params.yaml")
    assert (params.dataset.source, params.dataset.table) == ("blue_marble", whole.dataset.table)
    assert unchosen(params) == ["dataset.table"]

    Path("params.yaml").write_text(slim)
    assert use(mine, "--source", "table")[0] == 0
    dataset = load(Path("params.yaml")).dataset
    assert (dataset.source, dataset.table.file, dataset.folder) == ("table", "list.csv", None)
    assert set(slim.splitlines()) - set(Path("params.yaml").read_text().splitlines()) == {
        line for line in slim.splitlines() if line.startswith("  source:")
    }


def test_where_a_section_has_no_room_nothing_changes(project: Path, use: Use, slim: str) -> None:
    (project / "params.yaml").write_text(json.dumps(YAML(typ="safe").load(slim)))
    before = files(project)
    code, _, err = use(photos(project.parent / "photos"))
    assert (code, "params.yaml: dataset.folder is missing\nhint: copy its lines from " in err) == (2, True)
    assert files(project) == before


def test_a_dry_run_changes_nothing(project: Path, use: Use) -> None:
    before, mine = files(project), photos(project.parent / "photos")
    code, out, _ = use(mine, "--source", "folder", "--dry")
    assert code == 0
    assert "would change: data.dvc, params.yaml (was src/cspops/sample)" in out.splitlines()
    assert "would change: data.dvc (was src/cspops/sample)" in use(mine, "--dry-run")[1].splitlines()
    assert json.loads(use(mine, "--dry", "--json")[1])["changed"] == []
    assert files(project) == before


def test_a_table_stands_for_its_folder(project: Path, use: Use) -> None:
    mine = table(project.parent / "set/list.csv")
    document = json.loads(use(mine, "--source", "table", "--json")[1])
    assert document["path"] == str(mine.parent)
    assert changed_lines(project, "data.dvc") == [("path: src/cspops/sample", f"path: {mine.parent}")]
    dataset = load(Path("params.yaml")).dataset
    assert (dataset.source, dataset.table.file) == ("table", "list.csv")


def test_a_table_that_names_images_is_preferred_to_a_folder_of_images(project: Path, use: Use) -> None:
    mine = photos(project.parent / "set")
    table(mine / "list.csv")
    assert json.loads(use(mine, "--json")[1])["set"] == {"dataset.source": "table"}
    table(mine / "classes.csv", "name,number", "oak,3")  # another table: which one is meant must be said
    document = json.loads(use(mine, "--json")[1])
    assert document["set"] == {"dataset.source": "table", "dataset.table.file": "list.csv"}
    assert document["tables"] == ["classes.csv", "list.csv"]
    assert document["next"][1] == "dvc exp run -S dataset.source=table -S dataset.table.file=list.csv"
    assert json.loads(use(mine, "--source", "folder", "--json")[1])["source"] == "folder"


def test_a_table_without_positions_beside_images_is_their_side_car(project: Path, use: Use) -> None:
    mine = photos(project.parent / "set")
    table(mine / "list.csv", "image,label", "oak/a.jpg,oak")
    assert json.loads(use(mine, "--json")[1])["next"] == [
        "cspops data check --source folder",
        "dvc exp run -S dataset.source=folder -S dataset.folder.label=column -S dataset.folder.sidecar=list.csv",
    ]


@pytest.mark.parametrize(("header", "row", "key"), [
    ("image,lon,lat,what I saw,n", "a.jpg,8,47,oak,1", "dataset.table.columns.label"),
    ("image,what I saw,n", "oak/a.jpg,oak,1", "dataset.folder.columns.label"),
])  # fmt: skip
def test_a_label_column_is_asked_for_and_then_written(project: Path, use: Use, header: str, row: str, key: str) -> None:
    mine = photos(project.parent / "set")
    table(mine / "list.csv", header, row)
    asked = "which one holds the labels? --label COLUMN" in use(mine, "--dry")[2]
    assert asked == ("lon" in header)  # without it, the names of the images' own folders are labels too
    document = json.loads(use(mine, "--label", "what I saw", "--json")[1])
    assert (document["set"][key], document["changed"]) == ("what I saw", ["data.dvc", "params.yaml"])
    assert value_at(load(Path("params.yaml")), key) == "what I saw"
    assert use(mine, "--label", "what I see")[0] == 2


def test_a_table_without_images_beside_images_leaves_the_folder(project: Path, use: Use) -> None:
    mine = photos(project.parent / "set")
    table(mine / "classes.csv", "name,number", "oak,3")
    assert json.loads(use(mine, "--json")[1])["source"] == "folder"


def test_a_relative_path_and_a_home_folder_are_kept_as_they_are_meant(
    project: Path, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = photos(project.parent / "photos")
    code, _, err = use("../photos/")
    assert code == 0
    assert changed_lines(project, "data.dvc") == [("path: src/cspops/sample", "path: ../photos")]
    assert "warning: queued experiments run in a copy of the project and would not find ../photos" in err
    monkeypatch.setenv("HOME", str(project.parent))
    assert use("~/photos")[2] == ""
    assert changed_lines(project, "data.dvc") == [("path: src/cspops/sample", f"path: {mine}")]
    photos(project / "inside")
    assert use("inside")[2] == ""  # in a copy of the project it is there too


def test_large_folders_are_warned_of(project: Path, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 files of n bytes: above the limit of 3 n - 1 bytes, or of 2 files."""
    mine = photos(project.parent / "photos")
    size = sum(file.stat().st_size for file in mine.rglob("*.*"))
    for name, limit, warns in (
        ("LARGE_BYTES", size - 1, 1),
        ("LARGE_BYTES", size, 0),
        ("LARGE_FILES", 2, 1),
        ("LARGE_FILES", 3, 0),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(image_folder, name, limit)
            code, _, err = use(mine)
        assert (code, err.count("warning: 3 files, ")) == (0, warns)
        assert ("set dataset.folder.root to data_root in params.yaml and CSPOPS_DATA_ROOT" in err) == bool(warns)


def test_a_full_disk_is_warned_of(project: Path, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = photos(project.parent / "photos")
    size = sum(file.stat().st_size for file in mine.rglob("*.*"))
    for free, warns in ((2 * size - 1, True), (2 * size, False)):
        monkeypatch.setattr(image_folder.shutil, "disk_usage", lambda _, free=free: type("Usage", (), {"free": free}))
        assert ("warning: both copies take" in use(mine)[2]) == warns


def test_links_that_lead_nowhere_are_named(project: Path, use: Use) -> None:
    mine = photos(project.parent / "photos")
    (mine / "oak/gone.jpg").symlink_to("nowhere")
    assert "warning: 1 links lead nowhere, the first is oak/gone.jpg" in use(mine)[2]


BAD: dict[str, tuple[Callable[[Path], list[object]], int, str]] = {
    "nothing there": (lambda p: [p.parent / "none"], 3, "none does not exist"),
    "an empty folder": (lambda p: [made(p.parent / "empty")], 3, "holds neither an image nor a table of images"),
    "only texts": (lambda p: [table(p.parent / "texts/readme.md").parent], 3, "holds neither an image nor a table"),
    "an image, not a folder": (lambda p: [photos(p.parent / "x") / "oak/a.jpg"], 3, "a.jpg is neither a folder nor a table"),
    "the project": (lambda p: ["."], 2, "holds the project itself"),
    "above the project": (lambda p: [".."], 2, "holds the project itself"),
    "data": (lambda p: [photos(p / "data")], 2, "lies in data/, which the project itself writes"),
    "below artifacts": (lambda p: [photos(p / "artifacts/x")], 2, "lies in artifacts/, which"),
    "a link into data": (lambda p: [link(p.parent / "link", photos(p / "data/x"))], 2, "lies in data/, which"),
    "a table beside the project's files": (lambda p: [table(p / "list.csv")], 2, "holds the project itself"),
    "a table as folder": (
        lambda p: [table(p.parent / "set/list.csv"), "--source", "folder"],
        2,
        "list.csv is a table, not a folder of images",
    ),
    "a folder as table": (lambda p: [photos(p.parent / "y"), "--source", "table"], 3, "holds no table of images at its top"),
    "a table without images": (
        lambda p: [table(p.parent / "set/list.csv", "lon,lat", "1,2").parent],
        3,
        "holds no image, and list.csv has no column for the image",
    ),
    "no image for folder": (
        lambda p: [table(p.parent / "set/list.csv").parent, "--source", "folder"],
        3,
        "holds no image that is read\nhint: images are JPEG, PNG, TIFF, WebP, HEIC, AVIF, GIF and BMP",
    ),
    "two tables": (
        lambda p: [table(p.parent / "set/a.csv").parent, "--source", str(table(p.parent / "set/b.csv") and "table")],
        2,
        "holds 2 tables of images: a.csv, b.csv",
    ),
    "a source of its own files": (lambda p: [photos(p.parent / "y"), "--source", "inat2018"], 2, "inat2018"),
    "no path": (lambda p: [], 2, "missing argument"),
    "an unknown user": (lambda p: ["~nobody-of-this-name/x"], 2, "nobody-of-this-name"),
}


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def link(new: Path, target: Path) -> Path:
    new.symlink_to(target)
    return new


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_one_sentence_and_nothing_changes(project: Path, use: Use, case: str) -> None:
    make, code, says = BAD[case]
    arguments = make(project)
    before = files(project)
    found, out, err = use(*arguments)
    assert (found, out) == (code, "")
    assert says in err
    assert "Traceback" not in err
    assert files(project) == before


@pytest.mark.parametrize(
    ("name", "content", "code", "says"),
    [
        ("data.dvc", None, 3, "data.dvc is missing"),
        ("data.dvc", "outs: []\n", 3, "data.dvc does not name one folder under deps"),
        ("params.yaml", None, 2, "params.yaml is missing"),
        ("params.yaml", "seed: x\n", 2, "params.yaml: seed"),
    ],
)
def test_broken_files_of_the_project_are_named_and_the_other_stays(
    project: Path, use: Use, name: str, content: str | None, code: int, says: str
) -> None:
    (project / name).unlink()
    if content is not None:
        (project / name).write_text(content)
    before = files(project)
    found, _, err = use(photos(project.parent / "photos"), "--source", "folder")
    assert found == code
    assert says in err
    assert files(project) == before


def test_both_files_change_or_none(project: Path, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the second file is written."""
    before, write = files(project), own_images.write_whole

    def full(file: Path, text: str) -> None:
        if file.name == "params.yaml":
            raise OSError(28, "No space left on device", str(file))
        write(file, text)

    monkeypatch.setattr(own_images, "write_whole", full)
    code, _, err = use(photos(project.parent / "photos"), "--source", "folder")
    assert (code, err) == (4, "error: No space left on device: params.yaml\n")
    assert files(project) == before


def test_dvc_imports_the_folder_and_goes_back(project: Path, use: Use) -> None:
    """With DVC itself: data/ is the folder's copy, and is the sample again after git restore."""

    def run(*command: str) -> str:
        return in_project(project, *command).stdout

    photos(project / "src/cspops/sample", "sample.png")
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["git", "add", "-A"]):
        run(*command)
    run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "start")
    mine = photos(project.parent / "photos")
    assert use(mine, "--source", "folder")[0] == 0
    run("dvc", "repro", "-q", "data.dvc")
    assert {name for name in files(project / "data") if name != ".gitignore"} == {"oak/a.jpg", "oak/b.JPG", "elm/c.png"}
    run("git", "restore", "data.dvc", "params.yaml")
    run("dvc", "repro", "-q", "data.dvc")
    assert set(files(project / "data")) == {"sample.png"}


def test_every_suffix_that_the_source_reads_counts_as_an_image(use: Use, tmp_path: Path) -> None:
    mine = photos(tmp_path / "mine", "a/x.bmp", "a/y.gif", "b/z.jfif")
    code, out, _ = use(mine, "--json")
    assert (code, json.loads(out)["images"], json.loads(out)["source"]) == (0, 3, "folder")


def test_why_a_table_is_not_used_is_said(use: Use, tmp_path: Path) -> None:
    mine = photos(tmp_path / "mine")
    table(mine / "t.csv", header="image,lon,lat,lat", row="a.jpg,8,47,47")
    code, out, err = use(mine)
    assert code == 0 and "source: folder" in out
    assert "t.csv" in err and "not read as the table of the images" in err
    code, _, err = use(mine, "--source", "table")
    assert code == 3 and "t.csv" in err and "no column" not in err


def test_names_that_dvc_stops_at_are_told_and_pipes_are_refused(use: Use, project: Path, tmp_path: Path) -> None:
    mine = photos(tmp_path / "mine")
    (mine / os.fsdecode(b"b\xe4d.jpg")).write_bytes(b"")
    assert "1 file names are not UTF-8, the first is 'b\\udce4d.jpg': DVC stops at them" in use(mine)[2]
    os.mkfifo(mine / "pipe")
    before = files(project)
    code, _, err = use(mine)
    assert code == 3 and "pipe is a pipe, a socket or a device: DVC would wait for it" in err
    assert files(project) == before
