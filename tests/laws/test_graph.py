"""dvc.yaml says what the code does: params, code, commands."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cspops.params import VIEWS
from cspops.params.graph import NEEDS
from cspops.pipeline import code, paths

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stages() -> dict[str, Any]:
    graph: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    return graph


def names(entries: list[Any]) -> list[str]:
    """Paths of deps or outs, some of which carry settings."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def test_the_stages_are_the_registered_ones_and_check_comes_first(stages: dict[str, Any]) -> None:
    assert list(stages) == ["check", *VIEWS]


@pytest.mark.parametrize("stage", VIEWS)
def test_a_stage_lists_the_params_that_its_view_reads_and_no_other(stages: dict[str, Any], stage: str) -> None:
    read = [field.metadata["path"] for field in dataclasses.fields(VIEWS[stage])]
    assert stages[stage].get("params", []) == read


def test_check_depends_on_the_package_and_each_stage_on_the_digest_of_its_own_code(stages: dict[str, Any]) -> None:
    assert stages["check"]["deps"] == ["params.yaml", "src/cspops"]
    assert names(stages["check"]["outs"]) == [code.CODE.as_posix()]
    for stage in VIEWS:
        own = "artifacts/code" if stage == "report" else f"artifacts/code/{stage}"  # report writes down the code of all
        assert [dep for dep in stages[stage]["deps"] if "code" in dep] == [own]


def test_no_source_file_is_named() -> None:
    assert ".py" not in (ROOT / "dvc.yaml").read_text()


@pytest.mark.parametrize("stage", VIEWS)
def test_a_stage_depends_on_outputs_of_each_stage_it_needs_and_of_no_other(stages: dict[str, Any], stage: str) -> None:
    folders = {paths.folder_of(other).as_posix(): other for other in VIEWS}
    needed = {
        other
        for dep in stages[stage]["deps"]
        for folder, other in folders.items()
        if dep == folder or dep.startswith(f"{folder}/")
    }
    published = {
        out: other for other in VIEWS for kind in ("outs", "plots", "metrics") for out in names(stages[other].get(kind, []))
    }
    needed |= {published[dep] for dep in stages[stage]["deps"] if dep.startswith("reports/")}
    assert needed == set(NEEDS[stage])


def test_every_stage_runs_the_subcommand_of_its_name(stages: dict[str, Any]) -> None:
    for stage, about in stages.items():
        assert about["cmd"] == f"python -m cspops {stage}"
        assert about["desc"]


def test_what_goes_to_reports_is_in_git_and_the_rest_in_the_cache(stages: dict[str, Any]) -> None:
    for about in stages.values():
        for kind in ("outs", "metrics", "plots"):
            for entry in about.get(kind, []):
                path = names([entry])[0]
                settings = entry[path] if isinstance(entry, dict) else {}
                assert path.startswith("reports/") == (settings.get("cache") is False), path


def test_data_dvc_imports_the_embedded_sample_and_is_not_frozen() -> None:
    about = YAML(typ="safe").load((ROOT / "data.dvc").read_text())
    assert about["deps"][0]["path"] == "src/cspops/sample"
    assert about["outs"][0]["path"] == "data"
    assert "frozen" not in about


def test_each_artifact_is_made_by_a_stage(stages: dict[str, Any]) -> None:
    named = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["artifacts"]
    assert {name: about["path"] for name, about in named.items()} == {
        "location-encoder": paths.folder_of("pretrain").as_posix(),
        "classifier": paths.ARTIFACTS.as_posix(),
        "catalogue": paths.folder_of("download").as_posix(),
    }
    assert [about["type"] for about in named.values()] == ["model", "model", "dataset"]
    assert all(about["desc"] for about in named.values())
