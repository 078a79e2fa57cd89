"""A stage that is run twice at once."""

from pathlib import Path

import pytest
from in_process import command_line, write_locked_project

from cspops.pipeline import paths


def test_a_second_run_of_a_stage_is_told_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_locked_project(tmp_path)
    with paths.alone_at("download"):
        assert command_line(monkeypatch, capsys)("download") == (
            4,
            "",
            "error: another cspops download is at work on the same data\nhint: run it again when the other has ended\n",
        )
    assert not paths.ARTIFACTS.exists()
