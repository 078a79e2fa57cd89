"""Paths of a project: outputs appear whole or not at all, and inputs are verified before use.

Every stage writes one folder `artifacts/STAGE/` (some of them files under `reports/` too). The folder is made beside its
place and renamed when it is complete; its `stage.json` records the params it was made with and the sha256 of each file.
"""

import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cspops import numerics
from cspops.artefacts import json_as
from cspops.errors import DataError, EnvironmentProblem
from cspops.files import locked, replaced, sha256_of
from cspops.params import VIEWS, Params, recorded
from cspops.params.graph import NEEDS, StageRecord

log = logging.getLogger(__name__)

RAW = Path("data")
ARTIFACTS = Path("artifacts")
REPORTS = Path("reports")
PARAMS = Path("params.yaml")
README = Path("README.md")

HEX16 = "[0-9a-f]" * 16
"""A pattern for the end of a name of a folder of progress."""
KEEP_PROGRESS = 14 * 24 * 3600
"""Seconds for which the progress of a killed run is kept; if its params changed, nothing else would delete it."""


def folder_of(stage: str) -> Path:
    """Return the folder that a stage writes."""
    return ARTIFACTS / stage.replace("-", "_")


def require(stage: str, params: Params) -> dict[str, Path]:
    """Return the folders of the stages that ``stage`` reads, after checking that each file is as it was written.

    Raise a DataError that names the first stage up the graph without output or with one of other params, or the first
    file that is missing or differs, and the command that makes all that is. Code that reads these files need not expect
    broken ones.
    """
    reader, command = f"stage {stage}", f"dvc repro {stage}"
    if stage not in VIEWS:
        reader, command = f"cspops {stage}", f"dvc repro {NEEDS[stage][-1]}"
    for upstream in _all_upstream(stage):
        folder = folder_of(upstream)
        if not (folder / "stage.json").exists():
            raise DataError(f"{folder} is missing: {reader} reads it", hint=command)
        record: StageRecord = json_as(folder / "stage.json", StageRecord, remake=f"dvc repro -f {upstream}")
        made_with, hashes = record.params, record.files
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
    stages = [one for upstream in NEEDS[stage] for one in (*_all_upstream(upstream), upstream)]
    return list(dict.fromkeys(stages))


@contextmanager
def whole_folder(target: Path, facts: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a new folder to write into, which replaces ``target`` when the block ends well.

    ``facts`` and the hashes of its files become its stage.json. After an exception ``target`` is as it was.
    """
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
def scratch(stage: str, params: Params, *, node: int = 0) -> Iterator[Path]:
    """Yield the folder of `progress_of` a long stage, deleted when the block ends well."""
    folder = progress_of(stage, params, node=node)
    yield folder
    with suppress(FileNotFoundError):  # renamed, so that it goes at once: other jobs may be at work in it
        folder.replace(folder.with_name(f".{folder.name}-{secrets.token_hex(4)}"))
    for gone in _progress().glob(f".{stage}-{HEX16}-*"):
        shutil.rmtree(gone, ignore_errors=True)
    forget_old_progress(stage)


def progress_of(stage: str, params: Params, *, node: int = 0) -> Path:
    """Return the folder for the progress of a stage, made where it is missing.

    It lies outside the stage's outputs, which DVC empties before a run. Its name is a hash of the stage's params, of its code
    and of its inputs' hashes (which `require` has checked), so that progress for others is never used, and jobs that share
    the stage's work agree on all of these. Each ``node`` of several that train together has one of its own, as they may have
    one disk.
    """
    noted = ARTIFACTS / "code" / stage
    code = noted.read_text() if noted.is_file() else ""
    return progress_folder(stage, [stage, code, recorded(params, stage), input_hashes(stage), *([node] if node else [])])


def progress_besides(folder: Path, stage: str) -> list[Path]:
    """Return the folders for other progress of a stage than the one in ``folder``."""
    return sorted(other for other in _progress().glob(f"{stage}-{HEX16}") if other != folder)


def input_hashes(stage: str) -> dict[str, dict[str, str]]:
    """Return the sha256 of each file that ``stage`` reads, by stage and name, as recorded by the stages that wrote it."""
    return {
        upstream: json_as(folder_of(upstream) / "stage.json", StageRecord, remake=f"dvc repro -f {upstream}").files
        for upstream in NEEDS[stage]
    }


def key_of(values: Any) -> str:
    """Return a short hash of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def progress_folder(stage: str, values: Any) -> Path:
    """Return the folder of a stage's progress that belongs to ``values`` and the mode of numerics, made where it is missing."""
    folder = _progress() / f"{stage}-{key_of([values, numerics.portable()])}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone_in(folder: Path, command: str) -> Iterator[None]:
    """Lock a folder of progress while the block runs: a second ``command`` gets an EnvironmentProblem.

    The lock ends with its process, however that ends.
    """
    with _locked(folder / ".lock", command):
        yield


@contextmanager
def alone_at(stage: str) -> Iterator[None]:
    """Lock what a stage writes while the block runs: the same stage in a second process gets an EnvironmentProblem."""
    with _locked(_progress() / f"{stage}.lock", stage):
        yield


@contextmanager
def _locked(file: Path, command: str) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    why = f"another cspops {command} is at work on the same data"
    with locked(file, EnvironmentProblem(why, hint="run it again when the other has ended")):
        yield


def forget_old_progress(stage: str) -> None:
    """Delete the progress of a stage that has not changed for `KEEP_PROGRESS`."""
    for left_over in _progress().glob(f"{stage}-{HEX16}"):
        if time.time() - left_over.stat().st_mtime > KEEP_PROGRESS:
            shutil.rmtree(left_over, ignore_errors=True)


def _progress() -> Path:
    return Path(os.environ.get("DVC_ROOT", ".")) / ".dvc" / "tmp" / "cspops"
