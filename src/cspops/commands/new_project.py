"""Make a project that works with the installed package and holds none of its sources."""

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from importlib.resources import files
from pathlib import Path
from string import Template

from cspops import params
from cspops.commands import git, own_images
from cspops.data.json_files import Document
from cspops.errors import CspopsError, ParamsError
from cspops.files import disk_problems, sweep, unfinished
from cspops.params.editing import without_sections
from cspops.pipeline import code, paths

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
FEW = 1000
"""With fewer images, the blocks of the map that are held out leave too little to learn from."""
PHOTOS = (
    "params.yaml sets an image network for the embedded tiles of 32 px. For photos a published one is better: "
    "image_encoder.weights: pretrained, px, crop and interpolation: null, pretrain_img.method: none (downloads once)"
)
SPATIAL = (
    "set split.spatial_val and split.spatial_test to 0.0 in params.yaml; the blocks that they hold out, and the places near "
    "them, take a quarter of all images"
)
GITATTRIBUTES = ".gitattributes"
TEMPLATES = {"params.yaml": "params.yaml", "graph.yaml": "dvc.yaml", "gitignore": ".gitignore", "gitattributes": GITATTRIBUTES}
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


def run(folder: Path, *, data: Path | None, source: str | None) -> Document:
    """Make ``folder``, which is missing or empty, a project, whole or not at all.

    Without ``data`` the project starts from the embedded sample; with it data.dvc names that folder, or the folder of that
    table, and params.yaml sets how to read it. A git repository with a first commit is made, unless ``folder`` lies in
    another repository: there DVC works in a subfolder, and commits are left to the owner.

    Returns:
        folder, version, data, source, repository; `not_committed`, why there is no commit, or None; `warnings`, `advice`,
        and `next`, commands to run.
    """
    name = str(folder)  # as the user wrote it
    folder = _from_the_root(folder).resolve()
    if name.startswith("~"):
        name = str(folder)
    data = None if data is None else _from_the_root(data)
    if source is not None and data is None:
        raise ParamsError(f"--source {source} says how to read --data, which is not given", hint="--data PATH")
    _require_room(folder)
    outer = enclosing_repository(folder)
    document: Document = {"data": None, "source": "blue_marble", "warnings": [], "advice": []}
    not_committed = None
    with _filled(folder) as new:
        _write(new, folder.name, sample=data is None)
        if data is not None:
            document |= _point_at(new, data, source)
        _leave_out_unchosen_sections(new / paths.PARAMS)
        if outer is None:
            make_repository(new)
            not_committed = commit(new)
    if outer == folder:
        not_committed = commit(folder)
    elif outer is not None:
        not_committed = f"{name} lies in the git repository {outer}, whose commits are yours to make"
    commands = [] if folder == Path.cwd() else [f"cd {shlex.quote(name)}"]
    if not_committed is not None:
        commands.append(f"git add . && git commit -m {shlex.quote(MESSAGE)} .")
    document |= {
        "folder": name,
        "version": code.installed().version,
        "repository": str(outer or folder),
        "not_committed": not_committed,
        "warnings": [*document["warnings"], *_warnings()],
        "next": [*commands, "cspops data check", "dvc repro"],
    }
    return document


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
    sweep(folder / folder.name)
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


def _write(new: Path, name: str, *, sample: bool) -> None:
    """Write the files of a project. `.dvc` is as in a clone: `dvc init` would stage files in a repository around this one."""
    for template, target in TEMPLATES.items():
        (new / target).write_bytes(code.template(template))
    (new / code.FILE).write_text(code.installed().text)
    (new / own_images.DATA_DVC).write_text(IMPORT)
    readme = Template(code.template("readme.md").decode())
    (new / "README.md").write_text(readme.substitute(name=name), encoding="utf-8")
    (new / ".dvc").mkdir()
    (new / ".dvc" / "config").write_text(DVC_CONFIG)
    (new / ".dvc" / ".gitignore").write_text(DVC_GITIGNORE)
    if sample:
        (new / RAW).mkdir()
        for file in files("cspops").joinpath("sample").iterdir():
            if file.is_file():
                (new / RAW / file.name).write_bytes(file.read_bytes())


def _point_at(new: Path, data: Path, source: str | None) -> Document:
    """Do as `cspops data use` does in the new project, with params.yaml."""
    with chdir(new):
        document = own_images.run(data, params.load(paths.PARAMS), source=source, dry_run=False, set_params=True)
    advice = [PHOTOS]
    if document["images"] < FEW:
        advice.append(f"{document['images']:,} images are few: {SPATIAL}")
    return {"data": document["path"], "source": document["source"], "warnings": document["warnings"], "advice": advice}


def _leave_out_unchosen_sections(file: Path) -> None:
    text, sections = file.read_text(encoding="utf-8"), params.unchosen(params.load(file))
    file.write_text(without_sections(text, [tuple(section.split(".")) for section in sections]), encoding="utf-8")


def _warnings() -> list[str]:
    """Return what keeps `dvc repro` from running this cspops: its commands are `python -m cspops STAGE`."""
    python = shutil.which("python")
    if python is not None and Path(python).parent == Path(sys.executable).parent:
        return []
    what = "there is no `python`" if python is None else f"`python` is {python}"
    return [f"on the PATH {what}, but cspops is installed for {sys.executable}: activate its environment before dvc repro"]
