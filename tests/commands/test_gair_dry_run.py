"""`cspops gair-dry-run`, with a small model."""

import json

import pytest
from in_process import command_line

from cspops.gair import dry_run

SMALL = {"px": 16, "photo_px": 32, "overhead_depth": 1, "photo_depth": 1, "photo_hidden": 16, "dim": 48, "capsule_hidden": 8}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = dry_run.recipe()
    monkeypatch.setattr(dry_run, "recipe", lambda: recipe | {"sizes": SMALL, "queue": 63})


@pytest.mark.usefixtures("small")
def test_counts_stand_beside_the_published_ones(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CSPOPS_DEVICE", "cpu")
    cspops = command_line(monkeypatch, capsys, "gair-dry-run")
    status, out, _ = cspops("--batch", "4")
    lines = [line.split() for line in out.splitlines()]
    assert status == 0
    assert ["total", "203.5", "million"] in [[line[0], *line[2:]] for line in lines if line]
    assert "(5.55 while all pairs are alike)" in out  # ln 4 + ln 64
    assert lines[-1][:2] == ["at", "most"]
    status, out, _ = cspops("--json")
    document = json.loads(out)
    assert status == 0
    assert {"parameters", "published", "loss", "loss_at_random", "seconds", "peak_memory"} == document.keys()


def test_one_row_is_no_batch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(monkeypatch, capsys, "gair-dry-run")("--batch", "1")[0] == 2
