"""Where everything lies, how an output appears whole or not at all, and how an input is trusted.

Every stage writes one folder `artifacts/STAGE/` (some of them files under `reports/` too). The folder is made beside its
place and renamed when it is complete; `stage.json`, in it, records the params it was made with and the sha256 of each file.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cspops.errors import DataError, EnvironmentProblem
from cspops.files import replaced, sha256_of
from cspops.params import VIEWS, Params, recorded
from cspops.params.graph import NEEDS

RAW = Path("data")
ARTIFACTS = Path("artifacts")
REPORTS = Path("reports")
PARAMS = Path("params.yaml")

KEEP_PROGRESS = 14 * 24 * 3600
"""Seconds for which the progress of a killed run is kept; it may have had other params, so that nothing else ends it."""


def folder_of(stage: str) -> Path:
    """The folder that a stage writes."""
    return ARTIFACTS / stage.replace("-", "_")


def require(stage: str, params: Params) -> dict[str, Path]:
    """The folders of the stages that ``stage`` reads, each file checked to be as it was written.

    DataError names the first stage, all the way up the graph, that has no output or one of other params, and the first
    file that is missing or differs. So what reads a file need not expect it to be broken.
    """
    reader = f"stage {stage}" if stage in VIEWS else f"cspops {stage}"
    for upstream in _all_upstream(stage):
        folder = folder_of(upstream)
        command = f"dvc repro {upstream}"
        try:
            record = json.loads((folder / "stage.json").read_text())
            made_with, hashes = dict(record["params"]), dict(record["files"])
        except FileNotFoundError:
            raise DataError(f"{folder} is missing: {reader} reads it", hint=command) from None
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{folder / 'stage.json'} is broken", hint=f"dvc repro -f {upstream}") from None
        now = json.loads(json.dumps(recorded(params, upstream)))
        if made_with != now:
            changed = [key for key in sorted(now.keys() | made_with.keys()) if made_with.get(key) != now.get(key)]
            raise DataError(f"{folder} was made with other values than params.yaml has of {', '.join(changed)}", hint=command)
        for name, sha256 in hashes.items() if upstream in NEEDS[stage] else ():
            if not (folder / name).is_file():
                raise DataError(f"{folder / name} is missing: {reader} reads it", hint=command)
            if sha256_of(folder / name) != sha256:
                raise DataError(f"{folder / name} is not as stage {upstream} wrote it", hint=command)
    return {upstream: folder_of(upstream) for upstream in NEEDS[stage]}


def _all_upstream(stage: str) -> list[str]:
    found: list[str] = []
    for upstream in NEEDS[stage]:
        found += [one for one in (*_all_upstream(upstream), upstream) if one not in found]
    return found


@contextmanager
def whole_folder(target: Path, facts: Mapping[str, Any]) -> Iterator[Path]:
    """A new folder to write into, which takes the place of ``target`` when the block ends well.

    ``facts`` and the hashes of its files become its stage.json. After an exception ``target`` is as it was.
    """
    for left_over in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(left_over)
    with replaced(target) as new:
        yield new
        files = sorted(path for path in new.rglob("*") if path.is_file() and "reports" not in path.relative_to(new).parts)
        hashes = {path.relative_to(new).as_posix(): sha256_of(path) for path in files}
        (new / "stage.json").write_text(json.dumps({**facts, "files": hashes}, indent=1, sort_keys=True) + "\n")


def publish(folder: Path) -> None:
    """Move what a stage wrote under its `reports/` to the project's reports/, each file whole."""
    made = folder / "reports"
    for file in sorted(path for path in made.rglob("*") if path.is_file()):
        target = REPORTS / file.relative_to(made)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def scratch(stage: str, params: Params) -> Iterator[Path]:
    """A folder for the progress of a long stage, deleted when the block ends well.

    It lies outside the stage's outputs, which DVC empties before a run, and its name is a hash of the stage's params
    and of the hashes of its inputs (which `require` has checked), so that progress made for other ones is never taken up.
    """
    folder = progress_folder(stage, [stage, recorded(params, stage), input_hashes(stage)])
    yield folder
    shutil.rmtree(folder)
    forget_old_progress(stage)


def input_hashes(stage: str) -> dict[str, dict[str, str]]:
    """The sha256 of each file that ``stage`` reads, by stage and name, as the stages that wrote them recorded it."""
    return {upstream: json.loads((folder_of(upstream) / "stage.json").read_text())["files"] for upstream in NEEDS[stage]}


def progress_folder(stage: str, key: Any) -> Path:
    """The folder of a stage's progress that belongs to ``key``, made where it is missing."""
    folder = _progress() / f"{stage}-{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone_in(folder: Path, command: str) -> Iterator[None]:
    """Keeps a second ``command`` out of a folder of progress while the block runs: there it is an EnvironmentProblem.

    The lock ends with its process, however that ends.
    """
    try:
        held = FileLock(folder / ".lock").acquire(blocking=False)
    except Timeout:
        raise EnvironmentProblem(
            f"another cspops {command} is at work on the same data", hint="the same command, when the other has ended"
        ) from None
    with held:
        yield


def forget_old_progress(stage: str) -> None:
    """Delete the progress of a stage that nothing was added to for `KEEP_PROGRESS`."""
    for left_over in _progress().glob(f"{stage}-" + "[0-9a-f]" * 16):
        if time.time() - left_over.stat().st_mtime > KEEP_PROGRESS:
            shutil.rmtree(left_over, ignore_errors=True)


def _progress() -> Path:
    return Path(os.environ.get("DVC_ROOT", ".")) / ".dvc" / "tmp" / "cspops"
