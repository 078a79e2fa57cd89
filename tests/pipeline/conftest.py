"""The project that the tests of a file share, and that all files start from."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from small_project import make_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own with the sources of this one, small params, run once from nothing: not to be written to.

    One for all processes of pytest-xdist: the first that needs it makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    project = shared / "finished_project"
    with FileLock(shared / "finished_project.lock"):
        if not project.is_dir():
            making = shared / "unfinished_project"
            shutil.rmtree(making, ignore_errors=True)  # of a process that failed at it
            making.mkdir()
            make_project(making).rename(project)
    return project


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished project for the tests of a file."""
    return Path(shutil.copytree(finished, tmp_path_factory.mktemp("copy") / "project", symlinks=True))
