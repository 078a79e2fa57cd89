"""Whatever is kept under a key has another key as soon as a param that it depends on is another one.

The rows of `cspops image-networks` have their law in tests/commands/test_image_networks.py.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edited_params import flipped, leaf_paths, without_warnings

from cspops.params import VIEWS, Params, load, recorded
from cspops.pipeline import code, paths
from cspops.report.run_record import STAGES, RunRecord

PARAMS = load(Path(__file__).parents[2] / "params.yaml")
LEAVES = list(leaf_paths(PARAMS))
STAGES_JSON: dict[str, Any] = {stage: {"params": {}, "files": {"a": "1"}} for stage in VIEWS}
NUMERICS = {"portable": True, "threads": 1}
RECORD = RunRecord.of(STAGES_JSON, dict.fromkeys(VIEWS, "code"), b"metrics", NUMERICS).with_params(PARAMS)


def read_by(params: Params, stage: str) -> set[str]:
    """The leaves that a stage reads."""
    at: dict[str, Any] = recorded(params, stage)
    return {leaf for leaf in LEAVES if any(leaf == path or leaf.startswith(f"{path}.") for path in at)}


def test_progress_of_a_stage_is_kept_under_all_that_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "input_hashes", lambda stage: {})

    def folder(params: Params, stage: str) -> str:
        with paths.scratch(stage, params) as scratch:
            return scratch.name

    for stage in VIEWS:
        before = folder(PARAMS, stage)
        for leaf in LEAVES:
            changed = without_warnings(folder, flipped(PARAMS, leaf), stage) != before
            assert changed == (leaf in read_by(PARAMS, stage)), (stage, leaf)


def test_progress_of_a_stage_is_kept_under_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "input_hashes", lambda stage: {})
    code.CODE.mkdir(parents=True)
    for stage in VIEWS:
        before = paths.progress_of(stage, PARAMS)
        for other in VIEWS:
            (code.CODE / other).write_text("other code")
            assert (paths.progress_of(stage, PARAMS) != before) == (other == stage)
            (code.CODE / other).unlink()


def test_a_run_has_another_key_for_each_param_that_a_stage_reads() -> None:
    for model, stages in STAGES.items():
        read = set().union(*(read_by(PARAMS, stage) for stage in stages))
        for leaf in LEAVES:
            other = without_warnings(RECORD.with_params, flipped(PARAMS, leaf))
            assert (other.key(model) != RECORD.key(model)) == (leaf in read), (model, leaf)
            assert other.code_of(model) == RECORD.code_of(model)


def test_a_run_has_another_key_for_another_catalogue_and_other_code_for_each_stage() -> None:
    other_data = STAGES_JSON | {"download": {"params": {}, "files": {"a": "2"}}}
    other = RunRecord.of(other_data, RECORD.code, b"", NUMERICS).with_params(PARAMS)
    assert all(other.key(model) != RECORD.key(model) for model in STAGES)
    for stage in VIEWS:
        changed = RunRecord.of(STAGES_JSON, dict.fromkeys(VIEWS, "code") | {stage: "other"}, b"", NUMERICS)
        assert {model for model in STAGES if changed.code_of(model) != RECORD.code_of(model)} == {
            model for model, stages in STAGES.items() if stage in stages
        }


def test_a_record_is_read_as_it_was_written_and_nothing_else_is_one() -> None:
    assert RunRecord.read(RECORD.text.encode()) == RECORD
    older = json.loads(RECORD.text)
    del older["numerics"]
    assert RunRecord.read(json.dumps(older).encode()) == replace(RECORD, numerics=None)
    assert RECORD.made(b"metrics")
    assert not RECORD.made(b"others")
    assert not RECORD.made(None)
    assert RECORD.metrics == hashlib.sha256(b"metrics").hexdigest()
    other = [RECORD.text.replace("split", "spilt").encode(), json.dumps(older | {"numerics": [1]}).encode()]
    for text in (None, b"", b"[", b"[]", b"{}", b"\xff", b'{"catalogue": 1}', *other):
        assert RunRecord.read(text) is None


def test_a_stage_without_a_note_has_the_installed_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    installed = code.installed()
    assert code.noted() == installed.stages
    code.write(installed)
    (code.CODE / "split").write_text("0" * 64 + "\n")
    assert code.noted() == installed.stages | {"split": "0" * 64}
