"""The project that the tests of a file share."""

from pathlib import Path

import pytest
from small_project import make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own with the sources of this one, small params, run once from nothing."""
    return make_project(tmp_path_factory.mktemp("project"))
