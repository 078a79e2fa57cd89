"""Make a project that works with the installed package and holds none of its sources."""

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

from cspops import params
from cspops.commands import git, image_folder, own_images, presets
from cspops.commands.options import Preset
from cspops.data.json_files import Document
from cspops.errors import CspopsError, ParamsError
from cspops.files import disk_problems, sweep, unfinished
from cspops.params.editing import edited, without_sections
from cspops.pipeline import code, paths
from cspops.terminal import visible

MESSAGE = "Start of a cspops project"


def enclosing_repository(folder: Path) -> Path | None:
    """Return the git repository that ``folder``, which need not exist, is or would be part of.

    None where there is none, or where it ignores the folder. Raise an EnvironmentProblem where git refuses to say.
    """
    above = next(path for path in (folder, *folder.parents) if path.is_dir())
    top = git.top(above)
    if top is None or top == folder or git.run("check-ignore", "-q", str(folder), folder=above).returncode:
        return top
    return None


def make_repository(folder: Path) -> None:
    """Make ``folder`` a git repository."""
    done = git.run("init", "-q", folder=folder)
    if done.returncode:
        raise CspopsError(f"git init failed: {git.last_line(done)}")


def commit(folder: Path) -> str | None:
    """Commit all that lies in ``folder``, the top of a repository; return why that failed, or None."""
    if git.run("var", "GIT_AUTHOR_IDENT", folder=folder).returncode:
        return "git does not know who you are: set git config --global user.name NAME and user.email ADDRESS"
    for command in (["add", "-A"], ["commit", "-q", "-m", MESSAGE]):
        done = git.run(*command, folder=folder)
        if done.returncode:
            return f"git {command[0]} failed: {git.last_line(done)}"
    return None


RAW = "raw"
"""Folder of the embedded sample, which data.dvc imports."""
GITATTRIBUTES = ".gitattributes"
TEMPLATES = {"graph.yaml": "dvc.yaml", "gitignore": ".gitignore", "gitattributes": GITATTRIBUTES}
"""Files of the template and their names in a project; under those names DVC and git would use the template's own files."""
IMPORT = f"""\
# The folder that `dvc repro` copies to data/; do not edit data/ by hand. `cspops data use PATH` names another folder.
deps:
- path: {RAW}
outs:
- path: data
"""
DVC_CONFIG = """\
[core]
    analytics = false
    check_update = false
    autostage = false
"""
DVC_GITIGNORE = "/config.local\n/tmp\n/cache\n"


@dataclass(frozen=True)
class Request:
    """What a project is made for; all None: the embedded sample."""

    data: Path | None = None
    """A folder of images, or a table of them."""
    source: str | None = None
    """As dataset.source; None: by the files."""
    label: str | None = None
    """The column of labels of the table; None: recognised, or the names of the images' own folders."""
    preset: Preset | None = None
    """What the images are; None: satellite where most are TIFFs, else photos."""


def run(folder: Path, request: Request = Request(), *, dry: bool = False) -> Document:
    """Make ``folder``, which is missing or empty, a project, whole or not at all; if ``dry``, only say how.

    Without data the project starts from the embedded sample; with it data.dvc names that folder, or the folder of that
    table, and params.yaml has the values that fit. A git repository with a first commit is made, unless ``folder`` lies in
    another repository: there DVC works in a subfolder, and commits are left to the owner.

    Returns:
        folder, version, data, source, preset, repository; `set`, the values of params.yaml that are not those of the template;
        `later`, what to set later, or None; `not_committed`, why there is no commit, or None; `warnings`, and `next`, commands
        to run.
    """
    name = str(folder)  # as the user wrote it
    folder = _from_the_root(folder).resolve()
    if name.startswith("~"):
        name = str(folder)
    for option in ("source", "label", "preset"):
        if request.data is None and (value := getattr(request, option)) is not None:
            raise ParamsError(f"--{option} {value} is about --data, which is not given", hint="--data PATH")
    if not dry:
        sweep(folder / folder.name)
    _require_room(folder)
    outer = enclosing_repository(folder)
    imported, text, document = _contents(folder, request)
    not_committed = None
    if not dry:
        with _filled(folder) as new:
            _write(new, folder.name, imported, text)
            if outer is None:
                make_repository(new)
                not_committed = commit(new)
        if outer == folder:
            not_committed = commit(folder)
    if outer not in (None, folder):
        not_committed = f"{name} lies in the git repository {outer}, whose commits are yours to make"
    asked = document.pop("asked", None)
    if dry:
        commands = [f"the same command without --dry{f', with {asked}' if asked else ''}"]
    elif asked:
        commands = [f"cspops init OTHER --data {shlex.quote(str(request.data))} {asked}"]
    else:
        commands = [] if folder == Path.cwd() else [f"cd {shlex.quote(name)}"]
        if not_committed is not None:
            commands.append(f"git add . && git commit -m {shlex.quote(MESSAGE)} .")
        commands += ["cspops data check", "dvc repro"]
    return document | {
        "folder": name,
        "version": version("cspops"),
        "repository": str(outer or folder),
        "not_committed": not_committed,
        "warnings": [*document["warnings"], *_warnings()],
        "next": commands,
    }


