"""`cspops init` through the command line: what it makes, where, and what it refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from in_process import command_line
from photos import write_photos
from rasterio.transform import Affine
from ruamel.yaml import YAML

from cspops.commands import presets
from cspops.params import completed, default_params, load, unchosen, value_at, with_values

PACKAGE = Path(__file__).parents[2] / "src" / "cspops"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cspops(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs cspops in tmp_path, with a git that knows who commits, and gives the exit code, stdout and stderr."""
    config = tmp_path / "gitconfig"
    config.write_text("[user]\nname = tests\nemail = tests@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(presets, "published_within_reach", lambda: True)

    return command_line(monkeypatch, capsys)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def entries(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


FILES = {".dvc", ".gitattributes", ".gitignore", "README.md", "cspops.lock", "data.dvc", "dvc.yaml", "params.yaml"}


def test_a_project_starts_from_the_sample_committed_and_clean(cspops: Command, tmp_path: Path) -> None:
    assert cspops("init", "deep/birds & co") == (
        0,
        "deep/birds & co: a project of cspops 0.1.0\n"
        "data: the embedded sample, in raw/\n"
        "source: blue_marble\n"
        "next: cd 'deep/birds & co'\n"
        "next: cspops data check\n"
        "next: dvc repro\n",
        "",
    )
    project = tmp_path / "deep/birds & co"
    assert entries(project) == {*FILES, ".git", "raw"}
    assert entries(tmp_path / "deep") == {"birds & co"}  # nothing was left beside it
    assert git(project, "status", "--short", "--ignored") == ""
    assert git(project, "log", "--format=%an %s") == "tests Start of a cspops project\n"
    for file in (PACKAGE / "sample").iterdir():
        assert (project / "raw" / file.name).read_bytes() == file.read_bytes()
    assert (project / "README.md").read_text().startswith("# birds & co\n")


def assert_only_the_chosen_sections(project: Path, values: dict[str, Any]) -> None:
    """All other values are as by default, all comments of the chosen sections stay, and a person can read it at a sitting."""
    default = with_values(default_params(), values.items())
    text = (project / "params.yaml").read_text()
    assert len(text.splitlines()) <= 120
    params = load(project / "params.yaml")
    assert unchosen(params) == []
    assert completed(params) == default != params
    whole = (PACKAGE / "template/params.yaml").read_text()
    usual = {line.split("#")[-1] for line in whole.splitlines()}
    assert {line.split("#")[-1] for line in text.splitlines() if "#" in line} <= usual


def test_a_folder_of_any_name_steers_no_terminal(cspops: Command, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\x1b[31m")
    code, out, _ = cspops("init", name)
    assert code == 0 and out.startswith("caf\\xe9\\x1b[31m: a project")
    assert (tmp_path / name / "README.md").read_text(encoding="utf-8").startswith("# caf\\xe9\\x1b[31m\n")


def test_params_yaml_of_a_new_project_has_the_chosen_sections(cspops: Command, tmp_path: Path) -> None:
    cspops("init", "birds")
    assert_only_the_chosen_sections(tmp_path / "birds", {})


def test_no_file_of_a_project_names_a_path_of_the_package(cspops: Command, tmp_path: Path) -> None:
    cspops("init", "birds")
    graph = YAML(typ="safe").load((tmp_path / "birds/dvc.yaml").read_text())["stages"]
    deps = {dep for about in graph.values() for dep in about.get("deps", [])}
    assert {dep.split("/")[0] for dep in deps} == {"artifacts", "cspops.lock", "data", "params.yaml", "reports"}
    for file in (tmp_path / "birds").iterdir():
        assert file.is_dir() or str(PACKAGE) not in file.read_text(), file


PHOTOS = {
    "image_encoder.model": "timm:resnet50",
    "image_encoder.weights": "pretrained",
    "image_encoder.px": None,
    "image_encoder.crop": None,
    "image_encoder.interpolation": None,
    "pretrain_img.method": "none",
}
FEW = {
    "split.label_ratios": [0.25, 0.5, 1.0],
    "split.val": 0.2,
    "split.test": 0.2,
    "split.spatial_val": 0.0,
    "split.spatial_test": 0.0,
}


def test_own_photos_are_named_from_the_root_on_and_params_yaml_has_the_values_that_fit(cspops: Command, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 6, exif=True)
    code, out, err = cspops("init", "birds", "--data", "photos")
    assert (code, err) == (0, "")
    project = tmp_path / "birds"
    about = YAML(typ="safe").load((project / "data.dvc").read_text())
    assert about == {"deps": [{"path": str(tmp_path / "photos")}], "outs": [{"path": "data"}]}
    values = {"dataset.source": "folder"} | PHOTOS | FEW
    assert_only_the_chosen_sections(project, values)
    assert out.splitlines()[3:-3] == ["preset: photos"] + [
        f"set: {key}: {'null' if value is None else value}" for key, value in values.items()
    ]
    assert "raw" not in entries(project)
    assert git(project, "status", "--short") == ""


def tiffs(folder: Path, count: int, bands: int) -> None:
    """GeoTIFFs of 16 bits."""
    folder.mkdir()
    for number in range(count):
        about = {"width": 4, "height": 4, "count": bands, "dtype": "uint16", "crs": "EPSG:4326", "driver": "GTiff"}
        with rasterio.open(folder / f"{number}.tif", "w", transform=Affine(1, 0, 8, 0, -1, 47), **about) as file:
            file.write(np.full((bands, 4, 4), number + 1, np.uint16))


RGB = {"dataset.folder.images.bands": (4, 3, 2), "dataset.folder.images.white": 3000.0}
RGB_FROM_ABOVE = {key.replace("images", "overhead_images"): value for key, value in RGB.items()}
AS_THEY_ARE = {"dataset.folder.images.bands": None, "dataset.folder.images.white": None}


@pytest.mark.parametrize(
    ("bands", "jpegs", "options", "preset", "values"),
    [
        (13, 1, [], "satellite", RGB),
        (12, 0, [], "satellite", RGB),
        (4, 0, [], "satellite", AS_THEY_ARE),
        (13, 3, [], "photos", AS_THEY_ARE | RGB_FROM_ABOVE),  # most are JPEGs
        (13, 3, ["--preset", "satellite"], "satellite", RGB),
        (3, 0, ["--preset", "photos"], "photos", AS_THEY_ARE),
    ],
)
def test_a_preset_is_given_or_found_by_what_most_images_are(
    cspops: Command, tmp_path: Path, bands: int, jpegs: int, options: list[str], preset: str, values: dict[str, Any]
) -> None:
    tiffs(tmp_path / "mine", 2, bands)
    write_photos(tmp_path / "mine", jpegs, exif=True)
    code, out, err = cspops("init", "land", "--data", "mine", *options, "--json")
    assert (code, err, json.loads(out)["preset"]) == (0, "", preset)
    made = load(tmp_path / "land/params.yaml")
    assert {key: value_at(made, key) for key in values} == values
    assert value_at(made, "image_encoder.crop") == (1.0 if preset == "satellite" else None)


@pytest.mark.parametrize(("images", "few"), [(2, True), (3, False)])
def test_only_a_set_of_few_images_gets_a_split_for_few(
    cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int, few: bool
) -> None:
    monkeypatch.setattr(presets, "FEW", 3)
    write_photos(tmp_path / "photos", images, exif=True)
    cspops("init", "birds", "--data", "photos")
    assert load(tmp_path / "birds/params.yaml").split == with_values(default_params(), (FEW if few else {}).items()).split


def test_without_published_weights_a_warning_says_what_to_set_later(
    cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presets, "published_within_reach", lambda: False)
    write_photos(tmp_path / "photos", 3, exif=True)
    _, _, err = cspops("init", "birds", "--data", "photos")
    assert err.startswith("warning: the published weights of timm:resnet50 are out of reach")
    assert "-S image_encoder.weights=pretrained;" in err and err.endswith("-S image_encoder.weights=file:PATH\n")
    assert load(tmp_path / "birds/params.yaml").image_encoder.weights == "random"


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ([], {"source": "table", "table.columns.label": "land_use"}),
        (
            ["--source", "folder"],
            {"source": "folder", "folder.label": "column", "folder.sidecar": "list.csv", "folder.columns.label": "land_use"},
        ),
    ],
)
def test_the_column_of_labels_is_written(cspops: Command, tmp_path: Path, options: list[str], values: dict[str, str]) -> None:
    write_photos(tmp_path / "photos", 3, exif=True)
    (tmp_path / "photos/list.csv").write_text("image,lon,lat,land_use\nheath/0000.jpg,8,47,heath\n")
    code, _, err = cspops("init", "birds", "--data", "photos", "--label", "land_use", *options)
    assert (code, err) == (0, "")
    made = load(tmp_path / "birds/params.yaml")
    assert {key: value_at(made, f"dataset.{key}") for key in values} == values


@pytest.mark.parametrize(
    ("data", "header", "options", "values"),
    [
        ("photos", "image,label", [], {"source": "folder", "folder.sidecar": "list.csv", "folder.label": "column"}),
        (
            "photos/list.csv",
            "image,land_use",
            ["--label", "land_use"],
            {"source": "folder", "folder.sidecar": "list.csv", "folder.columns.label": "land_use"},
        ),
        ("photos", "image,remark", [], {"source": "folder", "folder.sidecar": None, "folder.label": "folder"}),
        ("photos", "image,label", ["--source", "table"], {"source": "table", "table.file": None}),
        ("photos/list.csv", "name,label", [], {"source": "table", "table.file": "list.csv"}),  # its columns are named later
    ],
)
def test_a_table_without_positions_is_a_side_car_of_images_that_may_have_them(
    cspops: Command, tmp_path: Path, data: str, header: str, options: list[str], values: dict[str, Any]
) -> None:
    write_photos(tmp_path / "photos", 3, exif=True)
    (tmp_path / "photos/list.csv").write_text(f"{header}\nheath/0000.jpg,x\n")
    assert cspops("init", "birds", "--data", data, *options)[0] == 0
    made = load(tmp_path / "birds/params.yaml")
    assert {key: value_at(made, f"dataset.{key}") for key in values} == values


@pytest.mark.parametrize(
    "data", [[], ["--data", "photos", "--label", "kind"], ["--data", "photos/list.csv", "--label", "kind"]]
)
def test_a_dry_run_says_the_same_and_makes_nothing(cspops: Command, tmp_path: Path, data: list[str]) -> None:
    write_photos(tmp_path / "photos", 3, exif=True)
    (tmp_path / "photos/list.csv").write_text("image,lon,lat,kind\nheath/0000.jpg,8,47,heath\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code, out, err = cspops("init", "deep/birds", *data, "--dry-run")
    assert (code, err) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    said, _, then = out.replace("would be a project", "a project").partition("next: ")
    assert out.startswith("deep/birds: would be a project") and then == "the same command without --dry\n"
    assert cspops("init", "deep/birds", *data)[1].startswith(f"{said}next: cd deep/birds\n")


@pytest.mark.parametrize("data", ["photos", "photos/list.csv"])
@pytest.mark.parametrize(("header", "row"), [("file,what I saw", "a.jpg,x"), ("file,lon,lat,what I saw", "a.jpg,8,47,x")])
def test_a_table_without_a_known_label_is_asked_about(
    cspops: Command, tmp_path: Path, data: str, header: str, row: str
) -> None:
    (photo,) = write_photos(tmp_path / "photos", 1, exif=True)
    (tmp_path / "photos" / photo.path).rename(tmp_path / "photos/a.jpg")
    (tmp_path / "photos/list.csv").write_text(f"{header}\n{row}\n")
    asked = f"has the columns {header.replace(',', ', ')}: which one holds the labels? --label 'what I saw'"
    code, out, err = cspops("init", "birds", "--data", data, "--dry")
    assert (code, out.splitlines()[-1]) == (0, "next: the same command without --dry, with --label 'what I saw'")
    assert asked in err
    _, out, err = cspops("data", "check", data)
    assert (asked in out, out.splitlines()[-1]) == (True, f"next: cspops init NAME --data {data} --label 'what I saw'")
    _, out, err = cspops("data", "check", data, "--label", "what I saw")
    assert ("which one" in out, out.splitlines()[-1]) == (False, f"next: cspops init NAME --data {data} --label 'what I saw'")
    assert cspops("init", "birds", "--data", data)[1].endswith(f"next: cspops init OTHER --data {data} --label 'what I saw'\n")
    assert cspops("init", "other", "--data", data, "--label", "what I saw")[2] == ""


def test_a_table_is_found_as_such_and_named_in_params(cspops: Command, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 3, exif=False)
    (tmp_path / "photos/list.csv").write_text("image,lon,lat,label\nheath/0000.jpg,8,47,heath\n")
    document = json.loads(cspops("init", "birds", "--data", "photos/../photos/list.csv", "--json")[1])
    assert (document["data"], document["source"]) == (str(tmp_path / "photos"), "table")
    dataset = load(tmp_path / "birds/params.yaml").dataset
    assert (dataset.source, dataset.table.file, dataset.folder, dataset.blue_marble) == ("table", "list.csv", None, None)


def test_source_decides_where_a_folder_holds_both(cspops: Command, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 3, exif=True)
    (tmp_path / "photos/list.csv").write_text("image,lon,lat,label\nheath/0000.jpg,8,47,heath\n")
    cspops("init", "birds", "--data", "photos", "--source", "folder")
    assert load(tmp_path / "birds/params.yaml").dataset.source == "folder"


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "photos are there": (["photos"], 2, "photos is not empty: it holds heath, marsh, oak wood\nhint: name a new folder"),
    "more is there": (["many"], 2, "many is not empty: it holds 0, 1, 2 and 3 more\nhint: name a new folder"),
    "a file": (["gitconfig"], 2, "gitconfig is a file\nhint: name a new folder"),
    "below a file": (["gitconfig/birds"], 4, "File exists: "),
    "no data": (["a/b/birds", "--data", "nowhere"], 3, "nowhere does not exist"),
    "no table": (["a/b/birds", "--data", "photos", "--source", "table"], 3, "holds no table of images at its top level"),
    "among its data": (["photos/birds", "--data", "photos"], 2, "photos holds the project itself"),
    "source of nothing": (["birds", "--source", "table"], 2, "--source table is about --data, which is not given"),
    "label of nothing": (["birds", "--label", "x"], 2, "--label x is about --data, which is not given"),
    "preset of nothing": (["birds", "--preset", "photos"], 2, "--preset photos is about --data, which is not given"),
    "no such preset": (["birds", "--data", "photos", "--preset", "photo"], 2, "'photo' is not one of 'photos', 'satellite'"),
    "label without a table": (["birds", "--data", "photos", "--label", "x"], 3, "--label x is a column, and "),
    "no such column": (
        ["birds", "--data", "tables/a.csv", "--label", "knd"],
        2,
        "a.csv has no column 'knd'; the nearest is 'kind'\nhint: --label with one of its columns: 'image', 'kind'",
    ),
    "label of two tables": (
        ["birds", "--data", "tables", "--source", "folder", "--label", "kind"],
        2,
        "--label kind is a column of one table, and ",
    ),
    "table without images": (["birds", "--data", "notes", "--label", "kind"], 3, "n.csv has no column for the image"),
    "dry, not empty": (["photos", "--dry"], 2, "photos is not empty"),
    "dry, no data": (["birds", "--data", "nowhere", "--dry"], 3, "nowhere does not exist"),
    "home of nobody": (["~no-such-user/birds"], 2, "~no-such-user/birds: "),
}


@pytest.mark.parametrize(("arguments", "code", "says"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence_and_leaves_nothing(
    cspops: Command, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    write_photos(tmp_path / "photos", 3, exif=True)
    for name in range(6):
        (tmp_path / "many" / str(name)).mkdir(parents=True)
    for name, header, row in (
        ("tables/a.csv", "image,kind", "0.jpg,x"),
        ("tables/b.csv", "image,kind", "0.jpg,x"),
        ("notes/n.csv", "kind", "x"),
    ):
        write_photos(tmp_path / name.split("/")[0], 1, exif=True)
        (tmp_path / name).write_text(f"{header}\n{row}\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    got, out, err = cspops("init", *arguments)
    assert (got, out) == (code, "")
    assert err.startswith("error: ") and says in err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    assert entries(tmp_path) == {"photos", "many", "tables", "notes", "gitconfig"}
    assert entries(tmp_path / "photos") == {"heath", "marsh", "oak wood"}


def test_an_empty_clone_keeps_its_repository(cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "-q")
    git(clone, "config", "user.name", "owner")
    monkeypatch.chdir(clone)
    code, out, _ = cspops("init", ".")
    assert (code, "next: cd" in out) == (0, False)
    assert entries(clone) == {*FILES, ".git", "raw"}
    assert git(clone, "log", "--format=%an") == "owner\n"
    assert (clone / "README.md").read_text().startswith("# clone\n")


def test_an_empty_folder_is_filled_in_place(cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert cspops("init", ".")[0] == 0
    assert entries(Path.cwd()) == {*FILES, ".git", "raw"}


def test_what_a_killed_one_left_is_deleted_and_does_not_count(cspops: Command, tmp_path: Path) -> None:
    for left in (tmp_path / ".birds.new-aaaaaaaa", tmp_path / "birds/.birds.new-bbbbbbbb"):
        (left / "new").mkdir(parents=True)
        (left / "new/params.yaml").touch()
        (left / ".lock").touch()
    assert cspops("init", "birds")[0] == 0
    assert entries(tmp_path / "birds") == {*FILES, ".git", "raw"}
    assert entries(tmp_path) == {"birds", "gitconfig"}


def test_in_another_repository_nothing_is_staged_or_committed(cspops: Command, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    (outer / ".gitignore").write_text("/scratch/\n")
    git(outer, "add", "-A")
    git(outer, "commit", "-qm", "theirs")
    code, out, _ = cspops("init", "outer/models/birds")
    assert code == 0
    assert f"not committed: outer/models/birds lies in the git repository {outer}, whose commits are yours" in out
    assert "next: git add . && git commit -m 'Start of a cspops project' .\n" in out
    assert entries(outer / "models/birds") == {*FILES, "raw"}
    assert git(outer, "status", "--short") == "?? models/\n"
    assert git(outer, "log", "--format=%s") == "theirs\n"

    assert cspops("init", "outer/scratch/birds")[0] == 0  # ignored there, so it gets a repository of its own
    assert ".git" in entries(outer / "scratch/birds")


def test_inside_a_hook_of_another_repository_the_project_still_gets_its_own(
    cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "-q")
    with monkeypatch.context() as inside:
        inside.setenv("GIT_DIR", str(tmp_path / "other/.git"))
        inside.setenv("GIT_INDEX_FILE", str(tmp_path / "other/.git/index"))
        assert cspops("init", "birds")[0] == 0
    assert git(tmp_path / "birds", "status", "--short") == ""
    assert git(tmp_path / "other", "ls-files") == ""


def test_when_git_knows_nobody_the_commit_is_left_to_the_user(cspops: Command, tmp_path: Path) -> None:
    (tmp_path / "gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    code, out, _ = cspops("init", "birds")
    assert code == 0
    assert "not committed: git does not know who you are: set git config" in out
    assert out.splitlines()[-4:-2] == ["next: cd birds", "next: git add . && git commit -m 'Start of a cspops project' ."]
    assert ".git" in entries(tmp_path / "birds")


def test_when_a_commit_is_refused_the_reason_is_said(cspops: Command, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\necho not on a Saturday >&2\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    with (tmp_path / "gitconfig").open("a") as config:
        config.write(f"[core]\nhooksPath = {hooks}\n")
    code, out, _ = cspops("init", "birds")
    assert code == 0
    assert "not committed: git commit failed: not on a Saturday. Experiments need a commit\n" in out


def test_without_git_there_is_no_project(cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cspops("init", "birds") == (
        4,
        "",
        "error: git is not installed: DVC keeps experiments in it\n",
    )
    assert entries(tmp_path) == {"gitconfig"}


def test_a_python_on_the_path_without_cspops_is_a_warning(
    cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "bin/python"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}{os.pathsep}{os.environ['PATH']}")
    _, _, err = cspops("init", "birds")
    assert err == (
        f"warning: on the PATH `python` is {other}, but cspops is installed for {sys.executable}: "
        "activate its environment before dvc repro\n"
    )


def test_a_table_of_embeddings_needs_no_images(cspops: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    header = ["id", "label", "lon", "lat", *(f"A{k:02}" for k in range(8))]
    rows = [[f"r{i}", "ab"[i % 2], str(i), "47", *["0.5"] * 8] for i in range(4)]
    (tmp_path / "mine/t.csv").write_text("\n".join(map(",".join, [header, *rows])) + "\n")
    code, out, err = cspops("init", "birds", "--data", "mine/t.csv", "--json")
    assert code == 0, err
    assert load(tmp_path / "birds/params.yaml").dataset.source == "table"
    document = json.loads(out)
    assert (document["source"], document["preset"], document["later"]) == ("table", None, None)
    assert document["set"]["dataset.table.features"] == "A*" and "image_encoder.model" not in document["set"]
