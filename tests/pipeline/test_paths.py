"""Outputs appear whole or not at all; inputs are trusted only when they fit the present params."""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cspops import files, params
from cspops.errors import DataError, EnvironmentProblem
from cspops.pipeline import paths

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> params.Params:
    loaded = params.load(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return loaded


def make(stage: str, loaded: params.Params) -> Path:
    with paths.whole_folder(paths.folder_of(stage), {"params": params.recorded(loaded, stage)}) as out:
        (out / "file").write_text(stage)
    return paths.folder_of(stage)


def test_a_folder_takes_the_place_of_the_old_one_with_its_facts(project: params.Params) -> None:
    target = make("download", project)
    with paths.whole_folder(target, {"params": {"a": 1}}) as out:
        (out / "other").write_text("new")
        assert (target / "file").read_text() == "download"  # the old one stands until the new one is whole
    assert sorted(path.name for path in target.iterdir()) == ["other", "stage.json"]
    sha256 = hashlib.sha256(b"new").hexdigest()
    assert json.loads((target / "stage.json").read_text()) == {"params": {"a": 1}, "files": {"other": sha256}}
    assert [path.name for path in target.parent.iterdir()] == ["download"]


def test_after_a_failure_the_old_folder_is_as_it_was(project: params.Params) -> None:
    target = make("download", project)
    with pytest.raises(RuntimeError, match="half way"), paths.whole_folder(target, {}) as out:
        (out / "half").write_text("...")
        raise RuntimeError("half way")
    assert (target / "file").read_text() == "download"
    assert [path.name for path in target.parent.iterdir()] == ["download"]


def test_require_names_the_first_missing_stage_all_the_way_up(project: params.Params) -> None:
    with pytest.raises(DataError) as caught:
        paths.require("pretrain", project)
    assert (caught.value.message, caught.value.hint) == (
        "artifacts/download is missing: stage pretrain reads it",
        "dvc repro pretrain",
    )
    for stage in ("download", "split", "pretrain-img"):
        make(stage, project)
    with pytest.raises(DataError, match="artifacts/featurize is missing"):
        paths.require("pretrain", project)
    make("featurize", project)
    assert set(paths.require("pretrain", project)) == {"download", "split", "pretrain-img", "featurize"}


def test_require_refuses_what_was_made_with_other_params(project: params.Params) -> None:
    for stage in ("download", "split", "pretrain-img", "featurize"):
        make(stage, project)
    other = project.model_copy(update={"seeds": (7,)})
    with pytest.raises(DataError) as caught:
        paths.require("pretrain", other)
    assert caught.value.message == "artifacts/split was made with other values than params.yaml has of seeds"
    assert caught.value.hint == "dvc repro pretrain"


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "says"),
    [(cut, "is not as stage download wrote it"), (flip, "is not as stage download wrote it"), (Path.unlink, "is missing")],
)
def test_require_refuses_a_file_that_is_not_as_it_was_written(
    project: params.Params, harm: Callable[[Path], None], says: str
) -> None:
    harm(make("download", project) / "file")
    with pytest.raises(DataError) as caught:
        paths.require("split", project)
    assert caught.value.message.startswith(f"artifacts/download/file {says}")
    assert caught.value.hint == "dvc repro split"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"params": {}}', '{"params": 1, "files": {}}', "\x00"])
def test_require_refuses_a_broken_record(project: params.Params, text: str) -> None:
    (make("download", project) / "stage.json").write_text(text)
    with pytest.raises(DataError) as caught:
        paths.require("split", project)
    assert caught.value.message.startswith("artifacts/download/stage.json is broken: ")


def test_scratch_outlives_a_failure_belongs_to_its_inputs_and_goes_when_done(
    project: params.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    download = make("download", project)
    with pytest.raises(RuntimeError), paths.scratch("split", project) as first:
        (first / "progress").write_text("1")
        raise RuntimeError
    with pytest.raises(RuntimeError), paths.scratch("split", project) as again:
        assert again == first
        raise RuntimeError
    with pytest.raises(RuntimeError), paths.scratch("split", project.model_copy(update={"seeds": (7,)})) as other_params:
        raise RuntimeError
    with paths.whole_folder(download, {"params": {}}) as out:
        (out / "file").write_text("other bytes")
    with pytest.raises(RuntimeError), paths.scratch("split", project) as other_input:
        raise RuntimeError
    assert len({first, other_params, other_input}) == 3
    make("download", project)
    with paths.scratch("split", project) as last:
        assert (last / "progress").read_text() == "1"
    assert not first.exists()


def test_progress_goes_whatever_other_jobs_do_in_it_and_with_it_what_a_kill_left_of_another(
    project: params.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("download", project)
    rmtree = shutil.rmtree

    def raced(folder: Path, ignore_errors: bool = False) -> None:
        rmtree(folder, ignore_errors=ignore_errors)
        if not ignore_errors:
            raise OSError(errno.ENOTEMPTY, "another job has written")

    with paths.scratch("split", project) as folder:
        (folder / "progress").write_text("1")
        killed = folder.with_name(f".{folder.name}-0a1b2c3d")
        killed.mkdir()
        monkeypatch.setattr(shutil, "rmtree", raced)
    assert [path for path in folder.parent.iterdir() if path.suffix != ".lock"] == []
    with paths.scratch("split", project) as folder:
        folder.rmdir()  # another process was the first


def test_progress_of_other_params_is_kept_for_two_weeks(project: params.Params) -> None:
    make("download", project)
    folders = {}
    for name, seeds in (("old", (7,)), ("recent", (8,))):
        with pytest.raises(RuntimeError), paths.scratch("split", project.model_copy(update={"seeds": seeds})) as folders[name]:
            raise RuntimeError
    long_ago = time.time() - 15 * 24 * 3600
    os.utime(folders["old"], (long_ago, long_ago))
    with paths.scratch("split", project):
        pass
    assert not folders["old"].exists()
    assert folders["recent"].exists()


def test_publish_moves_reports(project: params.Params) -> None:
    with paths.whole_folder(paths.folder_of("evaluate"), {}) as out:
        (out / "reports" / "figures").mkdir(parents=True)
        (out / "reports" / "figures" / "a.txt").write_text("a")
        (out / "kept").write_text("k")
    paths.publish(paths.folder_of("evaluate"))
    assert (paths.REPORTS / "figures" / "a.txt").read_text() == "a"
    assert sorted(path.name for path in paths.folder_of("evaluate").iterdir()) == ["kept", "stage.json"]


def test_a_second_command_is_kept_out_of_a_folder_until_the_first_has_ended(tmp_path: Path) -> None:
    refused = pytest.raises(EnvironmentProblem, match="another cspops image-networks is at work on the same data")
    with paths.alone_in(tmp_path, "image-networks"), refused, paths.alone_in(tmp_path, "image-networks"):
        raise AssertionError
    with pytest.raises(RuntimeError), paths.alone_in(tmp_path, "image-networks"):
        raise RuntimeError
    with paths.alone_in(tmp_path, "image-networks"):
        pass


def test_a_stage_is_alone_at_its_outputs(project: params.Params) -> None:
    refused = pytest.raises(EnvironmentProblem, match="another cspops split is at work on the same data")
    with paths.alone_at("split"), paths.alone_at("pretrain"), refused, paths.alone_at("split"):
        raise AssertionError
    with paths.alone_at("split"):
        pass


def test_a_file_system_without_locks_keeps_nobody_out(project: params.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_lock(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.FileLock, "acquire", no_lock)
    with paths.alone_at("split"), paths.alone_at("split"):
        pass
