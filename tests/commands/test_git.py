"""What git refuses is said in its own words by every command that asks it, and no repository is made inside another."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import Command, command_line

from cspops.commands import git
from cspops.errors import EnvironmentProblem


@pytest.fixture
def cspops(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    (tmp_path / "gitconfig").write_text("[user]\nname = tests\nemail = tests@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return command_line(monkeypatch, capsys)


def made(folder: Path, *options: str) -> Path:
    subprocess.run(["git", "init", "-q", *options, str(folder)], check=True)
    return folder


def of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    return made(folder / "clone")


def with_a_file(content: str) -> Callable[[Path, pytest.MonkeyPatch], Path]:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (folder / "clone").mkdir()
        (folder / "clone/.git").write_text(content)
        return folder / "clone"

    return make


def bare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return made(folder / "clone.git", "--bare")


def bare_and_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with (folder / "gitconfig").open("a") as config:
        config.write("[safe]\nbareRepository = explicit\n")
    return bare(folder, monkeypatch)


def damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (made(folder / "clone") / ".git/HEAD").unlink()
    return folder / "clone"


def with_another_config(text: str) -> Callable[[Path, pytest.MonkeyPatch], Path]:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (made(folder / "clone") / ".git/config").write_text(text)
        return folder / "clone"

    return make


REFUSALS: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], Path], str, str]] = {
    "another user": (
        of_another_user,
        "git refuses: detected dubious ownership in repository at '{}'",
        "git config --global --add safe.directory {}",
    ),
    "a worktree or submodule that was moved": (
        with_a_file("gitdir: /no/where"),
        "git refuses: not a git repository: /no/where",
        "git worktree repair",
    ),
    "a broken .git file": (
        with_a_file("nonsense"),
        "git refuses: invalid gitfile format: {}/.git",
        "clone it anew",
    ),
    "a bare repository": (bare, "git refuses: this operation must be run in a work tree", "git clone it"),
    "a bare one, refused": (bare_and_refused, "git refuses: cannot use bare repository", "safe.bareRepository"),
    "damaged": (damaged, "git does not take {}/.git for a repository: not a git repository (or any", "whether it is whole"),
    "a broken config": (with_another_config("[[["), "git refuses: bad config line 1 in file .git/config", "git status"),
    "a later format": (
        with_another_config("[core]\nrepositoryformatversion = 99\n"),
        "git refuses: Expected git repo version <= 1, found 99",
        "git status",
    ),
}
COMMANDS = {"compare": ["compare", "HEAD"], "versus": ["versus", "HEAD"], "tables": ["tables", "1"], "init": ["init", "birds"]}


@pytest.mark.parametrize(("make", "says", "hint"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_said_in_gits_words(
    cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Path], says: str, hint: str
) -> None:
    folder = make(tmp_path, monkeypatch)
    monkeypatch.chdir(folder)
    before = sorted(path.name for path in folder.iterdir())
    for command in COMMANDS.values():
        code, out, err = cspops(*command)
        assert (code, out) == (4, ""), command
        assert err.startswith(f"error: {says.format(folder)}")
        assert hint.format(folder) in err.splitlines()[-1]
        assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("command", ["compare", "versus", "tables"])
def test_git_dir_that_names_nothing_is_named(
    cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(made(tmp_path / "clone"))
    monkeypatch.setenv("GIT_DIR", "/no/where")
    code, _, err = cspops(*COMMANDS[command])
    assert (code, err.splitlines()) == (
        4,
        ["error: git refuses: not a git repository: '/no/where'", "hint: unset GIT_DIR, which is set in the environment"],
    )
    assert cspops("init", "birds")[0] == 0  # it asks about its own folder


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("executable", "says"), [(False, "git is not installed"), (True, "git cannot be run: Permission denied")]
)
def test_without_git_it_is_named(
    cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, executable: bool, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    if executable:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/git").write_text("no program")
    code, _, err = cspops(*COMMANDS[command])
    assert code == 4 and err.startswith(f"error: {says}")
    assert not (tmp_path / "birds").exists()


def test_where_there_is_no_repository_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty/.git").mkdir(parents=True)  # which git passes over
    assert git.top(tmp_path / "empty") is None
    monkeypatch.chdir(tmp_path)
    assert git.top() is None
    (tmp_path / "above/.git").mkdir(parents=True)
    (tmp_path / "above/.git/file").touch()
    (tmp_path / "above/below").mkdir()
    with pytest.raises(EnvironmentProblem, match=r"git does not take .*/above/\.git for a repository"):
        git.top(tmp_path / "above/below")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path / "above"))
    assert git.top(tmp_path / "above/below") is None


def test_a_repository_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = made(tmp_path / "clone")
    (repository / ".git/HEAD").unlink()
    entries = Path.iterdir

    def refused(path: Path) -> object:
        if path.name == ".git":
            raise PermissionError
        return entries(path)

    monkeypatch.setattr(Path, "iterdir", refused)  # root may read all
    with pytest.raises(EnvironmentProblem, match=r"git does not take .*/clone/\.git for a repository") as caught:
        git.top(repository)
    assert caught.value.hint is not None and "who may read" in caught.value.hint


def test_a_folder_with_git_alone_is_filled_and_one_with_an_empty_git_gets_a_repository(
    cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty/.git").mkdir(parents=True)
    assert cspops("init", str(tmp_path / "empty"))[0] == 0
    assert git.top(tmp_path / "empty") == tmp_path / "empty"
    assert not subprocess.run(["git", "status", "--short"], cwd=tmp_path / "empty", capture_output=True, check=True).stdout
    made(tmp_path / "clone")
    monkeypatch.setenv("GIT_DIR", os.devnull)  # as inside a hook
    assert cspops("init", str(tmp_path / "clone"))[0] == 0
