"""What every test starts from."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "laws"), str(HERE / "imagessl"), str(HERE / "gair"), str(HERE / "library"), str(HERE)]


@pytest.fixture(autouse=True)
def no_settings_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run on the CPU and see no CSPOPS_* variable but the one that names real data for them."""
    for name in list(os.environ):
        if name.startswith("CSPOPS_") and not name.startswith("CSPOPS_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CSPOPS_DEVICE", "cpu")
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's own processes are told the width of the terminal


SLOW = (
    *("test_new_project", "test_whole_line", "test_shown_commands", "test_stopped_runs", "test_sources", "test_hard_sets"),
    *("test_use_of_a_run", "test_remote", "test_ci_branch", "test_export", "test_onnx_files", "test_tables"),
)
"""The slowest files; the first two share nothing."""


@pytest.fixture
def said() -> Iterator[list[str]]:
    """The lines that the package has logged since the test began."""
    from told import told

    lines: list[str] = []
    with told(lines.append):
        yield lines


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow files first: one that is begun last keeps a single process of pytest-xdist at work."""
    items.sort(key=lambda item: SLOW.index(item.path.stem) if item.path.stem in SLOW else len(SLOW))