def _contents(folder: Path, request: Request) -> tuple[Path | None, str, Document]:
    """Return the folder that data.dvc names, None for the sample, the text of params.yaml, and what is said about both."""
    document: Document = {"data": None, "source": "blue_marble", "preset": None, "set": {}, "later": None, "warnings": []}
    text, imported, default = params.TEMPLATE.read_text(encoding="utf-8"), None, params.default_params()
    if request.data is not None:
        data = _from_the_root(request.data)
        found = image_folder.look(data, default, project=folder, source=request.source, label=request.label)
        imported = found.folder
        preset: Preset | None = request.preset or presets.preset_of(found.contents)
        if found.source == "table" and request.preset is None and presets.are_features(found.contents):
            preset, fitting, later = None, presets.for_features(found.folder, found.contents), None
        else:
            assert preset is not None
            fitting, later = presets.values(preset, imported, found.contents, found.source)
        document |= {"data": imported.as_posix(), "source": found.source, "preset": preset, "set": found.values | fitting}
        document |= {"later": later, "warnings": found.warnings}
        if found.asked is not None:
            document |= {"warnings": [*found.warnings, found.asked.text], "asked": found.asked.option}
        text = edited(text, {tuple(key.split(".")): value for key, value in document["set"].items()})
    unchosen = params.unchosen(params.parse(text, paths.PARAMS))
    return imported, without_sections(text, [tuple(section.split(".")) for section in unchosen]), document


def _from_the_root(path: Path) -> Path:
    """Return the absolute path; a link stays a link, as it may name another folder tomorrow."""
    try:
        path = path.expanduser().absolute()
    except RuntimeError as error:
        raise ParamsError(f"{path}: {error}") from None
    return path.resolve() if ".." in path.parts else path


def _require_room(folder: Path) -> None:
    """Raise a ParamsError where ``folder`` is a file, or holds more than a git repository."""
    if not folder.is_dir():
        if folder.exists() or folder.is_symlink():
            raise ParamsError(f"{folder} is a file", hint="name a new folder")
        return
    others = sorted(entry.name for entry in folder.iterdir() if entry.name != ".git")
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise ParamsError(f"{folder} is not empty: it holds {', '.join(others[:3])}{more}", hint="name a new folder")


@contextmanager
def _filled(folder: Path) -> Iterator[Path]:
    """Yield a new folder that becomes ``folder``, or whose entries move into it where it exists, when the block ends well."""
    exists = folder.is_dir()
    missing = [path for path in folder.parents if not path.exists()]
    beside = folder if exists else folder.parent
    try:
        beside.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        with disk_problems(folder), unfinished(beside, folder.name) as made:
            new = made / "new"
            new.mkdir()
            yield new
            if exists:
                for entry in sorted(new.iterdir()):
                    entry.rename(folder / entry.name)
            else:
                new.rename(folder)
    except BaseException:
        for path in missing:
            if path.is_dir():
                path.rmdir()
        raise


def _write(new: Path, name: str, imported: Path | None, text: str) -> None:
    """Write the files of a project. `.dvc` is as in a clone: `dvc init` would stage files in a repository around this one."""
    for template, target in TEMPLATES.items():
        (new / target).write_bytes(code.template(template))
    (new / paths.PARAMS).write_text(text, encoding="utf-8")
    (new / code.FILE).write_text(code.installed().text)
    named = IMPORT if imported is None else edited(IMPORT, {("deps", 0, "path"): imported.as_posix()})
    (new / own_images.DATA_DVC).write_text(named, encoding="utf-8")
    readme = Template(code.template("readme.md").decode())
    (new / "README.md").write_text(readme.substitute(name=visible(name)), encoding="utf-8")
    (new / ".dvc").mkdir()
    (new / ".dvc" / "config").write_text(DVC_CONFIG)
    (new / ".dvc" / ".gitignore").write_text(DVC_GITIGNORE)
    if imported is None:
        (new / RAW).mkdir()
        for file in files("cspops").joinpath("sample").iterdir():
            if file.is_file():
                (new / RAW / file.name).write_bytes(file.read_bytes())


def _warnings() -> list[str]:
    """Return what keeps `dvc repro` from running this cspops: its commands are `python -m cspops STAGE`."""
    python = shutil.which("python")
    if python is not None and Path(python).parent == Path(sys.executable).parent:
        return []
    what = "there is no `python`" if python is None else f"`python` is {python}"
    return [f"on the PATH {what}, but cspops is installed for {sys.executable}: activate its environment before dvc repro"]
