"""The section on what the run's embedding is worth elsewhere: there where it is asked for, with the command's numbers."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cspops.commands.probe import probe as command
from cspops.geo import uniform_on_sphere, unit_vectors
from cspops.host import Host
from cspops.models.checkpoint import save_model
from cspops.models.location_encoder import LocationEncoder
from cspops.probing.encoders import POSITION
from cspops.probing.folds import BUFFER_KM, DEGREES, FOLDS
from cspops.probing.targets import Target
from cspops.report import probed
from cspops.report.html_parts import Table
from cspops.report.probed import FILE, ProbedTarget, probe_part, probe_section, probed_targets
from cspops.site import Site

LONLAT = uniform_on_sphere(300, generator=torch.Generator().manual_seed(0))
HEIGHT = Target("height", "regression", LONLAT, 3 * unit_vectors(LONLAT)[:, 2], source="a formula", licence="none")
CONFIG: dict[str, Any] = {"encoding": {"name": "xyz"}, "network": {"name": "residual", "layers": 0, "dropout": 0.0}, "dim": 8}


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[ProbedTarget], Path]:
    folder = tmp_path_factory.mktemp("report")
    site = Site(folder, {"pretrain": folder / "pretrain"}, folder, folder, folder, Host())
    encoder = LocationEncoder(CONFIG)
    save_model(folder / "pretrain" / "seed_3", encoder, encoder.config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probed, "suite", lambda names, **settings: [HEIGHT])
        assert probed_targets([], site, seed=3) == [] and not (folder / FILE).exists()
        return probed_targets(["land"], site, seed=3), folder


def test_both_pages_and_the_file_have_the_numbers_of_the_probe(targets: tuple[list[ProbedTarget], Path]) -> None:
    (one,), folder = targets
    (written,) = json.loads((folder / FILE).read_text())
    linear = next(row for row in written["results"] if (row["encoder"], row["probe"]) == ("xyz", "linear"))
    assert linear["blocks"]["r2"]["value"] > 0.9999 and "random" not in linear
    heading, words, title, table = probe_section([one], seed=3)
    assert heading == f"## {probed.TITLE}" and "seed 3" in words
    assert title == "height: regression, 300 rows (a formula, none):"
    lines = table.splitlines()
    assert lines[0] == "| encoder | probe | features | R2 | over position | RMSE | MAE |"
    (near,) = (line for line in lines if line.startswith(f"| {POSITION}"))
    (mine,) = (line for line in lines if line.startswith("| e(x) | linear | 8 |"))
    assert near.split("|")[5].strip() == "" and " [" in mine.split("|")[5]
    part = probe_part([one], seed=3)
    (page,) = part["probe_tables"] if isinstance(part["probe_tables"], list) else []
    assert isinstance(page, Table) and [list(row) for row in page.groups[0].rows] == one.table[1:]


def test_without_a_target_there_is_no_section() -> None:
    assert probe_section([], seed=0) == [] and probe_part([], seed=0)["probe_tables"] == []


def test_the_report_divides_rows_as_the_command_does_by_default() -> None:
    defaults = {name: one.default for name, one in inspect.signature(command).parameters.items()}
    assert [defaults[name] for name in ("folds", "block_degrees", "buffer_km")] == [FOLDS, DEGREES, BUFFER_KM]
